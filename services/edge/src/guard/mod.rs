//! What keeps the border: signatures, forgers, limits, repeats (E1 to E3). Decisions are pure functions; what several
//! tasks must know at once lies in Redis, and without Redis each task keeps its own limits (DESIGN 5).

pub mod client_address;
mod local;
pub mod signatures;

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use cache::{Admission, Cache, CacheError};
use domain::CallSid;
use local::LocalMemory;
use uuid::Uuid;

use crate::channel::UserKey;

/// E2: requests of one person.
const USER_LIMIT: u32 = 100;
const USER_WINDOW: Duration = Duration::from_secs(60);
/// E2: media and browser sockets of one person at once.
const SOCKETS_PER_USER: usize = 3;
/// E3: so many bad signatures from one address within the window block it. High enough for a vendor's key being
/// rotated at the wrong moment, low enough that guessing is hopeless.
const FORGERIES_LIMIT: u32 = 20;
const FORGERIES_WINDOW: Duration = Duration::from_secs(5 * 60);
const BLOCK_FOR: Duration = Duration::from_secs(15 * 60);
/// E3: an address that signed correctly within this time is never blocked.
const SIGNED_LATELY: Duration = Duration::from_secs(60 * 60);
/// The mark of a good address is renewed no more often than this, to spare Redis a write per request.
const SIGNED_RENEWED_AFTER: Duration = Duration::from_secs(10 * 60);
/// E1: how long a repeated request is recognised.
const REPEAT_WINDOW: Duration = Duration::from_secs(5 * 60);
/// After Redis failed once it is left alone for this long, so that a webhook does not wait for it at every step.
const REDIS_REST: Duration = Duration::from_secs(1);
/// A live socket renews its slot well within this.
pub const SOCKET_LEASE: Duration = Duration::from_secs(15);

/// The border guard of this task.
pub struct Guard {
    cache: Cache,
    local: Mutex<LocalMemory>,
    redis_failed: Mutex<Option<Instant>>,
}

/// One of a person's few sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSlot {
    lease: String,
    owner: String,
}

impl Guard {
    /// A guard that shares what it knows through `cache`.
    pub fn new(cache: Cache) -> Self {
        Self { cache, local: Mutex::default(), redis_failed: Mutex::default() }
    }

    /// Whether requests from `source` are refused unread (E3). One that signed correctly of late is not, and was not blocked
    /// by another task either: nobody has to be asked.
    pub async fn is_blocked(&self, source: IpAddr) -> bool {
        !self.is_marked_here(&format!("renewed:{source}"))
            && self.is_marked(&format!("blocked:{source}")).await
    }

    /// Notes a bad signature from `source`; true when that blocks it.
    pub async fn note_forgery(&self, source: IpAddr) -> bool {
        let signed_lately = self.is_marked(&format!("signed:{source}")).await;
        let key = format!("forged:{source}");
        let within_limit = self.hit(&key, FORGERIES_WINDOW, FORGERIES_LIMIT).await;
        let block = must_block(within_limit, signed_lately);
        if block {
            self.mark(&format!("blocked:{source}"), BLOCK_FOR).await;
        }
        block
    }

    /// Notes a good signature from `source`.
    pub async fn note_signed(&self, source: IpAddr) {
        let renewed = format!("renewed:{source}");
        if !self.local().mark(&renewed, SIGNED_RENEWED_AFTER, Instant::now()) {
            self.mark(&format!("signed:{source}"), SIGNED_LATELY).await;
        }
    }

    /// Counts a request of `user`; false when it is over the limit (E2).
    pub async fn admit(&self, user: UserKey) -> bool {
        self.hit(&format!("user:{}", user.0), USER_WINDOW, USER_LIMIT).await
    }

    /// Counts a request of `user` to the API, of which `limit` are allowed a minute (E2).
    ///
    /// # Errors
    /// Over the limit: the time until the next one is allowed.
    pub async fn admit_to_api(&self, user: UserKey, limit: u32) -> Result<(), Duration> {
        let key = format!("api:{}", user.0);
        match self.shared(self.cache.hit(&key, USER_WINDOW, limit)).await {
            Some(Admission::Allowed) => Ok(()),
            Some(Admission::Denied { retry_after }) => Err(retry_after),
            None if self.local().hit(&key, USER_WINDOW, limit, Instant::now()) => Ok(()),
            None => Err(USER_WINDOW),
        }
    }

    /// Takes one of the sockets of `user` for `call`; `None` when all are taken (E2).
    pub async fn take_socket(
        &self,
        user: UserKey,
        call: &CallSid,
        attempt: u32,
    ) -> Option<SocketSlot> {
        let owner = format!("{call}:{attempt}");
        for slot in 0..SOCKETS_PER_USER {
            let slot =
                SocketSlot { lease: format!("socket:{}:{slot}", user.0), owner: owner.clone() };
            match self.renew_socket(&slot).await {
                Ok(true) => return Some(slot),
                Ok(false) => {}
                // A person cannot be counted without Redis; the limit of requests still holds.
                Err(_) => return Some(slot),
            }
        }
        None
    }

    /// Keeps a slot for another [`SOCKET_LEASE`]; false when another has it by now.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn renew_socket(&self, slot: &SocketSlot) -> Result<bool, CacheError> {
        self.cache.renew_lease(&slot.lease, &slot.owner, SOCKET_LEASE).await
    }

    /// Gives a slot back.
    pub async fn release_socket(&self, slot: &SocketSlot) {
        // Where it fails the lease ends by itself.
        let _ = self.cache.release_lease(&slot.lease, &slot.owner).await;
    }

    /// Whether a one-time token is shown for the first time (E1). Without Redis this task's own memory decides.
    pub async fn is_first_use(&self, nonce: Uuid, ttl: Duration) -> bool {
        let key = format!("token:{nonce}");
        let seen_here = self.local().mark(&key, ttl, Instant::now());
        let seen_elsewhere = self.shared(self.cache.seen_before(&key, ttl)).await.unwrap_or(false);
        !seen_here && !seen_elsewhere
    }

    /// The answer given to the same request before. Without Redis repeats are accepted: token expiry, queue
    /// deduplication and claims hold (DESIGN 5).
    pub async fn earlier_answer(&self, repeat_key: &str) -> Option<String> {
        self.shared(self.cache.remembered_answer(repeat_key)).await.flatten()
    }

    /// Keeps the answer to a request and returns the one that stands: where the same request was answered at the same
    /// time, both get the same.
    pub async fn keep_answer(&self, repeat_key: &str, answer: String) -> String {
        let kept = self.cache.remember_answer(repeat_key, REPEAT_WINDOW, &answer);
        self.shared(kept).await.unwrap_or(answer)
    }

    /// Marks `key` for `ttl` in this task alone; says whether it was before.
    pub fn was_marked_here(&self, key: &str, ttl: Duration) -> bool {
        self.local().mark(key, ttl, Instant::now())
    }

    /// Whether this task has marked `key`.
    pub fn is_marked_here(&self, key: &str) -> bool {
        self.local().is_marked(key, Instant::now())
    }

    /// Marks `key` for `ttl` where all tasks see it, and here.
    async fn mark(&self, key: &str, ttl: Duration) {
        self.local().mark(key, ttl, Instant::now());
        self.shared(self.cache.remember_answer(key, ttl, "1")).await;
    }

    async fn is_marked(&self, key: &str) -> bool {
        match self.shared(self.cache.remembered_answer(key)).await {
            Some(mark) => mark.is_some(),
            None => self.local().is_marked(key, Instant::now()),
        }
    }

    async fn hit(&self, key: &str, window: Duration, limit: u32) -> bool {
        match self.shared(self.cache.hit(key, window, limit)).await {
            Some(admission) => admission == Admission::Allowed,
            None => self.local().hit(key, window, limit, Instant::now()),
        }
    }

    /// Asks Redis, unless it failed a moment ago; `None` is what it does not answer.
    async fn shared<T>(&self, ask: impl Future<Output = Result<T, CacheError>>) -> Option<T> {
        let failed =
            |guard: &Self| *guard.redis_failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed(self).is_some_and(|at| at.elapsed() < REDIS_REST) {
            return None;
        }
        let answer = ask.await;
        let now = answer.is_err().then(Instant::now);
        *self.redis_failed.lock().unwrap_or_else(PoisonError::into_inner) = now;
        answer.ok()
    }

    fn local(&self) -> std::sync::MutexGuard<'_, LocalMemory> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// E3 in one line: too many forgeries block, unless the address signed correctly of late.
fn must_block(within_limit: bool, signed_lately: bool) -> bool {
    !within_limit && !signed_lately
}
