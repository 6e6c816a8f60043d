use std::{collections::HashMap, fmt, sync::LazyLock};

use deadpool_redis::redis::Script;
use domain::{CallSid, TenantId, Timestamp, Turn};

use crate::{Cache, CacheError};

/// Four times the longest call (B4).
const CALL_TTL_SECONDS: u64 = 2 * 60 * 60;
/// Before the party, in the field that names the phase.
const TRANSFERRING: &str = "transferring:";
const ENDED: &str = "ended";
/// What a refused write answers.
const MOVED: &str = "moved";

/// Makes `holder` the one whose word counts, unless the call is over or has come back more often
/// since. Notes where answers go. Returns the record as it then stands, nothing when refused.
static ATTACH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local attempt = tonumber(redis.call('HGET', KEYS[1], 'attempt') or '0')
        if tonumber(ARGV[1]) < attempt or redis.call('HEXISTS', KEYS[1], 'phase') == 1 then
            return false
        end
        redis.call('HSETNX', KEYS[1], 'began', ARGV[4])
        redis.call('HSET', KEYS[1], 'attempt', ARGV[1], 'holder', ARGV[2])
        redis.call('HDEL', KEYS[1], 'taken_from')
        redis.call('EXPIRE', KEYS[1], ARGV[5])
        redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[5])
        return redis.call('HGETALL', KEYS[1])
        ",
    )
});

/// Writes fields for the one that holds the call. A record that was lost is begun anew by it.
static NOTE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local holder = redis.call('HGET', KEYS[1], 'holder')
        if holder and holder ~= ARGV[1] then
            return 0
        end
        redis.call('HSET', KEYS[1], 'holder', ARGV[1], unpack(ARGV, 3))
        redis.call('EXPIRE', KEYS[1], ARGV[2])
        return 1
        ",
    )
});

/// Ends the call, unless it is over or elsewhere already; says how it stood. An end that the vendor
/// tells (no holder) counts in any case.
static END: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local phase = redis.call('HGET', KEYS[1], 'phase') or ''
        if ARGV[1] ~= '' then
            local holder = redis.call('HGET', KEYS[1], 'holder')
            if phase ~= '' then
                return phase
            end
            if holder and holder ~= ARGV[1] then
                return 'moved'
            end
        end
        redis.call('HSET', KEYS[1], 'phase', 'ended')
        redis.call('EXPIRE', KEYS[1], ARGV[2])
        return phase
        ",
    )
});

/// Sets the phase of a call that is not over.
static SET_PHASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('HGET', KEYS[1], 'phase') == 'ended' then
            return 0
        end
        if ARGV[1] == '' then
            redis.call('HDEL', KEYS[1], 'phase')
        else
            redis.call('HSET', KEYS[1], 'phase', ARGV[1])
            redis.call('EXPIRE', KEYS[1], ARGV[2])
        end
        return 1
        ",
    )
});

/// Notes when the call began, where that is not known, and says when it did.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        redis.call('HSETNX', KEYS[1], 'began', ARGV[1])
        redis.call('EXPIRE', KEYS[1], ARGV[2])
        return tonumber(redis.call('HGET', KEYS[1], 'began'))
        ",
    )
});

static DETACH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then
            redis.call('HDEL', KEYS[1], 'holder')
            redis.call('DEL', KEYS[2])
        end
        ",
    )
});

/// Takes a live call from the task whose answers go to `ARGV[1]`: from now on its word does not
/// count. Taken from the same task once more, it is the same attempt.
static TAKE_OVER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[2]) ~= ARGV[1] or redis.call('HEXISTS', KEYS[1], 'phase') == 1 then
            return -1
        end
        if redis.call('HGET', KEYS[1], 'taken_from') ~= ARGV[1] then
            redis.call('HINCRBY', KEYS[1], 'attempt', 1)
            redis.call('HSET', KEYS[1], 'taken_from', ARGV[1], 'holder', 'nobody')
        end
        return tonumber(redis.call('HGET', KEYS[1], 'attempt'))
        ",
    )
});

/// Where a call stands that must not be forgotten while it lasts.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum CallPhase {
    /// It goes on, with us.
    #[default]
    Live,
    /// It is being handed to this party: a number or a SIP address.
    Transferring(String),
    /// It is over, for good.
    Ended,
}

impl CallPhase {
    fn of_field(field: &str) -> Self {
        match field.strip_prefix(TRANSFERRING) {
            Some(to) => Self::Transferring(to.to_owned()),
            None if field == ENDED => Self::Ended,
            None => Self::Live,
        }
    }
}

impl fmt::Debug for CallPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "Live",
            // Not to whom: that is somebody's number.
            Self::Transferring(_) => "Transferring",
            Self::Ended => "Ended",
        })
    }
}

/// How a call stood when it was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It went on; it is over now.
    Now,
    /// It was over before.
    Before,
    /// It is being handed to this party and is not over.
    Transferring(String),
    /// Another task holds it.
    Elsewhere,
}

/// How far the caller has heard the last reply.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HeardSoFar {
    /// The turn answered; 0 is the greeting.
    pub turn: Turn,
    /// The run of the turn whose reply it is (DESIGN 2, turn ledger).
    pub attempt: u32,
    /// The sentence heard last, wholly or in part, from 0.
    pub sentence: u32,
    /// The words heard, those of a sentence heard in part among them.
    pub text: String,
    /// Whether that is the whole reply.
    pub complete: bool,
}

impl fmt::Debug for HeardSoFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeardSoFar")
            .field("turn", &self.turn.0)
            .field("sentence", &self.sentence)
            .field("chars", &self.text.chars().count())
            .field("complete", &self.complete)
            .finish()
    }
}

/// What any edge task has to know of a call to go on with it (DESIGN 5).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CallRecord {
    /// When its first stream started; of a call without one, when it came.
    pub began_at: Option<Timestamp>,
    /// Whose it is, as far as it was told.
    pub tenant: Option<TenantId>,
    /// Where it stands.
    pub phase: CallPhase,
    /// The last turn taken.
    pub taken: Turn,
    /// That turn's event as it was to be published: it may not have been.
    pub turn_event: Option<String>,
    /// The turn the caller was speaking, if it is a later one.
    pub speaking: Turn,
    /// What was heard of the last reply.
    pub heard: Option<HeardSoFar>,
    /// Whether a task holds its socket, as far as it was told.
    pub is_held: bool,
}

impl fmt::Debug for CallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRecord")
            .field("phase", &self.phase)
            .field("taken", &self.taken.0)
            .field("speaking", &self.speaking.0)
            .field("heard", &self.heard)
            .field("is_held", &self.is_held)
            .finish_non_exhaustive()
    }
}

impl CallRecord {
    fn of_fields(fields: &HashMap<String, String>) -> Self {
        let text = |name: &str| fields.get(name).map(String::as_str);
        let number = |name: &str| text(name).and_then(|n| n.parse::<u32>().ok());
        let heard = number("heard_turn").map(|turn| HeardSoFar {
            turn: Turn(turn),
            attempt: number("heard_attempt").unwrap_or(0),
            sentence: number("heard_sentence").unwrap_or(0),
            text: text("heard_text").unwrap_or_default().to_owned(),
            complete: text("heard_complete") == Some("1"),
        });
        Self {
            began_at: text("began").and_then(|at| at.parse().ok()).map(Timestamp::from_micros),
            tenant: text("tenant").and_then(|tenant| tenant.parse().ok()),
            phase: text("phase").map_or(CallPhase::Live, CallPhase::of_field),
            taken: Turn(number("taken").unwrap_or(0)),
            turn_event: text("turn_event").map(str::to_owned),
            speaking: Turn(number("speaking").unwrap_or(0)),
            heard,
            is_held: fields.contains_key("holder"),
        }
    }
}

impl Cache {
    /// Makes `holder` (a name of its own for every socket) the one whose notes of `call` count, and
    /// `queue` the place where answers for it go, on the call's `attempt`-th return. Gives what was
    /// known of the call; nothing when it is over, being transferred, or held on a later return.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn attach_call(
        &self,
        call: &CallSid,
        attempt: u32,
        holder: &str,
        queue: &str,
        now: Timestamp,
    ) -> Result<Option<CallRecord>, CacheError> {
        let keys = (self.record_key(call), self.key(call.as_str(), ":edge"));
        let fields: Option<HashMap<String, String>> = self
            .run("attach_call", |mut c| async move {
                ATTACH
                    .key(keys.0)
                    .key(keys.1)
                    .arg(attempt)
                    .arg(holder)
                    .arg(queue)
                    .arg(now.as_micros())
                    .arg(CALL_TTL_SECONDS)
                    .invoke_async(&mut c)
                    .await
            })
            .await?;
        Ok(fields.as_ref().map(CallRecord::of_fields))
    }

    /// Notes that a call without a media stream came at `now`, and says when it came first.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn begin_call(
        &self,
        call: &CallSid,
        now: Timestamp,
    ) -> Result<Timestamp, CacheError> {
        let key = self.record_key(call);
        self.run("begin_call", |mut c| async move {
            BEGIN.key(key).arg(now.as_micros()).arg(CALL_TTL_SECONDS).invoke_async(&mut c).await
        })
        .await
        .map(Timestamp::from_micros)
    }

    /// What is known of `call`.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn call_record(&self, call: &CallSid) -> Result<CallRecord, CacheError> {
        let key = self.record_key(call);
        let fields: HashMap<String, String> = self
            .run("call_record", |mut c| async move {
                deadpool_redis::redis::cmd("HGETALL").arg(key).query_async(&mut c).await
            })
            .await?;
        Ok(CallRecord::of_fields(&fields))
    }

    /// Notes that the caller's `turn` was taken, with its event as it is about to be published, so
    /// that whoever goes on with the call can publish it again. False when another holds the call.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn note_turn(
        &self,
        call: &CallSid,
        holder: &str,
        turn: Turn,
        event: &str,
    ) -> Result<bool, CacheError> {
        let fields = [("taken", turn.0.to_string()), ("turn_event", event.to_owned())];
        self.note(call, holder, &fields).await
    }

    /// Notes whose call it is. False when another holds it.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn note_tenant(
        &self,
        call: &CallSid,
        holder: &str,
        tenant: TenantId,
    ) -> Result<bool, CacheError> {
        self.note(call, holder, &[("tenant", tenant.to_string())]).await
    }

    /// Notes which turn the caller is speaking. False when another holds the call.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn note_speaking(
        &self,
        call: &CallSid,
        holder: &str,
        turn: Turn,
    ) -> Result<bool, CacheError> {
        self.note(call, holder, &[("speaking", turn.0.to_string())]).await
    }

    /// Notes how far the last reply was heard. False when another holds the call.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn note_heard(
        &self,
        call: &CallSid,
        holder: &str,
        heard: &HeardSoFar,
    ) -> Result<bool, CacheError> {
        let fields = [
            ("heard_turn", heard.turn.0.to_string()),
            ("heard_attempt", heard.attempt.to_string()),
            ("heard_sentence", heard.sentence.to_string()),
            ("heard_text", heard.text.clone()),
            ("heard_complete", u8::from(heard.complete).to_string()),
        ];
        self.note(call, holder, &fields).await
    }

    async fn note(
        &self,
        call: &CallSid,
        holder: &str,
        fields: &[(&str, String)],
    ) -> Result<bool, CacheError> {
        let key = self.record_key(call);
        self.run("note_call", |mut c| async move {
            let mut note = NOTE.key(key);
            note.arg(holder).arg(CALL_TTL_SECONDS);
            for (name, value) in fields {
                note.arg(*name).arg(value);
            }
            note.invoke_async(&mut c).await
        })
        .await
    }

    /// Ends `call` for good, as `holder` knows it, or, with none, as the vendor says. A holder does
    /// not end a call that is elsewhere by now, or being transferred.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn end_call(
        &self,
        call: &CallSid,
        holder: Option<&str>,
    ) -> Result<Ended, CacheError> {
        let key = self.record_key(call);
        let holder = holder.unwrap_or_default();
        let stood: String = self
            .run("end_call", |mut c| async move {
                END.key(key).arg(holder).arg(CALL_TTL_SECONDS).invoke_async(&mut c).await
            })
            .await?;
        Ok(match (&*stood, CallPhase::of_field(&stood)) {
            (MOVED, _) => Ended::Elsewhere,
            (_, CallPhase::Live) => Ended::Now,
            (_, CallPhase::Ended) => Ended::Before,
            // The vendor's word ends a transfer as well.
            (_, CallPhase::Transferring(_)) if holder.is_empty() => Ended::Now,
            (_, CallPhase::Transferring(to)) => Ended::Transferring(to),
        })
    }

    /// Notes that `call` is being handed to `to`, or, with nothing, that it is ours again. False when
    /// it is over.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn set_transferring(
        &self,
        call: &CallSid,
        to: Option<&str>,
    ) -> Result<bool, CacheError> {
        let key = self.record_key(call);
        let phase = to.map(|to| format!("{TRANSFERRING}{to}")).unwrap_or_default();
        self.run("set_transferring", |mut c| async move {
            SET_PHASE.key(key).arg(phase).arg(CALL_TTL_SECONDS).invoke_async(&mut c).await
        })
        .await
    }

    /// Gives `call` up, if `holder` holds it: nobody does until it is attached again.
    ///
    /// # Errors
    /// When Redis is away; a dead holder's calls are found by its task's lease.
    pub async fn detach_call(&self, call: &CallSid, holder: &str) -> Result<(), CacheError> {
        let keys = (self.record_key(call), self.key(call.as_str(), ":edge"));
        self.run("detach_call", |mut c| async move {
            DETACH.key(keys.0).key(keys.1).arg(holder).invoke_async(&mut c).await
        })
        .await
    }

    /// Takes `call` from the task of the queue `from`, whose lease has lapsed: what that task still
    /// notes of it does not count. Gives the number of the return on which the call is to come back,
    /// the same however often it is asked for; nothing where the call is over or elsewhere by now.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn take_over_call(
        &self,
        call: &CallSid,
        from: &str,
    ) -> Result<Option<u32>, CacheError> {
        let keys = (self.record_key(call), self.key(call.as_str(), ":edge"));
        let attempt: i64 = self
            .run("take_over_call", |mut c| async move {
                TAKE_OVER.key(keys.0).key(keys.1).arg(from).invoke_async(&mut c).await
            })
            .await?;
        Ok(u32::try_from(attempt).ok())
    }

    fn record_key(&self, call: &CallSid) -> String {
        self.key(call.as_str(), ":call")
    }
}
