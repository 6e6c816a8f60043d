//! Audio of sentences that are said often, kept in Redis: a greeting costs no vendor anything, and is
//! heard while every vendor is away.

use std::time::Duration;

use bytes::Bytes;
use cache::Cache;
use speech::{AllFailed, Ordered, TextToSpeech, Utterance};
use uuid::Uuid;

/// The audio of a sentence that may be kept: what is kept in the voice that is asked first, else what
/// a vendor gives, else, where all fail, what is kept in another voice.
///
/// # Errors
/// When every vendor fails and nothing is kept.
pub(crate) async fn speak_or_recall(
    mouths: &Ordered<dyn TextToSpeech>,
    cache: &Cache,
    utterance: Utterance<'_>,
    within: Duration,
) -> Result<Bytes, AllFailed> {
    let mut names = mouths
        .voices_of(utterance)
        .into_iter()
        .map(|(vendor, voice)| name_of(vendor, &voice, utterance));
    if let Some(audio) = recall(cache, names.next()).await {
        return Ok(audio);
    }
    match mouths.speak(utterance, within).await {
        Ok(spoken) => {
            let name = name_of(spoken.vendor, &spoken.voice, utterance);
            // Without Redis the vendor is asked again next time.
            if let Err(error) = cache.keep_audio(&name, &spoken.audio).await {
                tracing::debug!(%error, "audio not kept");
            }
            Ok(spoken.audio)
        }
        Err(failed) => {
            for name in names {
                if let Some(audio) = recall(cache, Some(name)).await {
                    return Ok(audio);
                }
            }
            Err(failed)
        }
    }
}

async fn recall(cache: &Cache, name: Option<String>) -> Option<Bytes> {
    let audio = cache.audio(&name?).await.ok().flatten();
    let found = if audio.is_some() { "hit" } else { "miss" };
    metrics::counter!("voice_kept_audio_total", "found" => found).increment(1);
    audio.map(Bytes::from)
}

/// A name for the sound: who speaks, with which voice, in which language, how fast, and the text,
/// hashed, for Redis holds no text.
fn name_of(vendor: &str, voice: &str, utterance: Utterance<'_>) -> String {
    let (language, rate) = (&utterance.voice.language, utterance.rate.as_percent());
    let sound = format!("{vendor}\n{voice}\n{language}\n{rate}\n{}", utterance.text);
    Uuid::new_v5(&Uuid::NAMESPACE_OID, sound.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use domain::{SpeechRate, Voice};

    use super::*;

    #[test]
    fn whatever_changes_the_sound_changes_the_name() {
        let voice = Voice::named("m", "en-US");
        let german = Voice::named("m", "de-DE");
        let usual = Utterance { text: "Hello.", voice: &voice, rate: SpeechRate::NORMAL };
        let names = [
            name_of("a", "v", usual),
            name_of("b", "v", usual),
            name_of("a", "w", usual),
            name_of("a", "v", Utterance { text: "Hello!", ..usual }),
            name_of("a", "v", Utterance { voice: &german, ..usual }),
            name_of("a", "v", Utterance { rate: SpeechRate::SLOWER, ..usual }),
        ];
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert_eq!(name_of("a", "v", usual), names[0]);
    }
}
