use std::sync::Arc;

use async_trait::async_trait;
use bus::{Context, Handler, Outcome};
use cache::Cache;
use domain::{Envelope, Payload, SentenceSpoken, SpeakSentence, SpeechFailure, Stage, Timestamp};
use speech::{Ordered, TextToSpeech, Utterance};

use super::{
    dropped, misplaced, send_answer,
    watch::{Watched, time_left, watched},
};
use crate::spoken::speak_or_recall;

/// `SpeakSentence` → `SentenceSpoken`. The vendor may be asked more than once; the answer has one
/// event id, and its audio is heard once.
pub(crate) struct Speak {
    pub(crate) mouths: Arc<Ordered<dyn TextToSpeech>>,
    pub(crate) cache: Cache,
}

#[async_trait]
impl Handler for Speak {
    async fn handle(&self, context: &Context, message: &Envelope) -> Outcome {
        let Payload::SpeakSentence(job) = &message.payload else { return misplaced(message) };
        let Some(answer) = speak(&self.mouths, &self.cache, message, job).await else {
            return dropped("passed");
        };
        boot::crash_point("voice.spoken");
        let outcome = send_answer(context, &self.cache, &job.call, answer, message).await;
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
) -> Option<Envelope> {
    let started = Timestamp::now();
    let utterance = Utterance { text: job.text.reveal(), voice: &job.voice, rate: job.rate };
    let audio = async {
        let within = time_left(message);
        if job.cacheable {
            return speak_or_recall(mouths, cache, utterance, within).await;
        }
        mouths.speak(utterance, within).await.map(|spoken| spoken.audio)
    };
    let result = match watched(cache, &job.call, message, audio).await {
        Watched::Finished(spoken) => spoken.map(Vec::from).map_err(SpeechFailure::from),
        Watched::TookTooLong => Err(SpeechFailure("nobody spoke it in time".to_owned())),
        Watched::Passed => return None,
    };
    let spoken = SentenceSpoken {
        call: job.call.clone(),
        attempt: job.attempt,
        index: job.index,
        text: job.text.clone(),
        result,
        part: 0,
        more: false,
    };
    let now = Timestamp::now();
    let mut answer = message.follow("sentence-spoken", now, spoken);
    answer.stamp(Stage::SPEAK_STARTED, started);
    answer.stamp(Stage::SPOKEN, now);
    Some(answer)
}
