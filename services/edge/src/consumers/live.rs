//! What operators watch. The stream per tenant that feeds them comes with the console; until someone can watch, an
//! event has been shown to everyone who does, so that the queue does not fill.

use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use domain::Envelope;

/// Takes live events off their queue.
pub struct LiveEvents;

#[async_trait]
impl Handler for LiveEvents {
    async fn handle(&self, _context: &Context, message: &Envelope) -> Outcome {
        metrics::counter!("edge_live_events_total", "event" => message.payload.name()).increment(1);
        Outcome::Done
    }
}
