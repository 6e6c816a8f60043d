//! Speech to text and text to speech: the two traits, the vendors behind them, and the order in
//! which one takes over from another (C8).
//!
//! Audio is mu-law, 8 kHz, mono on both sides, as the telephone has it; a vendor that wants another
//! form converts within its module. A vendor is a module with one type that implements
//! [`SpeechToText`], [`TextToSpeech`] or both; `voice` names it in its configuration.

mod aws;
mod deepgram;
mod error;
mod http;
mod openai;
mod ordered;
pub mod pcm;
mod polly;
pub mod resample;
mod transcribe;
pub mod wav;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Personal, SpeechRate, Transcript, Voice};
use futures::stream::BoxStream;

pub use aws::AwsAccess;
pub use deepgram::{Deepgram, DeepgramSettings};
pub use error::{AllFailed, SpeechError};
pub use http::{ApiKey, client};
pub use openai::{OpenAi, OpenAiSettings};
pub use ordered::{Ordered, Spoken};
pub use polly::{Polly, PollySettings};
pub use reqwest::Client;
pub use transcribe::{FinalResults, Transcribe, TranscribeSettings};

/// Samples in a second of telephone audio, and bytes of mu-law.
pub const SAMPLE_RATE_HZ: u32 = 8000;

/// Audio of a sentence as it comes from a vendor, piece by piece: mu-law, 8 kHz, mono. The vendor
/// is hung up on when it is dropped.
pub type AudioStream = BoxStream<'static, Result<Bytes, SpeechError>>;

/// Someone who can be asked for speech.
pub trait Vendor: Send + Sync {
    /// The name in `SB_STT` and `SB_TTS`, in logs and in metric labels.
    fn name(&self) -> &'static str;
}

/// Recognises what a caller said.
#[async_trait]
pub trait SpeechToText: Vendor {
    /// The words in `audio` (mu-law, 8 kHz, mono), spoken in `language` (BCP 47). Empty words mean
    /// that nothing was said. Dropping the future hangs up on the vendor.
    ///
    /// # Errors
    /// See [`SpeechError`].
    async fn transcribe(&self, audio: Bytes, language: &str) -> Result<Transcript, SpeechError>;

    /// The words in a sound `file` as a person's device made it, of that media type: a voice note. Who cannot read
    /// such files refuses.
    ///
    /// # Errors
    /// See [`SpeechError`].
    async fn transcribe_file(
        &self,
        _file: Bytes,
        _mime_type: &str,
        _language: &str,
    ) -> Result<Transcript, SpeechError> {
        Err(SpeechError::Refused("it takes no files".to_owned()))
    }
}

/// What a vendor heard, as [`SpeechToText`] promises it: no words but blanks are none, and how sure it is lies within 0 to 1.
fn transcript(text: &str, confidence: f32) -> Transcript {
    Transcript { text: Personal::from(text.trim()), confidence: confidence.clamp(0.0, 1.0) }
}

/// What is to be said, and how.
#[derive(Clone, Copy, Debug)]
pub struct Utterance<'a> {
    /// The words.
    pub text: &'a str,
    /// The tenant's voice.
    pub voice: &'a Voice,
    /// The pace.
    pub rate: SpeechRate,
}

impl<'a> Utterance<'a> {
    /// The tenant's name for its voice at `vendor`, where it has one.
    pub(crate) fn voice_at(&self, vendor: &str) -> Option<&'a str> {
        let named = self.voice.vendors.iter().find(|named| named.vendor == vendor)?;
        named.name.as_deref()
    }
}

/// Speaks.
#[async_trait]
pub trait TextToSpeech: Vendor {
    /// The vendor's name for the voice it would speak `utterance` with.
    fn voice_of(&self, utterance: &Utterance<'_>) -> String;

    /// Begins to speak; the audio follows in the stream.
    ///
    /// # Errors
    /// See [`SpeechError`]; the stream may still break after this succeeded.
    async fn speak(&self, utterance: &Utterance<'_>) -> Result<AudioStream, SpeechError>;
}
