//! What several tasks must see at once, in Redis: fences, ledgers, send records, leases, context,
//! counters (DESIGN 2, "Rules for every message").
//!
//! Redis runs in cluster mode everywhere, on one machine as a cluster of one node, so that a command
//! over keys of different slots fails at home as it would on ElastiCache. Everything of one call or
//! conversation therefore carries its id as the hash tag, and what takes more than one step is one
//! script over keys of one tag.
//!
//! Nothing here outlives its use: every key expires or is kept small by its users, and losing all of
//! them costs time, never history (DESIGN 5). Every operation ends within [`OPERATION_TIMEOUT`], so
//! a dead Redis slows a caller down but never hangs it; after three failures in a row on a connection
//! the rest fail at once for half a second, so that a turn does not wait at each of its steps, and
//! then connect anew. The caller decides what to do without an answer.
//!
//! `p` is the environment's prefix, the same as of its queues.
//!
//! | key | type | holds | expires after |
//! |---|---|---|---|
//! | `p:{call}:turn` | string | the turn fence | 2 h |
//! | `p:{call}:doubt` | string | the turn whose reply may be being interrupted | 10 s |
//! | `p:{call}:edge` | string | the queue of the edge task that holds the call's socket | 2 h |
//! | `p:{call}:call` | hash | what another task needs to go on with the call ([`CallRecord`]) | 2 h |
//! | `p:{call}:reply:{n}` | hash | the reply to turn n of a call without a stream: `attempt`, `text`, `hang_up`, `transfer_to`, `summary` | 1 h |
//! | `p:{call}:whisper` | string | what is said to whoever takes the call over | 1 h |
//! | `p:{call}:off-record` | string | whether recording is paused | 2 h |
//! | `p:{call}:recording` | hash | the parts of the recording that are not in S3 yet, each second of them ([`RecordingBlock`]) | 1 h |
//! | `p:{edges}:leases` | sorted set | edge tasks by their queues, each until when its lease holds, Unix ms | never |
//! | `p:{edge:{queue}}:calls` | set | the calls an edge task holds | 2 h |
//! | `p:{edge:{queue}}:endings` | hash | of calls that are over, what the task still has to publish | 2 h |
//! | `p:{edge:{queue}}:stop` | string | that an operator asked an edge task to hand its calls over and end | 10 min |
//! | `p:{conversation}:turn:{n}` | hash | the ledger of turn n: `attempt`, `s:{index}`, `v:{name}`, `finished`, and what follows the reply: `hang_up`, `transfer_to`, `summary` | 1 h |
//! | `p:{conversation}:context` | hash | `version`, `body` | 30 min (C4) |
//! | `p:{conversation}:agent` | string | the agent chosen last (C2) | 30 min |
//! | `p:{conversation}:turns` | string | the number of a chat's last turn | 30 days |
//! | `p:{conversation}:turn-of:{event}` | string | the turn an event was given | 15 days |
//! | `p:{conversation}:words:{event}` | string | what a voice note says; empty where nobody could understand it | 1 day |
//! | `p:{conversation}:file:{event}` | hash | where the file of a message is kept: `bucket`, `key` (empty where it could not be had), `mime_type`, `bytes` | 1 day |
//! | `p:{conversation}:written` | string | when the person wrote last, µs | 25 h |
//! | `p:{conversation}:human` | string | that a human has the chat: agents stay silent | 12 h |
//! | `p:{tenant}:live` | stream | what operators watch, about the last 10,000 events | 1 h after the last |
//! | `p:{ticket:{hash}}` | string | whom a one-time ticket speaks for | 60 s |
//! | `p:{send:{event}}` | hash | `since` or `external_id` of a send to the outside; `refused`, the id of one that was refused late | 15 days |
//! | `p:{send:{event}}:body` | string | a message that was sent freely, should the vendor refuse it late | 1 h |
//! | `p:{upload:{tenant}:{channel}:{address}:{sha256}}` | string | the vendor's id of a file | as long as it keeps it |
//! | `p:{starts:{event}}:{queue}` | string | how often a handler began the message | 15 days |
//! | `p:{audio}:{name}` | string | audio of a sentence that is said often | 7 days unused |
//! | `p:{audio}-used` | sorted set | when each of them was used last | 7 days unused |
//! | `p:{lease:{name}}` | string | the lease's owner | as asked |
//! | `p:{limit:{key}}` | list | the hits of the last window, µs | the window |
//! | `p:{pace:{key}}` | string | when the next send of a paced line is due, µs | until then |
//! | `p:{pace:{key}}:{send}` | string | when this send of it is, µs | 1 h after |
//! | `p:{seen:{key}}` | string | that a token or request was used | as asked |
//! | `p:{answer:{key}}` | string | the answer given to a request that may be repeated | as asked |
//!
//! What must be known for as long as an event can still lie in a queue (14 days) is kept a day
//! longer.

mod audio;
mod call_records;
mod calls;
mod chats;
mod connection;
mod edge_leases;
mod error;
mod files;
mod leases;
mod ledger;
mod limits;
mod live;
mod outage;
mod pace;
mod recordings;
mod sends;
mod starts;
mod uploads;
mod voice_notes;
mod windows;
mod written_replies;

pub use call_records::{CallPhase, CallRecord, Ended, HeardSoFar};
pub use calls::Standing;
pub use chats::{StoredContext, Written};
pub use connection::{Cache, OPERATION_TIMEOUT};
pub use edge_leases::Renewal;
pub use error::CacheError;
pub use files::SettledFile;
pub use ledger::{Ledger, Record, Sequel};
pub use limits::Admission;
pub use live::LiveEntry;
pub use pace::Rate;
pub use recordings::RecordingBlock;
pub use sends::{Refusal, SendState};
pub use uploads::UploadOf;
