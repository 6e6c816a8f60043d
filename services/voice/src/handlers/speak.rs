use std::sync::Arc;

use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use cache::Cache;
use domain::{
    Envelope, Payload, SentenceSpoken, SpeakSentence, SpeechFailure, Stage, Timestamp, Turn,
};
use speech::{Ordered, TextToSpeech};

use super::{
    dropped, misplaced, send_answer,
    watch::{Watched, watched},
};

/// Mu-law of 400 ms. What is audible is soon sent in a message that is soon through the queue, and
/// plays long enough for the rest to come behind it.
const FIRST_PART_BYTES: usize = 3200;

/// `SpeakSentence` → `SentenceSpoken`, which may come in parts. The vendor may be asked more than
/// once; each part has one event id, and its audio is heard once.
pub(crate) struct Speak {
    pub(crate) mouths: Arc<Ordered<dyn TextToSpeech>>,
    pub(crate) cache: Cache,
}

#[async_trait]
impl Handler for Speak {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        let Payload::SpeakSentence(job) = &message.payload else { return misplaced(message) };
        let Some(parts) = speak(&self.mouths, &self.cache, message, job).await else {
            return dropped("passed");
        };
        boot::crash_point("voice.spoken");
        let outcome = send_answer(context, &self.cache, &job.call, parts, message).await;
        boot::crash_point("voice.speak-sent");
        outcome
    }
}

/// The audio of a sentence, or why there is none; nothing when the turn is over. A failure is an
/// answer too: the call core apologises (B3).
async fn speak(
    mouths: &Ordered<dyn TextToSpeech>,
    cache: &Cache,
    message: &Envelope,
    job: &SpeakSentence,
) -> Option<Vec<Envelope>> {
    let started = Timestamp::now();
    let audio = mouths.speak(job.text.reveal(), &job.voice);
    let result = match watched(cache, &job.call, message, audio).await {
        Watched::Finished(spoken) => spoken.map(Vec::from).map_err(SpeechFailure::from),
        Watched::TookTooLong => Err(SpeechFailure("nobody spoke it in time".to_owned())),
        Watched::Passed => return None,
    };
    let stages = [(Stage::SPEAK_STARTED, started), (Stage::SPOKEN, Timestamp::now())];
    Some(answers(message, job, result, &stages))
}

/// The answer: in two parts where somebody waits for the sound of it, which is at the beginning of a
/// reply. What is said later is there before its time has come, and what is rendered ahead (turn 0)
/// is wanted whole.
fn answers(
    message: &Envelope,
    job: &SpeakSentence,
    result: Result<Vec<u8>, SpeechFailure>,
    stages: &[(&'static str, Timestamp)],
) -> Vec<Envelope> {
    let is_awaited = message.turn > Turn::GREETING && job.index == 0;
    let parts = match result {
        Ok(mut audio) if is_awaited && audio.len() > 2 * FIRST_PART_BYTES => {
            let rest = audio.split_off(FIRST_PART_BYTES);
            vec![Ok(audio), Ok(rest)]
        }
        whole => vec![whole],
    };
    let last = parts.len() - 1;
    let answer = |(part, result)| {
        let spoken = SentenceSpoken {
            call: job.call.clone(),
            attempt: job.attempt,
            index: job.index,
            text: job.text.clone(),
            result,
            part: part as u32,
            more: part < last,
        };
        // The first part has the name that a whole sentence has.
        let name = match part {
            0 => "sentence-spoken".to_owned(),
            part => format!("sentence-spoken:{part}"),
        };
        let mut answer = message.follow(&name, Timestamp::now(), spoken);
        for (stage, at) in stages {
            answer.stamp(*stage, *at);
        }
        answer
    };
    parts.into_iter().enumerate().map(answer).collect()
}
