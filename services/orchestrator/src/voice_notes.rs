//! Voice notes: one is answered by its words, which come a moment after it (DESIGN 4).

use std::time::Duration;

use cache::Cache;
use domain::{Envelope, MediaKind, MessageKind, MessageReceived, Timestamp};
use tokio::time::sleep;

/// A person who spoke is answered then at the latest, by a request to write.
const WORDS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The voice note `event` with its words, waited for while what the person sends next waits behind it, so that the order
/// is kept; `None` for any other message, and for a note that nobody understood.
pub(crate) async fn with_words(
    cache: &Cache,
    envelope: &Envelope,
    event: &MessageReceived,
) -> Option<MessageReceived> {
    let MessageKind::Media(media) = &event.kind else { return None };
    if media.kind != MediaKind::VoiceNote || !event.text.is_empty() {
        return None;
    }
    let give_up_at = envelope.occurred_at.plus(WORDS_WITHIN);
    loop {
        match cache.settled_words(envelope.conversation, envelope.event_id).await {
            Ok(Some(words)) if words.is_empty() => return None,
            Ok(Some(words)) => {
                return Some(MessageReceived { text: words.into(), ..event.clone() });
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the words of a voice note cannot be read"),
        }
        if Timestamp::now() >= give_up_at {
            metrics::counter!("orchestrator_voice_notes_unheard_total").increment(1);
            return None;
        }
        sleep(LOOK_EVERY).await;
    }
}
