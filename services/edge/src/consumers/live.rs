//! What operators watch: off the queue, into the tenant's stream in Redis, which every edge task reads for its sockets
//! (DESIGN 2). At least once: the event's own id tells a repeat.

use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use cache::Cache;
use domain::Envelope;

use crate::api::events::LiveEvent;

/// Takes live events off their queue.
pub struct LiveEvents {
    cache: Cache,
}

impl LiveEvents {
    /// Puts them into the streams of `cache`.
    pub fn new(cache: Cache) -> Self {
        Self { cache }
    }
}

#[async_trait]
impl Handler for LiveEvents {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        let Some(event) = LiveEvent::of(message) else { return Outcome::Done };
        let Ok(body) = serde_json::to_string(&event) else {
            return Outcome::Reject("cannot be written as JSON".to_owned());
        };
        if let Err(error) = self.cache.add_live(message.tenant, &body).await {
            return Outcome::retry(error);
        }
        metrics::counter!("edge_live_events_total", "event" => message.payload.name()).increment(1);
        Outcome::Done
    }
}
