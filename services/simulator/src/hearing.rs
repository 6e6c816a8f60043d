//! Speech to words and words to speech, as every speech vendor of this world does them.

use std::{
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_web::{HttpResponse, error, web};
use anyhow::Context as _;
use serde::Deserialize;

use crate::{World, audio, espeak, modem};

/// Mounts `GET /sim/voice?text=`, a person who says it, as a WAV file, and who is understood from then on; and `PUT
/// /sim/guess`, what is taken for said where sound arrives that nobody understands.
pub fn control(cfg: &mut web::ServiceConfig) {
    cfg.route("/voice", web::get().to(voice)).route("/guess", web::put().to(set_guess));
}

/// Sound louder than this, on the way of a real microphone, is speech.
const LOUD: u16 = 1_000;

/// What vendors guess where they do not understand. Empty: nothing.
#[derive(Debug, Default)]
pub struct Guess(Mutex<String>);

impl Guess {
    fn text(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guessed words, spread over the loud part of `samples`.
    fn words(&self, samples: &[i16]) -> Vec<Word> {
        let loud = |sample: &i16| sample.unsigned_abs() > LOUD;
        let (from, to) = (samples.iter().position(loud), samples.iter().rposition(loud));
        let (Some(from), Some(to)) = (from, to) else { return Vec::new() };
        let text = self.text().clone();
        clause_words(&espeak::Heard { text, span: from..to, likeness: 0.5 })
    }
}

async fn set_guess(world: web::Data<World>, saying: web::Json<Saying>) -> HttpResponse {
    *world.guess.text() = saying.into_inner().text;
    HttpResponse::NoContent().finish()
}

#[derive(Deserialize)]
struct Saying {
    text: String,
}

async fn voice(
    world: web::Data<World>,
    saying: web::Query<Saying>,
) -> Result<HttpResponse, error::Error> {
    let said = world.espeak.say(&saying.text).await;
    let samples = said.map_err(|e| error::ErrorServiceUnavailable(format!("{e:#}")))?;
    let file = audio::write_wav(&audio::write_pcm(&samples), audio::TELEPHONE_HZ, false);
    Ok(HttpResponse::Ok().content_type("audio/wav").body(file))
}

/// A word that was heard.
#[derive(Clone, PartialEq)]
pub struct Word {
    /// As written, with its punctuation.
    pub text: String,
    /// Its samples at 8 kHz.
    pub span: Range<usize>,
    /// 0 to 1.
    pub confidence: f32,
}

/// Decodes the modem voice; where there is none, recognises the `espeak` voice; where there is neither, hears what is
/// set to be guessed, or nothing.
///
/// # Errors
/// When the computation was stopped.
pub async fn hear(world: web::Data<World>, samples: Vec<i16>) -> anyhow::Result<Vec<Word>> {
    web::block(move || {
        let decoded = modem::decode(&samples);
        if !decoded.faults.is_empty() {
            tracing::info!(words = decoded.words.len(), faults = ?decoded.faults, "modem speech arrived damaged");
        }
        if decoded.words.is_empty() && decoded.faults.is_empty() {
            let heard = world.espeak.recognise(&samples);
            match heard.is_empty() {
                true => world.guess.words(&samples),
                false => heard.iter().flat_map(clause_words).collect(),
            }
        } else {
            modem_words(&decoded.words)
        }
    })
    .await
    .context("wait for the recogniser")
}

/// Modem words, with the pieces of a long one put together.
fn modem_words(pieces: &[modem::Word]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        let span = piece.span.start as usize..piece.span.end as usize;
        let rest = place.checked_sub(1).is_some_and(|before| piece.continues(&pieces[before]));
        match words.last_mut().filter(|_| rest) {
            Some(word) => {
                word.text.push_str(&piece.text);
                word.span.end = span.end;
                word.confidence = word.confidence.min(piece.likeness);
            }
            None => words.push(Word { text: piece.text.clone(), span, confidence: piece.likeness }),
        }
    }
    words
}

/// The words of a clause; its time is shared out among them by their letters.
fn clause_words(clause: &crate::espeak::Heard) -> Vec<Word> {
    let letters =
        |text: &str| text.chars().filter(|character| character.is_alphanumeric()).count().max(1);
    let total: usize = clause.text.split_whitespace().map(letters).sum::<usize>().max(1);
    let mut spoken = 0;
    let place = |letters: usize| clause.span.start + clause.span.len() * letters / total;
    clause
        .text
        .split_whitespace()
        .map(|text| {
            let start = place(spoken);
            spoken += letters(text);
            Word { text: text.to_owned(), span: start..place(spoken), confidence: clause.likeness }
        })
        .collect()
}

/// The transcript of these words.
pub fn text(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// How sure a transcript of these words is: as sure as they are on average; 0 for nothing.
pub fn confidence(words: &[Word]) -> f32 {
    if words.is_empty() {
        0.0
    } else {
        words.iter().map(|word| word.confidence).sum::<f32>() / words.len() as f32
    }
}

/// Speaks a text in the voice that a model or voice name asks for: `espeak` where it contains that, else the modem.
/// Samples at 8 kHz.
///
/// # Errors
/// When `espeak-ng` is not installed, or fails.
pub async fn speak(world: &World, voice: &str, text: &str) -> anyhow::Result<Vec<i16>> {
    speak_at(world, voice, text, 1.0).await
}

/// As [`speak`], at a pace of which 1 is the usual. The modem slows down by pausing between words, for its symbols have
/// one length; `espeak`, whose phrases are recognised by their sound, has one pace.
///
/// # Errors
/// As [`speak`].
pub async fn speak_at(
    world: &World,
    voice: &str,
    text: &str,
    pace: f64,
) -> anyhow::Result<Vec<i16>> {
    match voice.contains("espeak") {
        true => world.espeak.say(text).await,
        false => Ok(modem::encode_at(text, pace)),
    }
}
