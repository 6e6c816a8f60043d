//! Speech to text and text to speech: the two traits, the vendors behind them, and the order in
//! which one takes over from another (C8).
//!
//! Audio is mu-law, 8 kHz, mono on both sides, as the telephone has it; a vendor that wants another
//! form converts within its module. A vendor is a module with one type that implements
//! [`SpeechToText`], [`TextToSpeech`] or both; `voice` names it in its configuration.

mod deepgram;
mod error;
mod http;
mod openai;
mod ordered;
mod resample;
pub mod wav;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Transcript, Voice};
use futures::stream::BoxStream;

pub use deepgram::{Deepgram, DeepgramSettings};
pub use error::{AllFailed, SpeechError};
pub use http::{ApiKey, client};
pub use openai::{OpenAi, OpenAiSettings};
pub use ordered::Ordered;
pub use reqwest::Client;

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
}

/// Speaks.
#[async_trait]
pub trait TextToSpeech: Vendor {
    /// Begins to speak `text` with `voice`; the audio follows in the stream.
    ///
    /// # Errors
    /// See [`SpeechError`]; the stream may still break after this succeeded.
    async fn speak(&self, text: &str, voice: &Voice) -> Result<AudioStream, SpeechError>;
}
