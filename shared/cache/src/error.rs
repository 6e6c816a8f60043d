use deadpool_redis::redis::{ErrorKind, RedisError};

/// Why an operation gave no answer. None of the texts holds a key or a value.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Redis did not answer in time. The operation may have happened all the same.
    #[error("Redis did not answer within {} ms", crate::OPERATION_TIMEOUT.as_millis())]
    TimedOut,
    /// Redis failed several times in a row and is left alone for a moment. Nothing happened.
    #[error("Redis is away")]
    Away,
    /// Redis cannot be reached or refused the command.
    #[error("Redis failed")]
    Redis(#[from] RedisError),
    /// The turn's ledger was lost, or begun anew by another run: this run's attempt is over. Begin
    /// the turn again (DESIGN 2, "Turn ledger").
    #[error("the ledger of the turn was lost")]
    LedgerLost,
}

impl CacheError {
    /// Whether Redis gave no answer, rather than one that refuses.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::TimedOut | Self::Away => true,
            Self::Redis(error) => {
                error.is_io_error()
                    || error.is_timeout()
                    || error.is_connection_dropped()
                    || error.kind() == ErrorKind::ClusterConnectionNotFound
            }
            Self::LedgerLost => false,
        }
    }
}
