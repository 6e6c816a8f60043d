//! What the mesh answered, told to the call core.

use call_core::{Input, Language, Transcript};
use domain::{Envelope, Payload};

use super::Session;

impl Session {
    /// Takes in what the mesh answered.
    pub(super) fn answer(&mut self, envelope: Envelope) {
        // The core counts the turns of this connection; 0 is the reply that the call was lost in.
        let answered = envelope.turn.0.checked_sub(self.turns_before);
        let turn = answered.unwrap_or(0);
        match envelope.payload {
            Payload::SentenceSpoken(_) | Payload::ReplyFinished(_) if answered.is_none() => {
                tracing::info!(call = %self.claims.call, turn = envelope.turn.0, "answer to a turn that is over");
            }
            Payload::SegmentTranscribed(answer) => {
                let Some(segment) = answer.segment.checked_sub(self.first_segment()) else {
                    return;
                };
                self.words_stages = envelope.stages;
                let result = match answer.result {
                    Ok(words) => Transcript::Words {
                        text: words.text.into_revealed(),
                        confidence: Some(words.confidence).filter(|c| *c > 0.0),
                    },
                    Err(failure) => {
                        tracing::warn!(call = %self.claims.call, failure = %failure.0, "segment not recognised");
                        Transcript::Failed
                    }
                };
                self.input(Input::SegmentTranscribed { segment, result });
            }
            Payload::SentenceSpoken(spoken) => {
                // The attempt begun first is the one that is played.
                let begun = self.reply_stages.get(&turn).is_some_and(|(attempt, _)| *attempt > 0);
                if spoken.index == 0 && spoken.part == 0 && !begun {
                    self.reply_stages.insert(turn, (spoken.attempt, envelope.stages));
                }
                let audio = match spoken.result {
                    Ok(audio) => Some(audio.into()),
                    Err(failure) => {
                        tracing::warn!(call = %self.claims.call, failure = %failure.0, "sentence not spoken");
                        None
                    }
                };
                self.input(Input::SentenceSpoken {
                    turn,
                    attempt: spoken.attempt,
                    index: spoken.index,
                    part: spoken.part,
                    more: spoken.more,
                    text: spoken.text.into_revealed(),
                    audio,
                });
            }
            Payload::ReplyFinished(reply) => {
                if reply.hang_up {
                    self.hang_up_after = Some(turn);
                }
                if let Some(language) = reply.listens_in {
                    self.input(Input::ListensIn { language: Language::of(&language) });
                    self.listens_in = Some(language);
                }
                self.transfer_after = reply.transfer.map(|handover| (turn, handover));
                let (attempt, sentences) = (reply.attempt, reply.sentences);
                self.input(Input::ReplyFinished { turn, attempt, sentences });
            }
            Payload::ControlCall(control) => self.control(control.command, turn),
            other => tracing::warn!(event = other.name(), "not an answer to a call"),
        }
    }
}
