use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use domain::{BoxFuture, Transcript, Voice};
use futures::TryStreamExt as _;
use tokio::time::{Instant, sleep};

use crate::{AllFailed, SAMPLE_RATE_HZ, SpeechError, SpeechToText, TextToSpeech, Vendor};

/// Before the same vendor is asked again. Long enough for one of its busy places to come free,
/// short enough not to be heard.
const RETRY_PAUSE: Duration = Duration::from_millis(150);

/// No sentence is longer; and its message stays well within what a queue carries (1 MiB).
const LONGEST_SENTENCE_SECONDS: usize = 60;

/// Vendors in the order in which one takes over from another (`SB_STT`, `SB_TTS`; C8). Within one
/// turn each is asked at most twice.
pub struct Ordered<V: ?Sized> {
    vendors: Vec<Arc<V>>,
}

impl<V: Vendor + ?Sized> Ordered<V> {
    /// The first of `vendors` is asked first.
    pub fn new(vendors: Vec<Arc<V>>) -> Self {
        Self { vendors }
    }

    /// Asks one vendor after the other until one answers. A fault that may pass by itself is tried
    /// once more at the same vendor, but a vendor that let us wait only where no other is left.
    async fn first<'s, T>(
        &'s self,
        request: &'static str,
        ask: impl Fn(&'s V) -> BoxFuture<'s, Result<T, SpeechError>>,
    ) -> Result<T, AllFailed> {
        let mut failed = Vec::new();
        for (place, vendor) in self.vendors.iter().enumerate() {
            let is_last = place + 1 == self.vendors.len();
            let mut result = measured(request, vendor.name(), ask(vendor)).await;
            if let Err(error) = &result
                && error.is_transient()
                && (is_last || *error != SpeechError::TimedOut)
            {
                sleep(RETRY_PAUSE).await;
                result = measured(request, vendor.name(), ask(vendor)).await;
            }
            match result {
                Ok(done) => return Ok(done),
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
    /// The words in `audio`, as [`SpeechToText::transcribe`] of the first vendor that answers.
    ///
    /// # Errors
    /// When all of them fail.
    pub async fn transcribe(&self, audio: Bytes, language: &str) -> Result<Transcript, AllFailed> {
        let language: Arc<str> = language.into();
        self.first("transcribe", |vendor| {
            let (audio, language) = (audio.clone(), language.clone());
            Box::pin(async move { vendor.transcribe(audio, &language).await })
        })
        .await
    }
}

impl Ordered<dyn TextToSpeech> {
    /// The audio of `text`, whole, from the first vendor that gives it: what came of a broken
    /// answer is thrown away, so that no sentence is heard in two voices. Dropping the future hangs
    /// up.
    ///
    /// # Errors
    /// When all of them fail.
    pub async fn speak(&self, text: &str, voice: &Voice) -> Result<Bytes, AllFailed> {
        let (text, voice): (Arc<str>, _) = (text.into(), Arc::new(voice.clone()));
        self.first("speak", |vendor| {
            let (text, voice) = (text.clone(), voice.clone());
            Box::pin(async move { whole(vendor, &text, &voice).await })
        })
        .await
    }
}

async fn whole(vendor: &dyn TextToSpeech, text: &str, voice: &Voice) -> Result<Bytes, SpeechError> {
    let mut stream = vendor.speak(text, voice).await?;
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

async fn measured<T>(
    request: &'static str,
    vendor: &'static str,
    asked: BoxFuture<'_, Result<T, SpeechError>>,
) -> Result<T, SpeechError> {
    let begun = Instant::now();
    let result = asked.await;
    metrics::histogram!("speech_request_seconds", "vendor" => vendor, "request" => request)
        .record(begun.elapsed());
    if let Err(error) = &result {
        metrics::counter!("speech_errors_total",
            "vendor" => vendor, "request" => request, "kind" => error.kind())
        .increment(1);
    }
    result
}
