use async_trait::async_trait;
use bus::{Destination, SendError};
use domain::Envelope;

/// What a turn may do to the outside: the part of [`bus::Context`] it uses, so that a test can see
/// what left and when.
#[async_trait]
pub(crate) trait Outlet: Send + Sync {
    async fn publish(&self, events: &[Envelope]) -> Result<(), SendError>;
    async fn send(&self, to: &Destination, jobs: &[Envelope]) -> Result<(), SendError>;

    /// Whether a run of the turn may have begun before this one.
    fn is_repeated(&self) -> bool {
        false
    }
}

#[async_trait]
impl Outlet for bus::Context {
    async fn publish(&self, events: &[Envelope]) -> Result<(), SendError> {
        Self::publish(self, events).await
    }

    async fn send(&self, to: &Destination, jobs: &[Envelope]) -> Result<(), SendError> {
        Self::send(self, to, jobs).await
    }

    fn is_repeated(&self) -> bool {
        self.starts() != 1
    }
}
