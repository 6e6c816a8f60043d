//! What the platform keeps of a conversation, read from PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use boot::Environment;
use domain::{CallSid, ConversationId, Personal, Stage, Turn};
use store::history::Message;
use store::messages::{Line, Speaker};
use store::seed::DEMO;
use store::{Store, TenantTx};
use vault::FieldKeys;

use crate::aws;

/// How long the writer may be behind.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// How long a send may be in doubt before it is raised (DESIGN 2, "Sends"), and the writer behind that.
const DOUBT_LIMIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);
const CONNECTIONS: usize = 2;
pub(crate) const TRANSCRIPT_LINES: u32 = 100;

/// The history of the tenant `demo`.
pub struct History(Store);

impl History {
    /// Prepares to read what `environment` names.
    ///
    /// # Errors
    /// When a variable is missing.
    pub async fn open(environment: &Environment) -> anyhow::Result<Self> {
        let mut reader = environment.reader();
        let database_url = reader.required("DATABASE_URL");
        let kms_key =
            reader.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".to_owned());
        let database_url = reader.finish(database_url)?;
        let aws = aws::config(environment).await;
        let keys = FieldKeys::new(aws_sdk_kms::Client::new(&aws), kms_key);
        Store::connect(&database_url, CONNECTIONS, Arc::new(keys))
            .context("prepare PostgreSQL")
            .map(Self)
    }

    /// The transcript and the times of the stages of a conversation, once there are `lines` and `timed` of them.
    ///
    /// # Errors
    /// When they are not there in time.
    pub async fn whole(
        &self,
        conversation: ConversationId,
        lines: usize,
        timed: usize,
    ) -> anyhow::Result<(Vec<Line>, Vec<(Turn, Vec<Stage>)>)> {
        self.until(async |tx| {
            let found = store::messages::transcript(tx, conversation, TRANSCRIPT_LINES).await?;
            let timings = store::turn_timings::of_conversation(tx, conversation).await?;
            let is_whole = timings.len() >= timed && found.len() >= lines;
            Ok(is_whole.then_some((found, timings)))
        })
        .await
        .context("wait for the history of a conversation")
    }

    /// The replies of a chat that were raised: whether they were sent cannot be known, so they are not sent again. Waits
    /// until something is known of each.
    ///
    /// # Errors
    /// When nothing is within 90 s.
    pub async fn raised(&self, chat: ConversationId) -> anyhow::Result<Vec<Personal>> {
        let is_of_agent = |m: &Message| m.speaker == Speaker::Agent;
        let look = async |tx: &TenantTx| {
            let lines = i64::from(TRANSCRIPT_LINES);
            let all = store::history::messages(tx, chat, None, true, lines).await?;
            let replies: Vec<_> = all.into_iter().filter(is_of_agent).collect();
            Ok(replies.iter().all(|m| m.delivery.is_some()).then_some(replies))
        };
        let replies =
            self.within(DOUBT_LIMIT, look).await.context("wait for the fate of replies")?;
        let is_raised = |m: &Message| m.delivery.as_ref().is_some_and(|d| d.status == "doubtful");
        Ok(replies.into_iter().filter(is_raised).map(|m| m.text).collect())
    }

    /// Where the recording of a call lies, once it is finished.
    ///
    /// # Errors
    /// When it is not there in time.
    pub async fn recording(&self, call: &CallSid) -> anyhow::Result<String> {
        let (bucket, key) = self.recording_in(call).await?;
        Ok(format!("s3://{bucket}/{key}"))
    }

    /// The same, as bucket and key.
    ///
    /// # Errors
    /// When it is not there in time.
    pub async fn recording_in(&self, call: &CallSid) -> anyhow::Result<(String, String)> {
        let found = self
            .until(async |tx| Ok(store::calls::recording(tx, call).await?))
            .await
            .context("wait for a recording")?;
        Ok((found.bucket, found.key))
    }

    /// A transaction of the tenant's.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn tenant(&self) -> anyhow::Result<TenantTx> {
        self.0.tenant(DEMO).await.context("open the history")
    }

    /// Looks until `look` finds what it looks for.
    ///
    /// # Errors
    /// When it does not within 30 s, or a look fails.
    pub async fn until<T>(
        &self,
        look: impl AsyncFn(&TenantTx) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        self.within(WRITE_LIMIT, look).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        look: impl AsyncFn(&TenantTx) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let found = tokio::time::timeout(limit, async {
            loop {
                let tx = self.tenant().await?;
                if let Some(found) = look(&tx).await? {
                    return Ok(found);
                }
                drop(tx);
                tokio::time::sleep(POLL).await;
            }
        });
        found.await.unwrap_or_else(|_| anyhow::bail!("not within {} s", limit.as_secs()))
    }
}
