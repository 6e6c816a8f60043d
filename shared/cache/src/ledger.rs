use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::LazyLock,
};

use deadpool_redis::redis::Script;
use domain::{ConversationId, Handover, Turn};
use uuid::Uuid;

use crate::{Cache, CacheError};

const LEDGER_TTL_SECONDS: u64 = 60 * 60;
/// Before the name of a value, so that it is never taken for anything else of the ledger.
const VALUE_PREFIX: &str = "v:";

/// Sets the attempt where there is none, and returns the whole ledger.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        redis.call('HSETNX', KEYS[1], 'attempt', ARGV[1])
        redis.call('EXPIRE', KEYS[1], ARGV[2])
        return redis.call('HGETALL', KEYS[1])
        ",
    )
});

/// Writes fields where there are none, all in one step, and returns what stands in each; nil when
/// the ledger is not of this attempt.
static RECORD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then
            return false
        end
        local standing = {}
        for i = 3, #ARGV, 2 do
            redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
            standing[#standing + 1] = redis.call('HGET', KEYS[1], ARGV[i])
        end
        redis.call('EXPIRE', KEYS[1], ARGV[2])
        return standing
        ",
    )
});

/// What earlier runs of a turn have said and done. A second run continues from here, never afresh,
/// because a model never answers twice alike (DESIGN 2, "Turn ledger").
#[derive(Clone, PartialEq, Default)]
pub struct Ledger {
    /// The run that owns the ledger; every run of the turn shares it until the ledger is lost. At
    /// most `i32::MAX`, never 0.
    pub attempt: u32,
    /// The sentences recorded, from the first on, without a gap.
    pub sentences: Vec<String>,
    /// What else was recorded, by name: tool results, the agent chosen.
    pub values: BTreeMap<String, String>,
    /// What [`Cache::finish_turn`] recorded; the turn is whole then.
    pub finished: Option<String>,
    /// What is to become of the call once the whole reply was heard.
    pub sequel: Sequel,
}

/// What becomes of a call once a reply was heard. Whoever takes the call over has to know of it.
#[derive(Clone, PartialEq, Default)]
pub struct Sequel {
    /// It ends.
    pub hang_up: bool,
    /// It goes to a human.
    pub transfer: Option<Handover>,
}

/// Something to be recorded in a ledger.
#[derive(Clone, Copy)]
pub enum Record<'a> {
    /// The sentence of this index, from 0, of the reply.
    Sentence(usize, &'a str),
    /// A value under a name: a tool's result, the agent chosen.
    Value(&'a str, &'a str),
}

impl fmt::Debug for Ledger {
    /// Shows how much there is, not what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("attempt", &self.attempt)
            .field("sentences", &self.sentences.len())
            .field("values", &self.values.keys().collect::<Vec<_>>())
            .field("finished", &self.finished.is_some())
            .finish()
    }
}

impl Ledger {
    fn of_fields(mut fields: HashMap<String, String>) -> Option<Self> {
        let attempt = fields.remove("attempt")?.parse().ok()?;
        let mut sentences = Vec::new();
        while let Some(text) = fields.remove(&sentence_field(sentences.len())) {
            sentences.push(text);
        }
        let finished = fields.remove("finished");
        let (to, summary) = (fields.remove("transfer_to"), fields.remove("summary"));
        let transfer = to
            .filter(|to| !to.is_empty())
            .map(|to| Handover { to: to.into(), summary: summary.unwrap_or_default().into() });
        let hang_up = fields.remove("hang_up").is_some_and(|flag| flag == "1");
        let sequel = Sequel { hang_up, transfer };
        let values = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(VALUE_PREFIX)?.to_owned(), value)))
            .collect();
        Some(Self { attempt, sentences, values, finished, sequel })
    }
}

fn sentence_field(index: usize) -> String {
    format!("s:{index}")
}

fn value_field(name: &str) -> String {
    format!("{VALUE_PREFIX}{name}")
}

impl Cache {
    /// Opens the ledger of `turn`: as an earlier run left it, or a new one under a new attempt
    /// number. The number is random, so that a lost ledger is never mistaken for the new one.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn begin_turn(
        &self,
        conversation: ConversationId,
        turn: Turn,
    ) -> Result<Ledger, CacheError> {
        let key = self.ledger_key(conversation, turn);
        // PostgreSQL has no unsigned numbers, hence the sign bit; 0 is left to mean none.
        let attempt = (Uuid::new_v4().as_u128() as u32 & 0x7fff_ffff).max(1);
        let fields: HashMap<String, String> = self
            .run("begin_turn", |mut c| async move {
                BEGIN.key(key).arg(attempt).arg(LEDGER_TTL_SECONDS).invoke_async(&mut c).await
            })
            .await?;
        Ledger::of_fields(fields).ok_or(CacheError::LedgerLost)
    }

    /// The ledger of `turn` as it stands, without beginning one.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn ledger(
        &self,
        conversation: ConversationId,
        turn: Turn,
    ) -> Result<Option<Ledger>, CacheError> {
        let key = self.ledger_key(conversation, turn);
        let fields: HashMap<String, String> = self
            .run("ledger", |mut c| async move {
                deadpool_redis::redis::cmd("HGETALL").arg(key).query_async(&mut c).await
            })
            .await?;
        Ok(Ledger::of_fields(fields))
    }

    /// Records `records`, all in one step, before they have effect, and returns what stands in the place of each: what
    /// was given, or what another run recorded first. Only that may be spoken, or acted on.
    ///
    /// # Errors
    /// [`CacheError::LedgerLost`] when `attempt` does not own the ledger any more.
    pub async fn record(
        &self,
        conversation: ConversationId,
        turn: Turn,
        attempt: u32,
        records: &[Record<'_>],
    ) -> Result<Vec<String>, CacheError> {
        let fields = records.iter().map(|record| match record {
            Record::Sentence(index, text) => (sentence_field(*index), *text),
            Record::Value(name, value) => (value_field(name), *value),
        });
        self.record_fields(conversation, turn, attempt, fields.collect()).await
    }

    /// Records that the reply is whole, with `meta` to publish the same end again and, in the same
    /// step, the `sequel`. Returns what stands there: `meta`, or what another run recorded first.
    ///
    /// # Errors
    /// [`CacheError::LedgerLost`] when `attempt` does not own the ledger any more.
    pub async fn finish_turn(
        &self,
        conversation: ConversationId,
        turn: Turn,
        attempt: u32,
        meta: &str,
        sequel: &Sequel,
    ) -> Result<String, CacheError> {
        let transfer = sequel.transfer.as_ref();
        let fields = [
            ("finished", meta),
            ("hang_up", if sequel.hang_up { "1" } else { "0" }),
            ("transfer_to", transfer.map_or("", |t| t.to.reveal())),
            ("summary", transfer.map_or("", |t| t.summary.reveal())),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let standing = self.record_fields(conversation, turn, attempt, fields.into()).await?;
        standing.into_iter().next().ok_or(CacheError::LedgerLost)
    }

    async fn record_fields(
        &self,
        conversation: ConversationId,
        turn: Turn,
        attempt: u32,
        fields: Vec<(String, &str)>,
    ) -> Result<Vec<String>, CacheError> {
        let key = self.ledger_key(conversation, turn);
        let standing: Option<Vec<String>> = self
            .run("record", |mut c| async move {
                let mut recording = RECORD.key(key);
                recording.arg(attempt).arg(LEDGER_TTL_SECONDS);
                for (field, value) in fields {
                    recording.arg(field).arg(value);
                }
                recording.invoke_async(&mut c).await
            })
            .await?;
        standing.ok_or(CacheError::LedgerLost)
    }

    fn ledger_key(&self, conversation: ConversationId, turn: Turn) -> String {
        self.key(&conversation.to_string(), &format!(":turn:{}", turn.0))
    }
}
