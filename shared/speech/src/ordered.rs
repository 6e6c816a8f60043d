use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use domain::{
    BoxFuture, Transcript,
    breaker::{Breaker, Permit, Verdict},
};
use futures::TryStreamExt as _;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    AllFailed, SAMPLE_RATE_HZ, SpeechError, SpeechToText, TextToSpeech, Utterance, Vendor,
};

/// Before the same vendor is asked again. Long enough for one of its busy places to come free,
/// short enough not to be heard.
const RETRY_PAUSE: Duration = Duration::from_millis(150);

/// No sentence is longer; and its message stays well within what a queue carries (1 MiB).
const LONGEST_SENTENCE_SECONDS: usize = 60;

/// Vendors, each behind a breaker of its own, in the order in which one takes over from another
/// (C8). Within one turn each is asked at most twice, and one that failed lately not at all.
pub struct Ordered<V: ?Sized> {
    known: Vec<Guarded<V>>,
    /// The order where the tenant has none (`SB_STT`, `SB_TTS`).
    usual: Vec<&'static str>,
}

struct Guarded<V: ?Sized> {
    vendor: Arc<V>,
    breaker: Mutex<Breaker>,
}

/// Audio of an utterance, and whose it is.
pub struct Spoken {
    /// The vendor.
    pub vendor: &'static str,
    /// Its name for the voice.
    pub voice: String,
    /// Mu-law, 8 kHz, mono.
    pub audio: Bytes,
}

impl<V: Vendor + ?Sized> Ordered<V> {
    /// All vendors that can be asked, those of `usual` in this order where nobody says otherwise.
    pub fn new(known: Vec<Arc<V>>, usual: Vec<&'static str>) -> Self {
        let guarded = |vendor| Guarded { vendor, breaker: Mutex::default() };
        Self { known: known.into_iter().map(guarded).collect(), usual }
    }

    /// The vendors of `wanted` that are known, else the usual ones.
    fn in_order<'n>(&self, wanted: impl Iterator<Item = &'n str>) -> Vec<&Guarded<V>> {
        let find = |name: &str| self.known.iter().find(|known| known.vendor.name() == name);
        let order: Vec<_> = wanted.filter_map(find).collect();
        if order.is_empty() {
            self.usual.iter().filter_map(|name| find(name)).collect()
        } else {
            order
        }
    }

    /// Asks one vendor after the other until one answers, `within` this time, of which each may use
    /// its share of what is left. A fault that may pass by itself is tried once more at the same
    /// vendor, but a vendor that let us wait only where no other is left.
    async fn first<'s, T>(
        &'s self,
        request: &'static str,
        order: &[&'s Guarded<V>],
        within: Duration,
        ask: impl Fn(&'s V) -> BoxFuture<'s, Result<T, SpeechError>>,
    ) -> Result<(&'s V, T), AllFailed> {
        let deadline = Instant::now() + within;
        let mut failed = Vec::new();
        for (place, guarded) in order.iter().enumerate() {
            let vendor: &'s V = &guarded.vendor;
            let Some(mut asking) = Asking::begin(request, guarded) else {
                failed.push((vendor.name(), SpeechError::Resting));
                continue;
            };
            let others = order.len() - place;
            let is_last = others == 1;
            let share = deadline.saturating_duration_since(Instant::now()) / others as u32;
            let give_up_at = Instant::now() + share;
            let mut result = measured(request, vendor.name(), give_up_at, ask(vendor)).await;
            if let Err(error) = &result
                && asking.may_retry()
                && error.is_transient()
                && (is_last || *error != SpeechError::TimedOut)
                && Instant::now() + RETRY_PAUSE < give_up_at
            {
                sleep(RETRY_PAUSE).await;
                result = measured(request, vendor.name(), give_up_at, ask(vendor)).await;
            }
            asking.end(match &result {
                Ok(_) | Err(SpeechError::Refused(_)) => Verdict::Works,
                Err(SpeechError::Denied(_)) => Verdict::FailsForGood,
                Err(_) => Verdict::Fails,
            });
            match result {
                Ok(done) => return Ok((vendor, done)),
                Err(error) => {
                    tracing::warn!(vendor = vendor.name(), request, %error, "speech vendor failed");
                    failed.push((vendor.name(), error));
                }
            }
        }
        Err(AllFailed(failed))
    }
}

impl Ordered<dyn SpeechToText> {
    /// The words in `audio`, as [`SpeechToText::transcribe`] of the first vendor that answers, those
    /// of `vendors` asked in this order, or the usual ones where that is empty.
    ///
    /// # Errors
    /// When all of them fail, or none answers `within` this time.
    pub async fn transcribe(
        &self,
        audio: Bytes,
        language: &str,
        vendors: &[String],
        within: Duration,
    ) -> Result<Transcript, AllFailed> {
        let language: Arc<str> = language.into();
        let order = self.in_order(vendors.iter().map(String::as_str));
        let words = self.first("transcribe", &order, within, |vendor| {
            let (audio, language) = (audio.clone(), language.clone());
            Box::pin(async move { vendor.transcribe(audio, &language).await })
        });
        words.await.map(|(_, words)| words)
    }

    /// The words in a sound file, asked for as in [`Self::transcribe`].
    ///
    /// # Errors
    /// When all of them fail, or none answers `within` this time.
    pub async fn transcribe_file(
        &self,
        file: Bytes,
        mime_type: &str,
        language: &str,
        vendors: &[String],
        within: Duration,
    ) -> Result<Transcript, AllFailed> {
        let (mime_type, language): (Arc<str>, Arc<str>) = (mime_type.into(), language.into());
        let order = self.in_order(vendors.iter().map(String::as_str));
        let words = self.first("transcribe_file", &order, within, |vendor| {
            let (file, mime_type, language) = (file.clone(), mime_type.clone(), language.clone());
            Box::pin(async move { vendor.transcribe_file(file, &mime_type, &language).await })
        });
        words.await.map(|(_, words)| words)
    }
}

impl Ordered<dyn TextToSpeech> {
    /// The audio of `utterance`, whole, from the first vendor that gives it: what came of a broken
    /// answer is thrown away, so that no sentence is heard in two voices. Dropping the future hangs
    /// up.
    ///
    /// # Errors
    /// When all of them fail, or none is done `within` this time.
    pub async fn speak(
        &self,
        utterance: Utterance<'_>,
        within: Duration,
    ) -> Result<Spoken, AllFailed> {
        let order = self.in_order(names(utterance));
        let (text, voice): (Arc<str>, _) =
            (utterance.text.into(), Arc::new(utterance.voice.clone()));
        let audio = self.first("speak", &order, within, |vendor| {
            let (text, voice) = (text.clone(), voice.clone());
            let rate = utterance.rate;
            Box::pin(
                async move { whole(vendor, &Utterance { text: &text, voice: &voice, rate }).await },
            )
        });
        let (vendor, audio) = audio.await?;
        Ok(Spoken { vendor: vendor.name(), voice: vendor.voice_of(&utterance), audio })
    }

    /// Who would be asked to speak `utterance`, in order, each with its name for the voice.
    pub fn voices_of(&self, utterance: Utterance<'_>) -> Vec<(&'static str, String)> {
        let order = self.in_order(names(utterance)).into_iter().map(|known| &known.vendor);
        order.map(|vendor| (vendor.name(), vendor.voice_of(&utterance))).collect()
    }
}

fn names<'a>(utterance: Utterance<'a>) -> impl Iterator<Item = &'a str> {
    utterance.voice.vendors.iter().map(|named| named.vendor.as_str())
}

async fn whole(vendor: &dyn TextToSpeech, utterance: &Utterance<'_>) -> Result<Bytes, SpeechError> {
    let mut stream = vendor.speak(utterance).await?;
    let mut audio = BytesMut::new();
    while let Some(piece) = stream.try_next().await? {
        audio.extend_from_slice(&piece);
        if audio.len() > LONGEST_SENTENCE_SECONDS * SAMPLE_RATE_HZ as usize {
            return Err(SpeechError::Malformed("longer than any sentence"));
        }
    }
    if audio.is_empty() {
        return Err(SpeechError::Malformed("no audio"));
    }
    Ok(audio.freeze())
}

/// A vendor being asked. Dropped without an end, as when the caller talks over it, nothing is learned
/// of the vendor.
struct Asking<'g> {
    breaker: &'g Mutex<Breaker>,
    permit: Option<Permit>,
    request: &'static str,
    vendor: &'static str,
}

impl<'g> Asking<'g> {
    /// Nothing where the vendor rests.
    fn begin<V: Vendor + ?Sized>(request: &'static str, guarded: &'g Guarded<V>) -> Option<Self> {
        let (breaker, vendor) = (&guarded.breaker, guarded.vendor.name());
        let permit = locked(breaker).ask(std::time::Instant::now())?;
        Some(Self { breaker, permit: Some(permit), request, vendor })
    }

    fn may_retry(&self) -> bool {
        self.permit == Some(Permit::Usual)
    }

    fn end(&mut self, verdict: Verdict) {
        let Some(permit) = self.permit.take() else { return };
        let mut breaker = locked(self.breaker);
        let was_closed = breaker.is_closed();
        breaker.settle(permit, verdict, std::time::Instant::now());
        let is_closed = breaker.is_closed();
        drop(breaker);
        metrics::gauge!("vendor_breaker_open", "vendor" => self.vendor, "request" => self.request)
            .set(if is_closed { 0.0 } else { 1.0 });
        if was_closed != is_closed {
            let state = if is_closed { "closed" } else { "open" };
            tracing::warn!(vendor = self.vendor, request = self.request, state, "speech breaker");
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.end(Verdict::Unknown);
    }
}

fn locked(breaker: &Mutex<Breaker>) -> MutexGuard<'_, Breaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn measured<T>(
    request: &'static str,
    vendor: &'static str,
    give_up_at: Instant,
    asked: BoxFuture<'_, Result<T, SpeechError>>,
) -> Result<T, SpeechError> {
    let begun = Instant::now();
    let patience = give_up_at.saturating_duration_since(begun);
    let result = timeout(patience, asked).await.unwrap_or(Err(SpeechError::TimedOut));
    let error_type = result.as_ref().err().map_or("", SpeechError::kind);
    metrics::histogram!("vendor_request_duration_seconds",
        "vendor" => vendor, "request" => request, "error_type" => error_type)
    .record(begun.elapsed());
    result
}
