//! What the history costs to read when there is much of it: pages of 30 days (F1), and their plans.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::{ConversationId, TenantId, Timestamp};
use serde::Serialize;
use store::history::{self, ConversationFilter};
use store::{Store, StoreError, TenantTx};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;
use vault::FieldKeys;

use super::{Spread, row};
use crate::aws;
use crate::log::{Echo, Log};
use crate::stores::{Options, Stores};

const WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The history lies within twice the window.
const DAYS: i64 = 60;
const PAGE: i64 = 51;
/// Nine of ten messages are this tenant's, the others another's.
const SHARE: f64 = 0.9;
const CONNECTIONS: usize = 2;
const KMS_KEY: &str = "alias/switchboard";

/// How much history, and how often it is asked for.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct HistoryLoad {
    /// Messages of all tenants.
    pub messages: u32,
    /// Conversations of all tenants.
    pub conversations: u32,
    /// How often each question is asked.
    pub asks: u32,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct HistoryReport {
    /// What was asked.
    pub load: HistoryLoad,
    /// How long it took to fill the tables, s.
    pub filled_s: f64,
    /// Each question, and how long its answers took.
    pub questions: Vec<Question>,
}

/// A question, and how long its answers took.
#[derive(Debug, Serialize)]
pub struct Question {
    /// What is asked for.
    pub what: &'static str,
    /// How long.
    pub took: Spread,
    /// All but one in a hundred took no longer, ms.
    pub p99_ms: f64,
    /// How many rows the last answer had.
    pub rows: usize,
    /// How PostgreSQL found them: a plan for each statement of the last question.
    pub plans: Vec<String>,
}

/// Fills a PostgreSQL of its own, and reads it as the API does, under the role of the services.
///
/// # Errors
/// When the stores cannot be started, filled or read.
pub async fn history(load: HistoryLoad) -> anyhow::Result<HistoryReport> {
    let logs = tempfile::tempdir().context("create a log folder")?;
    let log = Log::open(logs.path(), Echo::Off)?;
    let options = Options { given: std::env::vars().collect(), ..Options::default() };
    let stores = Stores::start(&options, &log).await?;
    let read = on_stores(&stores, load).await;
    stores.stop().await?;
    read
}

async fn on_stores(stores: &Stores, load: HistoryLoad) -> anyhow::Result<HistoryReport> {
    let environment: boot::Environment = stores.environment().clone().into_iter().collect();
    let url = &stores.environment()["DATABASE_URL"];
    store::migrate::run(url).await?;
    let kms = aws_sdk_kms::Client::new(&aws::config(&environment).await);
    vault::ensure_key(&kms, KMS_KEY).await?;
    let store = Store::connect(url, CONNECTIONS, Arc::new(FieldKeys::new(kms, KMS_KEY)))?;
    let (owner, connection) =
        tokio_postgres::connect(url, NoTls).await.context("reach the database")?;
    let connection = tokio::spawn(connection);
    let begun = Instant::now();
    let tenant = fill(&owner, load).await.context("fill the history")?;
    let people = ids(&owner, "users", tenant, load.asks).await?;
    let talks = ids(&owner, "conversations", tenant, load.asks).await?;
    let filled_s = begun.elapsed().as_secs_f64();
    drop(owner);
    connection.await.context("leave the database")?.context("leave the database")?;

    let reader = Reader { store, tenant, people, talks };
    let questions = reader.ask_everything().await?;
    Ok(HistoryReport { load, filled_s, questions })
}

/// Two tenants, the larger of which is given back.
async fn fill(owner: &Client, load: HistoryLoad) -> anyhow::Result<TenantId> {
    let tenants = [Uuid::now_v7(), Uuid::now_v7()];
    for (tenant, slug, share) in [(tenants[0], "many", SHARE), (tenants[1], "few", 1.0 - SHARE)] {
        let of = |all: u32| (f64::from(all) * share) as i32;
        let (conversations, messages) = (of(load.conversations).max(1), of(load.messages).max(1));
        let people = (conversations / 10).max(1);
        owner.execute("INSERT INTO tenants (id, slug) VALUES ($1, $2)", &[&tenant, &slug]).await?;
        for sql in FILL {
            let sql = sql
                .replace("$tenant", &format!("'{tenant}'::uuid"))
                .replace("$people", &people.to_string())
                .replace("$conversations", &conversations.to_string())
                .replace("$messages", &messages.to_string())
                .replace("$days", &DAYS.to_string());
            owner.batch_execute(&sql).await?;
        }
    }
    owner.batch_execute("VACUUM ANALYZE").await?;
    Ok(TenantId::from_uuid(tenants[0]))
}

/// Ids are made of numbers, so that the statements need no look-up. A tenth of the words are in most messages, a tenth in few.
const FILL: [&str; 3] = [
    "INSERT INTO users (tenant, id, first_seen_at, last_seen_at)
     SELECT $tenant, md5($tenant || 'u' || n)::uuid, now(), now() FROM generate_series(1, $people) n",
    "INSERT INTO conversations (tenant, id, channel, user_id, started_at, last_active_at)
     SELECT $tenant, md5($tenant || 'c' || n)::uuid,
         (ARRAY['voice', 'whatsapp', 'whatsapp', 'sms'])[1 + n % 4],
         md5($tenant || 'u' || (1 + n % $people))::uuid, at, at
     FROM (SELECT n, now() - $days * interval '1 day' * n / $conversations AS at
           FROM generate_series(1, $conversations) n) c",
    "INSERT INTO messages (tenant, id, conversation, channel, role, turn, position, kind, text, agent, occurred_at)
     SELECT $tenant, md5($tenant || 'm' || n)::uuid,
         md5($tenant || 'c' || (1 + n % $conversations))::uuid, 'whatsapp',
         CASE n / $conversations % 2 WHEN 0 THEN 'user' ELSE 'agent' END,
         n / $conversations, n / $conversations, 'text',
         format('I would like an appointment number %s with doctor d%s about a%s',
             n, n % 5000, (n::bigint * 7919) % 100000),
         CASE n / $conversations % 2 WHEN 1 THEN (ARRAY['reception', 'booking', 'billing'])[1 + n % 3] END,
         now() - $days * interval '1 day' * (1 + n % $conversations) / $conversations
     FROM generate_series(0, $messages - 1) n",
];

/// Some ids of a table, as many as there are questions.
async fn ids(
    owner: &Client,
    table: &str,
    tenant: TenantId,
    asks: u32,
) -> anyhow::Result<Vec<Uuid>> {
    let sql = format!("SELECT id FROM {table} WHERE tenant = $1 ORDER BY id LIMIT $2");
    let rows = owner.query(&sql, &[tenant.as_uuid(), &i64::from(asks)]).await;
    Ok(rows.context("choose what is asked for")?.iter().map(|row| row.get(0)).collect())
}

struct Reader {
    store: Store,
    tenant: TenantId,
    people: Vec<Uuid>,
    talks: Vec<Uuid>,
}

impl Reader {
    async fn ask_everything(&self) -> anyhow::Result<Vec<Question>> {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let from = Timestamp::from_micros(Timestamp::now().as_micros() - micros(WINDOW));
        let window = ConversationFilter { from: Some(from), ..ConversationFilter::default() };
        let mut questions = Vec::new();
        let mut note = |question| questions.push(question);
        note(self.pages("the newest of the window", |_| window.clone()).await?);
        note(self.pages("of a channel", |_| on("whatsapp", &window)).await?);
        note(
            self.pages("of a person", |n| ConversationFilter {
                user: Some(self.people[n]),
                ..window.clone()
            })
            .await?,
        );
        note(
            self.pages("of an agent", |_| ConversationFilter {
                agent: Some("billing".into()),
                ..window.clone()
            })
            .await?,
        );
        note(self.pages("a rare word", |n| saying(format!("a{}", n * 31), &window)).await?);
        note(self.pages("a word in a thousand", |n| saying(format!("d{n}"), &window)).await?);
        note(
            self.pages("a word in all messages", |_| saying("appointment".into(), &window)).await?,
        );
        note(self.pages("common and rare", |n| saying(format!("doctor a{n}"), &window)).await?);
        note(self.pages("a word nobody said", |n| saying(format!("x{n}"), &window)).await?);
        note(
            self.pages("a word in a thousand, on a channel", |n| {
                saying(format!("d{n}"), &on("voice", &window))
            })
            .await?,
        );
        let deep = from.plus(WINDOW / 30);
        note(
            self.asked("the page before the last", async |tx, _| {
                let after = Some((deep, Uuid::nil()));
                Ok(history::conversations(tx, &window, after, PAGE).await?.len())
            })
            .await?,
        );
        note(
            self.asked("the messages of a conversation", async |tx, n| {
                let talk = ConversationId::from_uuid(self.talks[n]);
                Ok(history::messages(tx, talk, None, false, PAGE).await?.len())
            })
            .await?,
        );
        Ok(questions)
    }

    async fn pages(
        &self,
        what: &'static str,
        filter: impl Fn(usize) -> ConversationFilter,
    ) -> anyhow::Result<Question> {
        self.asked(what, async |tx, n| {
            Ok(history::conversations(tx, &filter(n), None, PAGE).await?.len())
        })
        .await
    }

    async fn asked(
        &self,
        what: &'static str,
        ask: impl AsyncFn(&TenantTx, usize) -> Result<usize, StoreError>,
    ) -> anyhow::Result<Question> {
        let mut took = Vec::new();
        let mut rows = 0;
        let asks = self.people.len().min(self.talks.len());
        for n in 0..asks {
            let begun = Instant::now();
            let tx = self.store.tenant(self.tenant).await?;
            rows = ask(&tx, n).await?;
            tx.commit().await?;
            took.push(begun.elapsed());
        }
        let mut tx = self.store.tenant(self.tenant).await?;
        tx.explain();
        ask(&tx, asks.saturating_sub(1)).await?;
        let plans = tx.plans();
        took.sort_unstable();
        let rank = (took.len() * 99).div_ceil(100).max(1);
        let p99_ms = took.get(rank - 1).map_or(0.0, |took| took.as_secs_f64() * 1000.0);
        let took = Spread::of(took).context("nothing was asked")?;
        Ok(Question { what, took, p99_ms, rows, plans })
    }
}

fn on(channel: &str, filter: &ConversationFilter) -> ConversationFilter {
    ConversationFilter { channel: Some(channel.into()), ..filter.clone() }
}

fn saying(text: String, filter: &ConversationFilter) -> ConversationFilter {
    ConversationFilter { text: Some(text), ..filter.clone() }
}

impl HistoryReport {
    /// The plans of all questions, for people.
    #[must_use]
    pub fn plans(&self) -> String {
        let told = |question: &Question| {
            let plans = question.plans.iter().map(|plan| format!("\n{plan}\n"));
            format!("\n{}:\n{}", question.what, plans.collect::<String>())
        };
        self.questions.iter().map(told).collect()
    }
}

impl fmt::Display for HistoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HistoryLoad { messages, conversations, asks } = self.load;
        writeln!(
            f,
            "{messages} messages of {conversations} conversations in {DAYS} days, filled in {:.0} s; a window of 30 days, \
             each asked {asks} times",
            self.filled_s
        )?;
        writeln!(f, "{:<44} {:>7} {:>7} {:>7}", "ms", "p50", "p95", "max")?;
        for Question { what, took, p99_ms, rows, .. } in &self.questions {
            row(f, &format!("{what} ({rows} rows; p99 {p99_ms:.1})"), took)?;
        }
        Ok(())
    }
}
