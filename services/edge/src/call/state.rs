//! What any edge task may ask about a call, in Redis: has it ended, when did it begin, does a task hold its socket.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cache::{Cache, CacheError, CallPhase, Ended};
use domain::{CallSid, Timestamp};

/// A call that comes back does so at once.
const RETURN_MEMORY: Duration = Duration::from_secs(60);
/// A vendor asks at once what to do with a call that is over; a little longer, for an outage of Redis.
const ENDED_MEMORY: Duration = Duration::from_secs(10 * 60);

/// Where a call stands.
#[derive(Clone, PartialEq, Eq)]
pub enum CallState {
    /// It has just come.
    New,
    /// It goes on.
    Live,
    /// It is being handed to this party, a number or a SIP address: it is dialled, and not revived here.
    Transferring(String),
    /// It is over and must not be revived.
    Ended,
    /// Redis is away.
    Unknown,
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "New",
            Self::Live => "Live",
            // Not to whom: that is somebody's number.
            Self::Transferring(_) => "Transferring",
            Self::Ended => "Ended",
            Self::Unknown => "Unknown",
        })
    }
}

/// The states of calls.
#[derive(Clone)]
pub struct CallStates {
    cache: Cache,
    /// Calls that ended here while Redis could not be told: without them a call would come back for as long as it is away.
    ended_here: Arc<Mutex<HashMap<CallSid, Instant>>>,
}

impl CallStates {
    /// States kept in `cache`.
    pub fn new(cache: Cache) -> Self {
        Self { cache, ended_here: Arc::default() }
    }

    /// Where a call stands that has come to us before.
    pub async fn state(&self, call: &CallSid) -> CallState {
        match self.cache.call_record(call).await.map(|record| record.phase) {
            Ok(CallPhase::Live) => CallState::Live,
            Ok(CallPhase::Transferring(to)) => CallState::Transferring(to),
            Ok(CallPhase::Ended) => CallState::Ended,
            Err(_) if self.ended_here().contains_key(call) => CallState::Ended,
            Err(_) => CallState::Unknown,
        }
    }

    fn ended_here(&self) -> MutexGuard<'_, HashMap<CallSid, Instant>> {
        self.ended_here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_noted(&self, call: &CallSid, error: &CacheError) {
        tracing::warn!(%call, %error, "end of the call not noted; it may be connected again elsewhere");
        let now = Instant::now();
        let mut ended = self.ended_here();
        ended.retain(|_, at| now.duration_since(*at) < ENDED_MEMORY);
        ended.insert(call.clone(), now);
    }

    /// Notes that a call is being handed to `to`. Comes before the vendor is told, which asks at once what to do with
    /// the call.
    ///
    /// # Errors
    /// When Redis is away: a socket that closes now would bring the call back here.
    pub async fn set_transferring(&self, call: &CallSid, to: &str) -> Result<(), CacheError> {
        self.cache.set_transferring(call, Some(to)).await.map(drop)
    }

    /// Notes that a call nobody took is ours again.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn set_live(&self, call: &CallSid) -> Result<(), CacheError> {
        self.cache.set_transferring(call, None).await.map(drop)
    }

    /// Notes that a call comes back from a transfer that nobody took, on its `attempt`-th return.
    pub async fn set_returned(&self, call: &CallSid, attempt: u32) {
        let key = returned_key(call, attempt);
        if let Err(error) = self.cache.remember_answer(&key, RETURN_MEMORY, "1").await {
            tracing::warn!(%call, %error, "the caller is not told that nobody took the call");
        }
    }

    /// Whether the `attempt`-th return of a call is one from a transfer that nobody took.
    pub async fn is_returned(&self, call: &CallSid, attempt: u32) -> bool {
        let noted = self.cache.remembered_answer(&returned_key(call, attempt)).await;
        matches!(noted, Ok(Some(_)))
    }

    /// Notes that a call is over. Comes before its socket is closed, for the vendor then asks at once.
    pub async fn set_ended(&self, call: &CallSid) {
        if let Err(error) = self.cache.end_call(call, None).await {
            self.not_noted(call, &error);
        }
    }

    /// Ends a call for the socket `holder`, unless it is elsewhere by now.
    pub async fn end(&self, call: &CallSid, holder: &str) -> Ended {
        self.cache.end_call(call, Some(holder)).await.unwrap_or_else(|error| {
            self.not_noted(call, &error);
            Ended::Now
        })
    }

    /// When a call without a media stream began: `now`, or what was noted when it came the first time.
    pub async fn begin(&self, call: &CallSid, now: Timestamp) -> Timestamp {
        self.cache.begin_call(call, now).await.unwrap_or(now)
    }

    /// When the call began, if it ever did.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn began_at(&self, call: &CallSid) -> Result<Option<Timestamp>, CacheError> {
        Ok(self.cache.call_record(call).await?.began_at)
    }

    /// Whether some task that is alive holds the call's socket.
    pub async fn is_held(&self, call: &CallSid) -> bool {
        let Ok(Some(queue)) = self.cache.edge_of(call).await else { return false };
        matches!(self.cache.edge_is_alive(&queue).await, Ok(true))
    }
}

fn returned_key(call: &CallSid, attempt: u32) -> String {
    format!("call-returned:{call}:{attempt}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_ended_while_redis_was_away_does_not_come_back_here() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let cache = Cache::connect(&format!("redis://{nobody}"), "test").unwrap();
        let states = CallStates::new(cache);
        let call = |text| CallSid::parse(text).unwrap();
        for (sid, holder) in [("CA1", None), ("CA2", Some("edge-1:7"))] {
            assert_eq!(states.state(&call(sid)).await, CallState::Unknown);
            match holder {
                Some(holder) => assert_eq!(states.end(&call(sid), holder).await, Ended::Now),
                None => states.set_ended(&call(sid)).await,
            }
            assert_eq!(states.clone().state(&call(sid)).await, CallState::Ended);
        }
        assert_eq!(states.state(&call("CA3")).await, CallState::Unknown);
    }
}
