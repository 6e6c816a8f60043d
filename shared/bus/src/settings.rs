use std::time::Duration;

/// What the bus is told.
#[derive(Clone, Debug)]
pub struct BusSettings {
    /// The prefix of every queue and topic of this environment (`SB_QUEUE_PREFIX`).
    pub prefix: String,
    /// Where envelopes lie that are too large for the topic.
    pub claim_check_bucket: String,
    /// Whether queues ask for high-throughput mode; one stand-in lacks it.
    pub high_throughput: bool,
    /// How long a receive waits for a message, at most 20 s.
    pub long_poll: Duration,
    /// How long a stopping consumer may finish what it has begun.
    pub drain: Duration,
    /// Called at the named points of a message's life, where tests let the process die.
    pub on_point: fn(&'static str),
}

impl BusSettings {
    /// Settings for `prefix`, with a bucket for claim checks, as on AWS.
    pub fn new(prefix: impl Into<String>, claim_check_bucket: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            claim_check_bucket: claim_check_bucket.into(),
            high_throughput: false,
            long_poll: Duration::from_secs(20),
            drain: Duration::from_secs(30),
            on_point: |_| {},
        }
    }
}

/// How long a received message stays ours without a sign of life (DESIGN 2, "Visibility").
pub(crate) const VISIBILITY: Duration = Duration::from_secs(6);
/// How often that is extended while we hold the message.
pub(crate) const EXTEND_EVERY: Duration = Duration::from_secs(2);
/// After so many starts without success a message goes to the dead letters (DESIGN 2, "Failures").
pub(crate) const MAX_STARTS: u32 = 5;
/// The broker's own limit: a backstop, since it counts receives and buries the innocent.
pub(crate) const MAX_RECEIVES: u32 = 1000;
/// The largest body sent to the topic, in bytes of the encoded envelope (DESIGN 2, "Size").
pub(crate) const CLAIM_CHECK_OVER_BYTES: usize = 200 * 1024;
