//! What the platform keeps of a conversation, read from PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use boot::Environment;
use domain::{CallSid, ConversationId, Stage, Turn};
use store::messages::{Line, Speaker};
use store::seed::DEMO;
use store::{Store, TenantTx};
use vault::FieldKeys;

/// How long the writer may be behind.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
const CONNECTIONS: usize = 2;
const TRANSCRIPT_LINES: u32 = 100;

pub(super) struct History(Store);

impl History {
    pub(super) async fn open(environment: &Environment) -> anyhow::Result<Self> {
        let mut reader = environment.reader();
        let database_url = reader.required("DATABASE_URL");
        let kms_key =
            reader.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".to_owned());
        let database_url = reader.finish(database_url)?;
        let aws = boot::aws_config().await;
        let keys = FieldKeys::new(aws_sdk_kms::Client::new(&aws), kms_key);
        Store::connect(&database_url, CONNECTIONS, Arc::new(keys))
            .context("prepare PostgreSQL")
            .map(Self)
    }

    /// Prints the transcript of a conversation of `turns` turns, `timed` of them with the times of their stages.
    pub(super) async fn show(
        &self,
        conversation: ConversationId,
        turns: usize,
        timed: usize,
    ) -> anyhow::Result<()> {
        let (lines, timings) = self
            .until(async |tx| {
                let lines = store::messages::transcript(tx, conversation, TRANSCRIPT_LINES).await?;
                let timings = store::turn_timings::of_conversation(tx, conversation).await?;
                let is_whole = timings.len() >= timed && lines.len() >= 2 * turns;
                Ok(is_whole.then_some((lines, timings)))
            })
            .await
            .context("wait for the history of a conversation")?;
        for line in &lines {
            show_line(line);
            let stages = timings.iter().find(|(turn, _)| Some(*turn) == line.turn);
            if let (Speaker::Agent, Some((turn, stages))) = (line.speaker, stages) {
                show_stages(*turn, stages);
            }
        }
        Ok(())
    }

    /// Where the recording of a call lies.
    pub(super) async fn recording(&self, call: &CallSid) -> anyhow::Result<String> {
        let found = self
            .until(async |tx| Ok(store::calls::recording(tx, call).await?))
            .await
            .context("wait for a recording")?;
        Ok(format!("s3://{}/{}", found.bucket, found.key))
    }

    async fn until<T>(
        &self,
        look: impl AsyncFn(&TenantTx) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let found = tokio::time::timeout(WRITE_LIMIT, async {
            loop {
                let tx = self.0.tenant(DEMO).await.context("open the history")?;
                if let Some(found) = look(&tx).await? {
                    return Ok(found);
                }
                drop(tx);
                tokio::time::sleep(POLL).await;
            }
        });
        found.await.unwrap_or_else(|_| anyhow::bail!("not within {} s", WRITE_LIMIT.as_secs()))
    }
}

fn show_line(line: &Line) {
    let speaker = match line.speaker {
        Speaker::User => "person",
        Speaker::Agent => "agent",
        Speaker::Operator => "operator",
    };
    let heard = if line.heard_whole == Some(false) { " [cut off]" } else { "" };
    // The demonstration's own words, made up; the transcripts of real people are never printed.
    println!("  {speaker:<9} {}{heard}", line.text.reveal());
}

/// One line: milliseconds since the first stage.
fn show_stages(turn: Turn, stages: &[Stage]) {
    let Some(first) = stages.iter().map(|stage| stage.at).min() else { return };
    let reached: Vec<String> = stages
        .iter()
        .map(|stage| format!("{} {}", stage.name, stage.at.since(first).as_millis()))
        .collect();
    println!("            turn {}, ms: {}", turn.0, reached.join(", "));
}
