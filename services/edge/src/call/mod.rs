//! A phone call while it lasts: the media socket, the session that owns the call core, and the effects it has outside
//! (DESIGN 3).
//!
//! The session's loop never waits for anything but its inputs. Redis, the queues and S3 are reached by tasks of the
//! call's own ([`effects`], [`recording`]), so that a slow store cannot hold up a 20 ms frame.

mod clock;
mod effects;
pub mod event_log;
mod fences;
mod off_record;
pub mod prompts;
pub mod recording;
mod resumption;
mod session;
mod settle;
pub mod socket;
pub mod state;
pub mod takeover;
pub mod token;
pub mod wire;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bus::Bus;
use cache::Cache;
use domain::{CallSid, Envelope};
pub use settle::settle_call_over;
use store::Store;
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{config::StreamSignature, directory::Directory, guard::Guard};

/// What every call of this task shares.
pub struct CallServices {
    /// To the topic and the queues.
    pub bus: Bus,
    /// Fences, leases, states.
    pub cache: Cache,
    /// What is recorded of a call, where Redis did not hear of it.
    pub store: Store,
    /// One-time tokens and the limit of sockets.
    pub guard: Arc<Guard>,
    /// Tenants' settings.
    pub directory: Arc<Directory>,
    /// Opens the tokens of media sockets.
    pub tokens: Arc<token::StreamTokens>,
    /// What Twilio calls us, and signs with.
    pub twilio: crate::channel::twilio_voice::TwilioSettings,
    /// Whether a socket must be signed.
    pub stream_signature: StreamSignature,
    /// States that other tasks see.
    pub states: state::CallStates,
    /// How calls are handed over to humans.
    pub transfers: crate::channel::twilio_voice::Transfers,
    /// Greetings and fillers, rendered ahead.
    pub prompts: Arc<prompts::PromptStore>,
    /// Where event logs of calls go; nowhere by default.
    pub event_logs: event_log::EventLogs,
    /// Where recordings go.
    pub recordings: recording::Recordings,
    /// The calls whose sockets this task holds.
    pub live: LiveCalls,
    /// This task's own queue: where answers for its calls go.
    pub own_queue: String,
    /// Where effects run, apart from the threads that serve sockets.
    pub runtime: Handle,
    /// Counts the work that must be finished before the process ends.
    pub unfinished: TaskTracker,
    /// The task takes no new calls.
    pub stopping: CancellationToken,
    /// The drain is over: what is still live is handed over by closing its socket.
    pub cut: CancellationToken,
}

/// The calls whose sockets this task holds, by id: where answers from the mesh find their session.
#[derive(Default)]
pub struct LiveCalls {
    mailboxes: Mutex<HashMap<CallSid, (u64, mpsc::Sender<Envelope>)>>,
    next: AtomicU64,
}

/// Why an answer did not reach its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDelivered {
    /// This task does not hold the call: it is over, or moved.
    NotHere,
    /// The session does not keep up.
    Full,
}

impl LiveCalls {
    /// Hands an answer to its call's session.
    ///
    /// # Errors
    /// When the call is not here, or its session does not keep up.
    pub fn deliver(&self, call: &CallSid, answer: Envelope) -> Result<(), NotDelivered> {
        let mailbox = self.mailboxes().get(call).map(|(_, mailbox)| mailbox.clone());
        let mailbox = mailbox.ok_or(NotDelivered::NotHere)?;
        mailbox.try_send(answer).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => NotDelivered::Full,
            mpsc::error::TrySendError::Closed(_) => NotDelivered::NotHere,
        })
    }

    /// How many calls are live.
    pub fn count(&self) -> usize {
        self.mailboxes().len()
    }

    /// Enters a call until the returned value is dropped. A call that came back on a new socket replaces its old self.
    fn enter(
        &self,
        services: &Arc<CallServices>,
        call: &CallSid,
        mailbox: mpsc::Sender<Envelope>,
    ) -> Entered {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.mailboxes().insert(call.clone(), (id, mailbox));
        metrics::gauge!("edge_live_calls").increment(1);
        Entered { services: services.clone(), call: call.clone(), id }
    }

    fn mailboxes(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<CallSid, (u64, mpsc::Sender<Envelope>)>> {
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place among the live ones.
struct Entered {
    services: Arc<CallServices>,
    call: CallSid,
    id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        metrics::gauge!("edge_live_calls").decrement(1);
        let mut mailboxes = self.services.live.mailboxes();
        if mailboxes.get(&self.call).is_some_and(|(id, _)| *id == self.id) {
            mailboxes.remove(&self.call);
        }
    }
}
