use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use cache::Cache;
use domain::{
    BoxFuture, Envelope, Payload, SentenceSpoken, SpeakSentence, SpeechFailure, Stage, Timestamp,
};
use speech::{AllFailed, Ordered, Part, TextToSpeech, Utterance};
use tokio::sync::mpsc;

use super::{
    dropped, misplaced, send_answers,
    watch::{Watched, time_left, watched},
};
use crate::spoken::speak_or_recall;

/// Parts that may wait for the queue before the vendor has to.
const PARTS_WAITING: usize = 8;

/// `SpeakSentence` → `SentenceSpoken`, one for each part of the audio. The vendor may be asked more than once; a
/// part has one event id, and is heard once.
pub(crate) struct Speak {
    pub(crate) mouths: Arc<Ordered<dyn TextToSpeech>>,
    pub(crate) cache: Cache,
}

#[async_trait]
impl Handler for Speak {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        let Payload::SpeakSentence(job) = &message.payload else { return misplaced(message) };
        let started = Timestamp::now();
        let sending =
            Sending { speak: self, context, message, job, started, sent: AtomicU32::new(0) };
        let (parts, spoken) = mpsc::channel(PARTS_WAITING);
        // Boxed: nested any deeper the compiler gives up on them.
        let speaking: BoxFuture<'_, _> = Box::pin(self.speak(job, time_left(message), parts));
        let sent: BoxFuture<'_, _> = Box::pin(sending.all(spoken));
        let work = async { tokio::join!(speaking, sent) };
        let failure = match watched(&self.cache, &job.call, message, work).await {
            Watched::Finished((_, Err(outcome))) => return outcome,
            Watched::Finished((Ok(()), Ok(()))) => return Outcome::Done,
            Watched::Finished((Err(failed), Ok(()))) => SpeechFailure::from(failed),
            Watched::TookTooLong => SpeechFailure("nobody spoke it in time".to_owned()),
            Watched::Passed => return dropped("passed"),
        };
        // A failure is an answer too: the call core apologises (B3).
        let answer = sending.answer(sending.sent.load(Ordering::Relaxed), Err(failure), false);
        sending.send_answers(vec![answer]).await.err().unwrap_or(Outcome::Done)
    }
}

impl Speak {
    /// Has a sentence spoken, whole: `Ordered::speak_in_parts` is there, and not used before playback waits for enough of a
    /// sentence (`design.md`).
    async fn speak(
        &self,
        job: &SpeakSentence,
        within: Duration,
        parts: mpsc::Sender<Part>,
    ) -> Result<(), AllFailed> {
        let utterance = Utterance { text: job.text.reveal(), voice: &job.voice, rate: job.rate };
        let audio = match job.cacheable {
            true => speak_or_recall(&self.mouths, &self.cache, utterance, within).await?,
            false => self.mouths.speak(utterance, within).await?.audio,
        };
        // Where nobody takes it, the job has ended already.
        let _ = parts.send(Part { audio, more: false }).await;
        Ok(())
    }
}

/// The way of a sentence's parts to the call.
struct Sending<'a> {
    speak: &'a Speak,
    context: &'a Context,
    message: &'a Envelope,
    job: &'a SpeakSentence,
    started: Timestamp,
    /// Parts that have left.
    sent: AtomicU32,
}

impl Sending<'_> {
    /// Sends parts as they come: the first by itself, for someone waits to hear it, and beside it what is there already, so
    /// that a task which dies between them is rare.
    ///
    /// # Errors
    /// How the job ends, where a part did not arrive.
    async fn all(&self, mut spoken: mpsc::Receiver<Part>) -> Result<(), Outcome> {
        let Some(first) = spoken.recv().await else { return Ok(()) };
        boot::crash_point("voice.spoken");
        let first = self.send(0, vec![first]);
        let others = async {
            let mut next = 1;
            while let Some(part) = spoken.recv().await {
                let mut run = vec![part];
                while let Ok(part) = spoken.try_recv() {
                    run.push(part);
                }
                let parts = u32::try_from(run.len()).unwrap_or(u32::MAX);
                self.send(next, run).await?;
                next += parts;
            }
            Ok(())
        };
        tokio::try_join!(first, others)?;
        boot::crash_point("voice.speak-sent");
        Ok(())
    }

    /// Sends a run of parts, from place `from` on.
    async fn send(&self, from: u32, run: Vec<Part>) -> Result<(), Outcome> {
        let answers = (from..)
            .zip(run)
            .map(|(place, part)| self.answer(place, Ok(part.audio.into()), part.more));
        let answers: Vec<_> = answers.collect();
        self.sent.fetch_add(u32::try_from(answers.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.send_answers(answers).await
    }

    fn answer(&self, part: u32, result: Result<Vec<u8>, SpeechFailure>, more: bool) -> Envelope {
        let SpeakSentence { call, attempt, index, text, .. } = self.job;
        let (call, attempt, index, text) = (call.clone(), *attempt, *index, text.clone());
        let spoken = SentenceSpoken { call, attempt, index, text, result, part, more };
        let now = Timestamp::now();
        let name = match part {
            0 => "sentence-spoken".to_owned(),
            _ => format!("sentence-spoken:{part}"),
        };
        let mut answer = self.message.follow(&name, now, spoken);
        if part == 0 {
            answer.stamp(Stage::SPEAK_STARTED, self.started);
            answer.stamp(Stage::SPOKEN, now);
        }
        answer
    }

    async fn send_answers(&self, answers: Vec<Envelope>) -> Result<(), Outcome> {
        let (cache, call) = (&self.speak.cache, &self.job.call);
        send_answers(self.context, cache, call, answers, self.message).await
    }
}
