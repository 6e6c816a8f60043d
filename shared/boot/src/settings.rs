use std::{net::SocketAddr, time::Duration};

use crate::{Deployment, Reader};

/// What every service is told, beside what is its own.
#[derive(Clone, Debug)]
pub struct CommonSettings {
    /// The name of this task, such as `voice-1`. Unique among living tasks.
    pub task: String,
    /// Where `/metrics`, `/health` and `/healthz` listen.
    pub ops_listen: SocketAddr,
    /// `SB_ENV`.
    pub deployment: Deployment,
    /// The prefix of every queue and topic of this environment (DESIGN 2).
    pub queue_prefix: String,
    /// Claim checks, recordings, exports.
    pub s3_bucket: String,
    /// The prefix of every secret's name (E4).
    pub secrets_prefix: String,
    /// How long a receive waits for a message. AWS allows 20 s; a stopping task waits for its last
    /// receive, so a shorter one stops sooner.
    pub long_poll: Duration,
    /// Whether queues ask for high-throughput mode (`DeduplicationScope=messageGroup`), which one
    /// stand-in lacks.
    pub high_throughput: bool,
    /// How long a stopping task may finish what it has begun.
    pub drain: Duration,
}

impl CommonSettings {
    /// Reads the settings of the service `service`.
    pub fn read(r: &mut Reader<'_>, service: &str) -> Self {
        let long_poll = r.parsed("SB_LONG_POLL_SECONDS", 20_u64);
        if long_poll > 20 {
            r.fault("SB_LONG_POLL_SECONDS", "must be 0 to 20");
        }
        Self {
            task: r.optional("SB_TASK").unwrap_or_else(|| task_name(service)),
            ops_listen: r.parsed("SB_OPS_LISTEN", SocketAddr::from(([0, 0, 0, 0], 9100))),
            deployment: r.deployment(),
            queue_prefix: r.optional("SB_QUEUE_PREFIX").unwrap_or_else(|| "sb-dev".into()),
            s3_bucket: r.optional("SB_S3_BUCKET").unwrap_or_else(|| "switchboard-dev".into()),
            secrets_prefix: r.optional("SB_SECRETS_PREFIX").unwrap_or_else(|| "sb-dev".into()),
            long_poll: Duration::from_secs(long_poll),
            high_throughput: r.parsed("SB_QUEUE_HIGH_THROUGHPUT", false),
            drain: r.seconds("SB_DRAIN_SECONDS", 30),
        }
    }
}

/// The name of a task that was given none.
pub(crate) fn task_name(service: &str) -> String {
    format!("{service}-{:08x}", std::process::id())
}
