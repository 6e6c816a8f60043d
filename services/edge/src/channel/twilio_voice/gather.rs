//! Calls without a media stream (A3): Twilio recognises and speaks, the same agents answer.
//!
//! What a call has come to stands in the URLs that Twilio is given and in Redis, so that each webhook may go to another
//! task. Twilio does not tell how much of a `<Say>` was heard: what the caller answered to counts as heard.

use std::{sync::Arc, time::Duration};

use domain::{
    Address, CallEndReason, CallEnded, CallSid, CallStarted, Channel, ConversationId, Envelope,
    EscalationRequested, EventId, Handover, Heard, MessageKind, MessageReceived, Payload, Personal,
    Stage, TenantSettings, Timestamp, TransferStatus, TransferUpdated, Turn, TurnTimed,
};

use super::{
    COLLECT_PATH, Form, RETRY_POLICY, Transfers, call_ended,
    replies::{Reply, Wait, WrittenReplies},
    twiml::Document,
};
use crate::{
    call::state::{CallState, CallStates},
    channel::{Answer, Malformed, Notice, Outcome, Reception, UserKey},
};

/// How long a webhook waits for the reply before it asks the caller for patience (A3: well under 2 s).
const REPLY_WITHIN: Duration = Duration::from_millis(1500);
/// So often the caller is asked for patience: with what is said and the pauses, 10 s (DESIGN 3).
const WAITS_MAX: u32 = 4;
/// Far more than fit into [`CALL_LIMIT`].
const TURNS_MAX: u32 = 100_000;
/// So often a caller who says nothing is asked.
const SILENT_QUESTIONS: u32 = 2;
/// B4.
const CALL_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long before it the caller is told, with what is said next.
const WARNING_BEFORE: Duration = Duration::from_secs(60);

/// What is needed to hold such calls.
#[derive(Clone)]
pub(super) struct Gather {
    pub(super) states: CallStates,
    pub(super) replies: Arc<WrittenReplies>,
    pub(super) transfers: Transfers,
    /// The path of `SB_PUBLIC_BASE_URL`.
    pub(super) path_prefix: String,
}

/// One call, as a webhook tells it.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) call: CallSid,
    pub(super) address: Address,
    pub(super) from: String,
    pub(super) settings: Arc<TenantSettings>,
    pub(super) now: Timestamp,
}

/// Where a call without a media stream stands, in the URL that Twilio comes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The caller's turn that is asked for, or, while it is waited for, answered.
    turn: u32,
    /// How often the caller was asked for patience in it.
    wait: u32,
    /// How often nothing was said.
    silent: u32,
    /// The reply before was not given: the caller was apologised to.
    unheard: bool,
    /// The caller was told that the call is about to end.
    warned: bool,
}

impl Place {
    fn of_turn(turn: u32) -> Self {
        Self { turn, wait: 0, silent: 0, unheard: false, warned: false }
    }

    /// Where it stands once this turn is answered.
    #[must_use]
    pub fn next(self) -> Self {
        Self { warned: self.warned, ..Self::of_turn(self.turn + 1) }
    }

    /// Reads the query of the URL.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(query: &str) -> Result<Self, Malformed> {
        let number = |name: &str| {
            let value =
                query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.map(|v| v.parse::<u32>().map_err(|_| Malformed::new(name, "is no number")))
        };
        let counter = |name| number(name).unwrap_or(Ok(0));
        match number("turn").ok_or_else(|| Malformed::new("turn", "is missing"))?? {
            turn @ 1..=TURNS_MAX => Ok(Self {
                turn,
                wait: counter("wait")?,
                silent: counter("silent")?,
                unheard: counter("unheard")? > 0,
                warned: counter("warned")? > 0,
            }),
            _ => Err(Malformed::new("turn", "is no turn's number")),
        }
    }

    /// The URL, from the path on: that of `SB_PUBLIC_BASE_URL` is `prefix`.
    pub fn url(self, prefix: &str) -> String {
        let Self { turn, wait, silent, unheard, warned } = self;
        let mut url = format!("{prefix}{COLLECT_PATH}?turn={turn}");
        let counters = [
            ("wait", wait),
            ("silent", silent),
            ("unheard", unheard.into()),
            ("warned", warned.into()),
        ];
        for (name, count) in counters {
            if count > 0 {
                url.push_str(&format!("&{name}={count}"));
            }
        }
        url + RETRY_POLICY
    }
}

impl Gather {
    /// The call comes in: it is greeted.
    pub(super) async fn begin(&self, of: &Call) -> Reception {
        let began_at = self.states.begin(&of.call, of.now).await;
        let started = CallStarted {
            call: of.call.clone(),
            from: of.from.as_str().into(),
            to: of.address.address.clone(),
            greeting: of.settings.greeting.clone(),
        };
        let mut event = of.event("call-started", Turn::GREETING, started);
        event.occurred_at = began_at;
        let answer = self.ask(of, Place::of_turn(1), &of.settings.greeting, None);
        Reception {
            notices: vec![Notice::Person {
                user: of.user(),
                event: Some(Box::new(event)),
                seen: None,
            }],
            answer: answer.clone(),
            answer_over_limit: answer,
            outcome: None,
        }
    }

    /// The caller has spoken, keyed, kept silent, or waits for a reply.
    pub(super) async fn collect(
        &self,
        of: &Call,
        form: &Form,
        query: &str,
    ) -> Result<Reception, Malformed> {
        let place = Place::read(query)?;
        let (state, began_at) =
            tokio::join!(self.states.state(&of.call), self.states.began_at(&of.call));
        match state {
            CallState::Ended => {
                return Ok(Reception::answered(twiml(Document::default().hang_up())));
            }
            CallState::Transferring(to) => {
                let document = self.dial(Document::default(), of, place, &to);
                return Ok(Reception::answered(twiml(document)));
            }
            CallState::New | CallState::Live | CallState::Unknown => {}
        }
        let began_at = began_at.ok().flatten();
        let spoken = [form.optional("SpeechResult"), form.optional("Digits")];
        let words = spoken.map(str::trim).into_iter().find(|words| !words.is_empty());
        let words = words.filter(|_| place.wait == 0);
        if began_at.is_some_and(|began_at| of.now.since(began_at) >= CALL_LIMIT) {
            let end = self.end(of, CallEndReason::TimeLimit, &of.settings.goodbye, began_at);
            // What was said last is answered to nobody, but not lost.
            let notices = match words {
                Some(words) => vec![self.turn_notice(of, place, words).await],
                None => Vec::new(),
            };
            return Ok(Reception { notices, ..end });
        }
        if place.wait > 0 {
            let wait = self.replies.expect(&of.call, Turn(place.turn));
            return Ok(self.waiting(of, place, began_at, wait, Vec::new()));
        }
        match words {
            Some(words) => Ok(self.turn_taken(of, place, began_at, words).await),
            None if place.silent < SILENT_QUESTIONS => {
                let again = Place { silent: place.silent + 1, ..place };
                // The question is the tenant's, what is answered to the agent's.
                let before = self.replies.kept(&of.call, Turn(place.turn - 1)).await;
                let language = before.and_then(|reply| reply.language);
                let question = &of.settings.silence_question;
                let (warning, again) = warning(of, again, began_at);
                let asked = self.ask_after(warning, of, again, question, language.as_deref());
                Ok(Reception::answered(asked))
            }
            None => Ok(self.end(of, CallEndReason::Agent, &of.settings.silence_goodbye, began_at)),
        }
    }

    async fn turn_taken(
        &self,
        of: &Call,
        place: Place,
        began_at: Option<Timestamp>,
        words: &str,
    ) -> Reception {
        let wait = self.replies.expect(&of.call, Turn(place.turn));
        let notice = self.turn_notice(of, place, words).await;
        self.waiting(of, place, began_at, wait, vec![notice])
    }

    /// The caller's turn, to be published.
    async fn turn_notice(&self, of: &Call, place: Place, words: &str) -> Notice {
        let before = Turn(place.turn - 1);
        let text = match before {
            _ if place.unheard => None,
            Turn::GREETING => Some(of.settings.greeting.as_str().into()),
            before => self.replies.kept(&of.call, before).await.map(|reply| reply.text),
        };
        let received = MessageReceived {
            from: of.from.as_str().into(),
            to: of.address.address.clone(),
            text: words.into(),
            kind: MessageKind::Speech,
            external_id: String::new(),
            profile_name: None,
            bsuid: None,
            heard: text.map(|text| Heard { turn: before, text, complete: true }),
            call: Some(of.call.clone()),
            quotes: None,
            referral: None,
            gathered: true,
            speech: None,
        };
        let mut event = of
            .event(&format!("turn:{}", place.turn), Turn(place.turn), received)
            .answering_to(self.replies.queue());
        event.stamp(Stage::TURN_ENDED, of.now);
        Notice::Person { user: of.user(), event: Some(Box::new(event)), seen: None }
    }

    /// Answers with the reply, once it comes; else asks the caller for patience.
    fn waiting(
        &self,
        of: &Call,
        place: Place,
        began_at: Option<Timestamp>,
        wait: Wait,
        notices: Vec<Notice>,
    ) -> Reception {
        let (gather, of) = (self.clone(), of.clone());
        let apology = twiml(Document::default().say(&of.settings, &of.settings.apology).hang_up());
        let outcome = async move {
            match wait.reply(REPLY_WITHIN, place.wait > 0).await {
                Some(reply) => gather.reply(&of, place, began_at, reply).await,
                None => gather.no_reply(&of, place).await,
            }
        };
        Reception {
            notices,
            answer: apology.clone(),
            answer_over_limit: apology,
            outcome: Some(Box::pin(outcome)),
        }
    }

    async fn reply(
        &self,
        of: &Call,
        place: Place,
        began_at: Option<Timestamp>,
        reply: Reply,
    ) -> Outcome {
        let turn = Turn(place.turn);
        let mut events = Vec::new();
        if let Some(message) = reply.message {
            let mut timed = of.event(
                &format!("turn-timed:{}", place.turn),
                turn,
                TurnTimed { attempt: reply.written.attempt },
            );
            let now = Timestamp::now();
            timed.stages = message.stages;
            timed.stamp(Stage::FIRST_AUDIO_OUT, now);
            events.push(timed);
        }
        let text = reply.written.text;
        let (warning, next) = warning(of, place.next(), began_at);
        let of = &of.speaking(reply.written.language);
        if let Some(handover) = reply.written.transfer {
            let heard = Heard { turn, text, complete: true };
            events.push(self.hand_over(of, turn, &handover, Some(heard.clone())).await);
            let spoken = Document::default().say(&of.settings, heard.text.reveal());
            let answer = twiml(self.dial(spoken, of, place, handover.to.reveal()));
            return Outcome { answer, events };
        }
        if !reply.written.hang_up {
            let answer = self.ask_after(warning, of, next, text.reveal(), None);
            return Outcome { answer, events };
        }
        let farewell = Document::default().say(&of.settings, text.reveal()).hang_up();
        let heard = Heard { turn, text, complete: true };
        events.push(self.over(of, CallEndReason::Agent, began_at, Some(heard)).await);
        Outcome { answer: twiml(farewell), events }
    }

    async fn no_reply(&self, of: &Call, place: Place) -> Outcome {
        if place.wait < WAITS_MAX {
            let again = Place { wait: place.wait + 1, ..place };
            let patience = match place.wait {
                0 => Document::default().say(&of.settings, &of.settings.filler),
                _ => Document::default().pause(1),
            };
            let answer = twiml(patience.redirect(&again.url(&self.path_prefix)));
            return Outcome { answer, events: Vec::new() };
        }
        tracing::warn!(call = %of.call, turn = place.turn, "no reply in time; the caller is apologised to");
        let summary = Personal::from("The platform did not answer the caller in time.");
        let wanted = EscalationRequested { reason: "no_answer".into(), summary: summary.clone() };
        let turn = Turn(place.turn);
        let mut events = vec![of.event(&format!("escalation:{}", place.turn), turn, wanted)];
        let apology = of.settings.apology.as_str();
        let answer = match of.settings.human() {
            Some(to) => {
                let handover = Handover { to: to.into(), summary };
                events.push(self.hand_over(of, turn, &handover, None).await);
                let spoken = Document::default().say(&of.settings, apology);
                twiml(self.dial(spoken, of, Place { unheard: true, ..place }, to))
            }
            None => {
                let next = Place { unheard: true, ..place.next() };
                self.ask(of, next, apology, None)
            }
        };
        Outcome { answer, events }
    }

    /// Notes that the call goes to a human, and gives the event that tells it.
    async fn hand_over(
        &self,
        of: &Call,
        turn: Turn,
        handover: &Handover,
        heard: Option<Heard>,
    ) -> Envelope {
        self.transfers.begin(&of.call, handover, &of.settings).await;
        let status = TransferStatus::Dialled;
        let told = TransferUpdated { call: of.call.clone(), status, heard };
        of.event(&format!("transfer:dialled:{}", turn.0), turn, told)
    }

    fn dial(&self, document: Document, of: &Call, place: Place, to: &str) -> Document {
        let unheard = if place.unheard { "&unheard=1" } else { "" };
        let query = format!("turn={}{unheard}", place.turn + 1);
        self.transfers.dial(document, &of.call, to, &query)
    }

    /// Nobody took the call: the caller is asked what else there is.
    pub(super) fn returned(&self, of: &Call, query: &str) -> Result<Answer, Malformed> {
        Ok(self.ask(of, Place::read(query)?, &of.settings.nobody_free, None))
    }

    /// `listens_in`: what the caller answers in, where that is another language than the text's.
    fn ask(&self, of: &Call, place: Place, text: &str, listens_in: Option<&str>) -> Answer {
        self.ask_after(Document::default(), of, place, text, listens_in)
    }

    /// The same after what `before` says.
    fn ask_after(
        &self,
        before: Document,
        of: &Call,
        place: Place,
        text: &str,
        listens_in: Option<&str>,
    ) -> Answer {
        let action = place.url(&self.path_prefix);
        let listens_in = listens_in.unwrap_or(&of.settings.voice.language);
        twiml(before.gather(&of.settings, listens_in, &action, text))
    }

    /// Ends the call with a farewell.
    fn end(
        &self,
        of: &Call,
        reason: CallEndReason,
        farewell: &str,
        began_at: Option<Timestamp>,
    ) -> Reception {
        let answer = twiml(Document::default().say(&of.settings, farewell).hang_up());
        let (gather, of) = (self.clone(), of.clone());
        let last = answer.clone();
        let outcome = async move {
            let event = gather.over(&of, reason, began_at, None).await;
            Outcome { answer: last, events: vec![event] }
        };
        Reception { outcome: Some(Box::pin(outcome)), ..Reception::answered(answer) }
    }

    /// Notes that the call is over, so that nothing of it is answered any more, and gives the event that tells it.
    async fn over(
        &self,
        of: &Call,
        reason: CallEndReason,
        began_at: Option<Timestamp>,
        heard: Option<Heard>,
    ) -> Envelope {
        self.states.set_ended(&of.call).await;
        let now = Timestamp::now();
        let began_at = began_at.unwrap_or(of.now);
        let mut event = call_ended(of.address.tenant, &of.call, reason, began_at, now);
        if let Payload::CallEnded(CallEnded { heard: told, .. }) = &mut event.payload {
            *told = heard;
        }
        event
    }
}

impl Call {
    /// The same call, where an agent speaks that has a language of its own. The tenant's voice does not speak it; Twilio has
    /// one for each language.
    fn speaking(&self, language: Option<String>) -> Self {
        let mut of = self.clone();
        if let Some(language) = language.filter(|own| *own != of.settings.voice.language) {
            let settings = Arc::make_mut(&mut of.settings);
            settings.voice.language = language;
            settings.say_voice = None;
        }
        of
    }

    fn conversation(&self) -> ConversationId {
        ConversationId::of_call(self.address.tenant, &self.call)
    }

    fn user(&self) -> UserKey {
        UserKey::of(self.address.tenant, &Channel::VOICE, &self.from, self.call.as_str())
    }

    /// An event of this call, under the id derived from `name`: the same wherever it is made.
    fn event(&self, name: &str, turn: Turn, payload: impl Into<Payload>) -> Envelope {
        let conversation = self.conversation();
        Envelope::new(
            EventId::from_uuid(conversation.derive(name)),
            self.address.tenant,
            conversation,
            Channel::VOICE,
            self.now,
            payload,
        )
        .with_turn(turn)
    }
}

/// What a caller is told, once, when the call is about to end (B4), and the place it comes back to then.
fn warning(of: &Call, place: Place, began_at: Option<Timestamp>) -> (Document, Place) {
    let is_due = |began_at| of.now.since(began_at) + WARNING_BEFORE >= CALL_LIMIT;
    if place.warned || !began_at.is_some_and(is_due) {
        return (Document::default(), place);
    }
    let told = Document::default().say(&of.settings, &of.settings.time_warning);
    (told, Place { warned: true, ..place })
}

fn twiml(document: Document) -> Answer {
    Answer::twiml(document.response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_was_given() {
        for place in [
            Place::of_turn(1),
            Place { turn: 12, wait: 3, silent: 0, unheard: false, warned: true },
            Place { turn: 2, wait: 0, silent: 1, unheard: true, warned: false },
        ] {
            let url = place.url("/desk");
            let (path, rest) = url.split_once('?').unwrap();
            assert_eq!(path, "/desk/twilio/voice/collect");
            // The fragment is not sent.
            assert_eq!(Place::read(rest.split_once('#').unwrap().0).unwrap(), place);
        }
        for bad in [
            "",
            "turn=",
            "turn=0",
            "turn=-1",
            "turn=x",
            "turn=4294967295",
            "wait=1",
            "turn=1&wait=x",
        ] {
            assert!(Place::read(bad).is_err(), "{bad}");
        }
    }
}
