//! What was given up by a consumer, kept to be browsed and replayed (F5). The services add to it; operators' tools read
//! it, under a role of their own and outside row-level security.

mod operator;
pub mod own;
mod settling;

use std::sync::Arc;

use domain::{ConversationId, EventId, FieldCipher, TenantId, Timestamp, Turn};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{Store, StoreError, moment, plain};

pub use operator::{
    Act, Count, DeadLetters, Filter, Including, Letter, Parked, Plan, QUARANTINED_AFTER, State,
};

const BODY: &str = "dead_letters.body";

/// Whose key seals the bodies: those of all tenants, and of none.
const NOBODY: TenantId = TenantId::from_uuid(Uuid::nil());

/// A letter to be kept.
#[derive(Clone, Debug)]
pub struct NewLetter<'a> {
    /// The queue it was meant for.
    pub queue: &'a str,
    /// The broker's id of it.
    pub message: &'a str,
    /// Its group.
    pub group: &'a str,
    /// Why it was given up, in a word.
    pub error_type: &'a str,
    /// Why it was given up, as a text.
    pub reason: &'a str,
    /// How often a handler had begun it.
    pub starts: u32,
    /// How often the broker had handed it out.
    pub receives: u32,
    /// When it was sent, if known.
    pub sent_at: Option<Timestamp>,
    /// When it was given up.
    pub died_at: Timestamp,
    /// What its envelope says; `None` when it cannot be decoded.
    pub about: Option<About<'a>>,
    /// The release of the task that gave it up; empty where the broker itself did.
    pub build: &'a str,
    /// Its body as it was buried.
    pub body: &'a str,
}

/// What an envelope says of itself.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is about.
    pub conversation: ConversationId,
    /// Its id.
    pub event: EventId,
    /// The name of its payload.
    pub event_name: &'a str,
    /// Its turn.
    pub turn: Turn,
    /// How often it had been replayed.
    pub replays: u32,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it became worthless.
    pub expires_at: Option<Timestamp>,
    /// Its trace.
    pub trace_id: Option<&'a str>,
}

/// Where a service puts dead letters.
pub struct Archive {
    store: Store,
    /// Made when the first letter comes: one serves as long as the task lives.
    key: OnceCell<(Vec<u8>, Arc<dyn FieldCipher>)>,
}

impl Archive {
    /// An archive in `store`.
    pub fn new(store: Store) -> Self {
        Self { store, key: OnceCell::new() }
    }

    /// Keeps a letter. One that is there already stays as it is.
    ///
    /// # Errors
    /// As [`Store::tenant`], and when no key can be had.
    pub async fn keep(&self, letter: &NewLetter<'_>) -> Result<(), StoreError> {
        let (wrapped, cipher) = self.key.get_or_try_init(|| self.make_key()).await?;
        let sealed = cipher.seal(BODY, letter.body)?;
        let about = letter.about.as_ref();
        let client = self.store.client().await?;
        let statement = client
            .prepare_cached(
                "INSERT INTO dead_letters (queue, message, message_group, reason, starts, receives,
                    sent_at, died_at, tenant, conversation, event, event_name, turn, replays,
                    occurred_at, expires_at, trace_id, build, body_enc, wrapped_key, error_type)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                    $18, $19, $20, $21)
                 ON CONFLICT DO NOTHING",
            )
            .await?;
        client
            .execute(
                &statement,
                &[
                    &letter.queue,
                    &letter.message,
                    &letter.group,
                    &plain(letter.reason),
                    &count(letter.starts),
                    &count(letter.receives),
                    &letter.sent_at.map(moment),
                    &moment(letter.died_at),
                    &about.map(|a| *a.tenant.as_uuid()),
                    &about.map(|a| *a.conversation.as_uuid()),
                    &about.map(|a| *a.event.as_uuid()),
                    &about.map(|a| a.event_name),
                    &about.map(|a| count(a.turn.0)),
                    &about.map_or(0, |a| count(a.replays)),
                    &about.map(|a| moment(a.occurred_at)),
                    &about.and_then(|a| a.expires_at).map(moment),
                    &about.and_then(|a| a.trace_id),
                    &letter.build,
                    &sealed,
                    wrapped,
                    &letter.error_type,
                ],
            )
            .await?;
        Ok(())
    }

    /// How many letters need somebody, by queue; a queue without any is left out. Those of parked groups have somebody, and
    /// jobs whose time is over are of no use to anybody.
    ///
    /// # Errors
    /// As [`Store::tenant`].
    pub async fn waiting(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let client = self.store.client().await?;
        let statement =
            client.prepare_cached("SELECT queue, letters FROM dead_letters_waiting()").await?;
        let rows = client.query(&statement, &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Forgets letters that are settled and of which nothing was done since `untouched_since`, with what was done to them: up to
    /// `at_most`. Gives how many went.
    ///
    /// # Errors
    /// As [`Store::tenant`].
    pub async fn forget(
        &self,
        untouched_since: Timestamp,
        at_most: i64,
    ) -> Result<i64, StoreError> {
        let client = self.store.client().await?;
        let sql = "SELECT forget_dead_letters($1, $2)";
        Ok(client.query_one(sql, &[&moment(untouched_since), &at_most]).await?.get(0))
    }

    async fn make_key(&self) -> Result<(Vec<u8>, Arc<dyn FieldCipher>), StoreError> {
        let wrapped = self.store.keys().generate(NOBODY).await?;
        let cipher = self.store.keys().cipher(NOBODY, &wrapped).await?;
        Ok((wrapped, cipher))
    }
}

fn count(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
