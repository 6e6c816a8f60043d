//! What was lost with the task that held a call, and how the call goes on without it (DESIGN 5).

use std::{sync::Arc, time::Duration};

use bus::{Destination, Queue};
use cache::{CallRecord, Ledger, Sequel};
use call_core::{RestOfReply, Resumption};
use dialogue_core::{Agent, AgentKind};
use domain::{
    ConversationId, Envelope, EventId, Personal, ReplyFinished, SpeakSentence, SpeechRate,
    TenantSettings, Timestamp, Turn, Voice,
};
use serde::Deserialize;
use wire::Decoded;

use super::{CallServices, effects::Effect, token::StreamClaims};

/// A sentence is not worth speaking later (DESIGN 2).
const SENTENCE_LIFE: Duration = Duration::from_secs(10);
/// What is heard is noted every second: of a call this old something would be, had Redis been told.
const UNTOLD_MAX: Duration = Duration::from_secs(4);
/// How often, and how many times, the end of a reply is looked for that was being made: as long as a turn may take.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
const FOLLOWED_MAX: u32 = 40;
/// Under which the turn ledger tells the agent that has the turn, as the orchestrator records it: JSON.
const CHOICE: &str = "choice";
/// How long a caller who is back waits for the agent's own voice to be looked up.
const VOICE_WITHIN: Duration = Duration::from_secs(1);

/// A call that another task held, as it was last heard of there.
#[derive(Debug)]
pub(super) struct LostCall {
    /// What the core goes on with.
    pub resumption: Resumption,
    /// The greeting was not heard: the call begins once more.
    pub greet: bool,
    /// The turn that is still to be answered, and its event.
    pending: Option<(Turn, Option<Envelope>)>,
    /// The run of that turn of whose reply something was heard.
    heard_run: Option<u32>,
}

impl LostCall {
    /// One of which nothing is known any more: its caller is asked to say again what was said last.
    pub(super) fn unknown() -> Self {
        let resumption = Resumption { reply: None, ask_again: true, heard: None };
        Self { resumption, greet: false, pending: None, heard_run: None }
    }

    /// Reads the record of a call whose last turn is `taken`, whose fence stands at `fence`, and which has lasted for `age`.
    pub(super) fn of(record: CallRecord, fence: u32, taken: u32, age: Duration) -> Self {
        let turn = Turn(taken);
        if taken == 0 && record.heard.is_none() && age > UNTOLD_MAX {
            // Redis was away: the greeting may have been heard, and answered.
            return Self::unknown();
        }
        let ask_again = fence > taken || record.speaking > turn;
        let heard = record.heard.filter(|heard| heard.turn == turn);
        let is_heard = heard.as_ref().is_some_and(|heard| heard.complete);
        let greet = taken == 0 && !ask_again && !is_heard;
        if greet || ask_again || is_heard {
            let heard = heard.map(|heard| (heard.text, heard.complete));
            let resumption = Resumption { reply: None, ask_again, heard };
            return Self { resumption, greet, pending: None, heard_run: None };
        }
        // Of a sentence heard in part the caller hears all: it is told by sentences what is to come.
        let sentences = heard.as_ref().map_or(0, |heard| heard.sentence);
        let event = record.turn_event.and_then(|encoded| decode(&encoded));
        let event = event.filter(|event| event.turn == turn);
        Self {
            resumption: Resumption {
                reply: Some(RestOfReply { sentences, text: String::new() }),
                ask_again,
                heard: None,
            },
            greet,
            pending: Some((turn, event)),
            heard_run: heard.map(|heard| heard.attempt),
        }
    }

    /// What of the last reply is known to be heard, where that is not all of it.
    pub(super) fn heard_so_far(&self) -> Option<&str> {
        match &self.resumption {
            Resumption { reply: Some(rest), .. } => Some(&rest.text),
            Resumption { heard: Some((text, complete)), .. } if !self.greet => {
                (!complete).then_some(text)
            }
            _ => Some(""),
        }
    }

    /// Finds the rest of the reply: what was recorded of it is spoken again, for whoever held the call may have got it; and
    /// the caller's turn is published once more, which changes nothing where it was published before. Gives what is to be
    /// sent, and, where the reply is whole, the end of it.
    pub(super) async fn recall(
        &mut self,
        services: &Arc<CallServices>,
        claims: &StreamClaims,
        settings: &Arc<TenantSettings>,
    ) -> (Vec<Effect>, Option<Envelope>) {
        let Some((turn, event)) = self.pending.take() else { return (Vec::new(), None) };
        // A task that was killed may have left one.
        if let Err(error) = services.cache.end_doubt(&claims.call).await {
            tracing::debug!(call = %claims.call, %error, "a doubt about the reply ends by itself");
        }
        let conversation = ConversationId::of_call(claims.tenant, &claims.call);
        let mut effects: Vec<Effect> = event.map(Effect::Event).into_iter().collect();
        let ledger = match services.cache.begin_turn(conversation, turn).await {
            Ok(ledger) => ledger,
            Err(error) => {
                tracing::warn!(call = %claims.call, %error, "the reply of a lost call is not known");
                return (effects, None);
            }
        };
        let voice = voice_of(services, claims, settings, &ledger).await;
        let Ledger { attempt, sentences, finished, sequel, .. } = ledger;
        if self.heard_run.is_some_and(|run| run != attempt) {
            // It was given without the ledger, while Redis was away: what stands there is another answer.
            self.resumption = Self::unknown().resumption;
            return (effects, None);
        }
        if let Some(reply) = &mut self.resumption.reply {
            let heard = sentences.iter().take(reply.sentences as usize);
            reply.text = heard.map(|text| text.trim()).collect::<Vec<_>>().join(" ");
            let unheard = sentences.iter().enumerate().skip(reply.sentences as usize);
            effects.extend(unheard.map(|(index, text)| {
                let job = speak_again(claims, &voice, turn, attempt, index, text);
                Effect::Job(Queue::Speak, job.answering_to(services.own_queue.clone()))
            }));
        }
        if finished.is_none() {
            let rest = Rest { turn, attempt, asked: sentences.len() };
            let follow = follow(services.clone(), claims.clone(), voice, rest);
            services.runtime.spawn(follow);
        }
        let told = finished.map(|_| reply_finished(claims, turn, attempt, sentences.len(), sequel));
        (effects, told)
    }
}

/// The voice of the agent that has the turn; the tenant's, where that agent is not known or has none of its own.
async fn voice_of(
    services: &CallServices,
    claims: &StreamClaims,
    settings: &TenantSettings,
    ledger: &Ledger,
) -> Voice {
    let usual = settings.voice.clone();
    let chosen = ledger.values.get(CHOICE).and_then(|c| serde_json::from_str::<Chosen>(c).ok());
    let Some(Chosen { agent }) = chosen else { return usual };
    let (store, tenant) = (services.store.clone(), claims.tenant);
    // The pool's connections live where they were made.
    let asked = services.runtime.spawn(async move {
        let tx = store.tenant(tenant).await?;
        store::agents::find(&tx, &agent).await
    });
    let row = match tokio::time::timeout(VOICE_WITHIN, asked).await {
        Ok(Ok(Ok(found))) => found.map(|entry| entry.row),
        _ => {
            tracing::warn!(call = %claims.call, "the rest of a reply is spoken in the tenant's voice");
            None
        }
    };
    let agent = row.and_then(|row| {
        let kind = AgentKind::parse(&row.kind)?;
        Agent::read(&row.name, kind, &row.config).ok()
    });
    agent.map_or_else(|| usual.clone(), |agent| agent.voice(&usual))
}

/// What the ledger tells of the choice of an agent, as far as it matters here.
#[derive(Deserialize)]
struct Chosen {
    agent: String,
}

/// A sentence of a reply, to be spoken once more.
fn speak_again(
    claims: &StreamClaims,
    voice: &Voice,
    turn: Turn,
    attempt: u32,
    index: usize,
    text: &str,
) -> Envelope {
    let conversation = ConversationId::of_call(claims.tenant, &claims.call);
    let name = format!("speak-again:{}:{}:{index}", claims.attempt, turn.0);
    let now = Timestamp::now();
    let job = SpeakSentence {
        call: claims.call.clone(),
        attempt,
        index: index as u32,
        text: Personal::from(text.trim()),
        voice: voice.clone(),
        rate: SpeechRate::NORMAL,
        cacheable: false,
    };
    Envelope::new(
        EventId::from_uuid(conversation.derive(&name)),
        claims.tenant,
        conversation,
        claims.call.channel(),
        now,
        job,
    )
    .with_turn(turn)
    .expiring_at(now.plus(SENTENCE_LIFE))
}

/// The end of a reply, of which the task that is gone may have been told.
fn reply_finished(
    claims: &StreamClaims,
    turn: Turn,
    attempt: u32,
    sentences: usize,
    sequel: Sequel,
) -> Envelope {
    let finished = ReplyFinished {
        call: claims.call.clone(),
        attempt,
        sentences: sentences as u32,
        hang_up: sequel.hang_up,
        transfer: sequel.transfer,
        // Redis has told it already.
        listens_in: None,
    };
    let conversation = ConversationId::of_call(claims.tenant, &claims.call);
    let channel = claims.call.channel();
    let now = Timestamp::now();
    Envelope::new(EventId::random(), claims.tenant, conversation, channel, now, finished)
        .with_turn(turn)
}

/// A reply that was still being made when its call was lost.
struct Rest {
    turn: Turn,
    attempt: u32,
    /// So many of its sentences have been asked for.
    asked: usize,
}

/// Waits for the end of the reply, of which the task that is gone may have been told, and tells the call. Sentences that
/// came to be meanwhile are asked for once more; those the call has got already change nothing.
async fn follow(services: Arc<CallServices>, claims: StreamClaims, voice: Voice, rest: Rest) {
    let conversation = ConversationId::of_call(claims.tenant, &claims.call);
    let Rest { turn, attempt, asked } = rest;
    for _ in 0..FOLLOWED_MAX {
        tokio::time::sleep(FOLLOW_EVERY).await;
        let Ok(ledger) = services.cache.begin_turn(conversation, turn).await else { continue };
        if ledger.attempt != attempt || ledger.finished.is_none() {
            continue;
        }
        let late = ledger.sentences.iter().enumerate().skip(asked).map(|(index, text)| {
            speak_again(&claims, &voice, turn, attempt, index, text)
                .answering_to(services.own_queue.clone())
        });
        let late: Vec<Envelope> = late.collect();
        if !late.is_empty()
            && let Err(error) = services.bus.send(&Destination::Shared(Queue::Speak), &late).await
        {
            tracing::warn!(call = %claims.call, %error, "the end of a reply is not spoken");
        }
        let told = reply_finished(&claims, turn, attempt, ledger.sentences.len(), ledger.sequel);
        // Where the call is not here any more, whoever has it finds the same.
        let _ = services.live.deliver(&claims.call, told);
        return;
    }
}

fn decode(encoded: &str) -> Option<Envelope> {
    match wire::decode(&wire::from_body(encoded).ok()?).ok()? {
        Decoded::Whole(envelope) => Some(envelope),
        Decoded::Claimed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use cache::HeardSoFar;

    use super::*;

    const SOON: Duration = Duration::from_secs(3);

    fn record(taken: u32, heard: Option<(u32, u32, bool)>) -> CallRecord {
        let heard = heard.map(|(turn, sentence, complete)| HeardSoFar {
            turn: Turn(turn),
            sentence,
            complete,
            ..HeardSoFar::default()
        });
        CallRecord { taken: Turn(taken), heard, ..CallRecord::default() }
    }

    #[test]
    fn a_reply_heard_in_part_goes_on_with_the_sentence_it_was_lost_in() {
        let lost = LostCall::of(record(3, Some((3, 1, false))), 3, 3, SOON);
        assert_eq!(lost.resumption.reply.map(|reply| reply.sentences), Some(1));
        assert!(!lost.greet && !lost.resumption.ask_again);
    }

    #[test]
    fn an_answer_of_which_nothing_was_heard_is_due_whole() {
        let lost = LostCall::of(record(3, Some((2, 4, true))), 2, 3, SOON);
        assert_eq!(lost.resumption.reply.map(|reply| reply.sentences), Some(0));
    }

    #[test]
    fn who_heard_all_is_waited_for_and_who_was_speaking_is_asked() {
        let lost = LostCall::of(record(3, Some((3, 1, true))), 3, 3, SOON);
        assert!(lost.resumption.reply.is_none() && !lost.resumption.ask_again);
        assert_eq!(lost.resumption.heard, Some((String::new(), true)), "the next turn tells it");
        let mut spoke = record(3, Some((3, 1, true)));
        spoke.speaking = Turn(4);
        assert!(LostCall::of(spoke, 3, 3, SOON).resumption.ask_again);
        // The fence alone tells that the caller interrupted.
        let cut = LostCall::of(record(3, Some((3, 1, false))), 4, 3, SOON);
        assert!(cut.resumption.ask_again && cut.resumption.reply.is_none());
    }

    #[test]
    fn a_greeting_nobody_heard_is_said_once_more() {
        assert!(LostCall::of(record(0, Some((0, 0, false))), 0, 0, SOON).greet);
        assert!(LostCall::of(record(0, None), 0, 0, SOON).greet);
        assert!(!LostCall::of(record(0, Some((0, 0, true))), 0, 0, SOON).greet);
    }

    #[test]
    fn who_may_have_answered_a_greeting_that_redis_was_not_told_of_is_asked() {
        let lost = LostCall::of(record(0, None), 0, 0, Duration::from_secs(7));
        assert!(!lost.greet && lost.resumption.ask_again);
        let late = LostCall::of(record(0, Some((0, 0, false))), 0, 0, Duration::from_secs(7));
        assert!(late.greet, "a long greeting");
    }
}
