//! The context of a conversation between turns: Redis first, PostgreSQL when it is not there,
//! written back after every exchange (C4).

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use cache::{Cache, Written};
use dialogue_core::{
    Contact, DayPart, Desk, Enquiry, HISTORY_UTTERANCES_MAX, Offer, Past, Question, Quoted, Role,
    State, Task, TimeOfDay, Utterance,
};
use domain::{ConversationId, Envelope, MessageKind, MessageReceived, Payload, Personal, Turn};
use serde::{Deserialize, Serialize};
use store::{
    Store, StoreError,
    messages::{self, Line, Speaker},
};
use tokio::time::{Instant, sleep, timeout};

/// How long a reloaded context that lacks the last turn waits for the writer (DESIGN 5).
const WRITER_WAIT: Duration = Duration::from_secs(2);
const WRITER_POLL: Duration = Duration::from_millis(200);

/// How long PostgreSQL may take to answer; a caller waits.
const RELOAD_TIMEOUT: Duration = Duration::from_millis(1500);

/// What is known of a conversation, and where it was found.
pub(crate) struct Context {
    pub(crate) state: State,
    /// The version in Redis; `None` where Redis could not be asked, so it is not written either.
    seen: Option<u64>,
}

/// What Redis has of a context.
pub(crate) struct Kept {
    /// `None` where it is not there, or cannot be read.
    state: Option<State>,
    /// Its version, as in [`Context`].
    seen: Option<u64>,
}

impl Kept {
    /// Asks Redis.
    pub(crate) async fn read(cache: &Cache, conversation: ConversationId) -> Self {
        match cache.context(conversation).await {
            Ok(Some(stored)) => {
                let body = serde_json::from_str::<Stored>(&stored.body).inspect_err(|error| {
                    tracing::warn!(%error, "a context cannot be read; rebuilt from the history");
                });
                Self { state: body.ok().map(Stored::into_state), seen: Some(stored.version) }
            }
            Ok(None) => Self { state: None, seen: Some(0) },
            Err(error) => {
                tracing::warn!(%error, "the context cannot be had from Redis");
                Self { state: None, seen: None }
            }
        }
    }

    /// Whether Redis had it. What Redis has nothing of it may have lost.
    pub(crate) fn was_in_redis(&self) -> bool {
        // The versions that are written begin with 1.
        self.seen.is_some_and(|version| version > 0)
    }

    /// The context; where Redis did not give it, rebuilt from the history as it was before `message`.
    pub(crate) async fn or_rebuilt(
        self,
        store: &Store,
        desk: &Desk,
        message: &Envelope,
    ) -> Context {
        let state = match self.state {
            Some(state) => state,
            None => reload(store, desk, message).await,
        };
        Context { state, seen: self.seen }
    }
}

impl Context {
    /// Reads the context from Redis; where it is not there, rebuilds it from the history as it was
    /// before `message`.
    pub(crate) async fn load(
        cache: &Cache,
        store: &Store,
        desk: &Desk,
        message: &Envelope,
    ) -> Self {
        Kept::read(cache, message.conversation).await.or_rebuilt(store, desk, message).await
    }

    /// Writes the context back for the next 30 minutes. A Redis that is away costs nothing but a
    /// reload from the history.
    ///
    /// # Errors
    /// When another run wrote in between: what this one knew is out of date.
    pub(crate) async fn save(
        &self,
        cache: &Cache,
        conversation: ConversationId,
    ) -> anyhow::Result<()> {
        let Some(seen) = self.seen else { return Ok(()) };
        let body = serde_json::to_string(&Stored::of(&self.state)).context("encode the context")?;
        match cache.put_context(conversation, seen, &body).await {
            Ok(Written::Stored(_)) => Ok(()),
            Ok(Written::Conflict) => bail!("another run wrote the context in between"),
            Err(error) => {
                tracing::warn!(%error, "the context was not written; the history has it");
                Ok(())
            }
        }
    }
}

/// Rebuilds the context from PostgreSQL, waiting a moment for a writer that is behind.
async fn reload(store: &Store, desk: &Desk, message: &Envelope) -> State {
    let spoken = message.channel.is_spoken();
    let give_up_at = Instant::now() + WRITER_WAIT;
    loop {
        let found = match timeout(RELOAD_TIMEOUT, history(store, message)).await {
            Ok(found) => found.context("read the history"),
            Err(_) => Err(anyhow!("the history did not come in time")),
        };
        let is_away = found.is_err();
        let lines = found.unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "going on without the history");
            Vec::new()
        });
        let mut state = rebuild(desk, &lines, message);
        // Only a call knows which turn must have been before.
        let is_behind = spoken && state.last_turn.next() < message.turn;
        if !is_behind || is_away || Instant::now() >= give_up_at {
            state.gap = is_behind;
            if is_behind {
                metrics::counter!("orchestrator_context_gaps_total").increment(1);
            }
            return state;
        }
        sleep(WRITER_POLL).await;
    }
}

async fn history(store: &Store, message: &Envelope) -> Result<Vec<Line>, StoreError> {
    let tx = store.tenant(message.tenant).await?;
    let limit = u32::try_from(HISTORY_UTTERANCES_MAX).unwrap_or(u32::MAX);
    messages::transcript(&tx, message.conversation, limit).await
}

/// The message that `event` replies to, where the person pointed at one that is in the history. What was chosen says by itself
/// what it is about.
pub(crate) async fn quoted(
    store: &Store,
    envelope: &Envelope,
    event: &MessageReceived,
) -> Option<Quoted> {
    let external_id = event.quotes.as_deref()?;
    if matches!(event.kind, MessageKind::Choice(_)) {
        return None;
    }
    let chats = event.chats(envelope.tenant, &envelope.channel, envelope.conversation);
    let find = async {
        let tx = store.tenant(envelope.tenant).await?;
        messages::quoted(&tx, &chats, external_id).await
    };
    let found = match timeout(RELOAD_TIMEOUT, find).await {
        Ok(found) => found.context("find the message that is replied to"),
        Err(_) => Err(anyhow!("the message that is replied to was not found in time")),
    };
    let (speaker, text) = found.unwrap_or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "going on without what is replied to");
        None
    })?;
    Some(Quoted { is_ours: speaker != Speaker::User, text }).filter(|q| !q.text.is_empty())
}

/// The state before `message`, which the writer may have been quicker to take in.
fn rebuild(desk: &Desk, lines: &[Line], message: &Envelope) -> State {
    let spoken = message.channel.is_spoken();
    let mut last = Turn::GREETING;
    let mut past = Vec::new();
    let mut pending = None;
    // Of a chat, what stands before the message, and of one that is replayed also what has been said since. Where it is not
    // there yet, neither is what came later.
    let (own, takes_all) = (message.event_id.as_uuid(), spoken || message.replays > 0);
    for line in lines.iter().take_while(|line| takes_all || line.message != *own) {
        let is_later = spoken && line.turn.is_some_and(|turn| turn >= message.turn);
        if is_later || line.message == *own {
            continue;
        }
        // What we wrote of our own accord belongs to no turn.
        last = line.turn.map_or(last, |turn| turn.max(last));
        if line.is_withdrawn {
            continue;
        }
        let role = if line.speaker == Speaker::User { Role::Person } else { Role::Agent };
        let utterance = Utterance { role, text: line.text.clone(), turn: last };
        let is_unheard = spoken && role == Role::Agent && line.heard_whole.is_none();
        if is_unheard {
            pending = Some(utterance);
        } else {
            let is_place = role == Role::Person && line.kind == "location";
            past.push(Past { utterance, is_place, agent: line.agent.clone(), at: line.at });
        }
    }
    let from = match &message.payload {
        Payload::CallStarted(call) => call.from.clone(),
        Payload::MessageReceived(message) => message.from.clone(),
        _ => Personal::default(),
    };
    // What tools did is not in the history yet.
    let mut state = desk.rebuild(&past, &[], spoken, &from);
    state.pending = pending.filter(|p| p.turn.next() >= message.turn);
    state
}

/// The context as JSON. Every field has a default, so that a release reads what another wrote.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Stored {
    agent: Option<String>,
    last_turn: u32,
    history: Vec<StoredUtterance>,
    pending: Option<StoredUtterance>,
    asked: Option<StoredQuestion>,
    name: Option<String>,
    service: Option<String>,
    day: Option<String>,
    time: Option<String>,
    task: Task,
    /// Told in place of the number they call from; empty where they would not tell one.
    number: Option<String>,
    /// As [`number`](Self::number).
    email: Option<String>,
    offers: Vec<Offer>,
    appointment: Option<Offer>,
    misses: u32,
    off_record: bool,
    #[serde(default)]
    slowly: bool,
    ended: bool,
    gap: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredUtterance {
    by_agent: bool,
    text: String,
    turn: u32,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum StoredQuestion {
    Offer,
    Name,
    Day,
    Time,
    Phone,
    Email,
    Offered,
    Which,
    Confirm,
    AnythingElse,
    Human,
    /// One that another release asks.
    #[serde(other)]
    Unknown,
}

const DAY_PARTS: [(&str, DayPart); 4] = [
    ("morning", DayPart::Morning),
    ("lunch", DayPart::Lunch),
    ("afternoon", DayPart::Afternoon),
    ("evening", DayPart::Evening),
];

impl Stored {
    fn of(state: &State) -> Self {
        let enquiry = &state.enquiry;
        Self {
            agent: state.agent.clone(),
            last_turn: state.last_turn.0,
            history: state.history.iter().map(StoredUtterance::of).collect(),
            pending: state.pending.as_ref().map(StoredUtterance::of),
            asked: state.asked.map(|q| match q {
                Question::Offer => StoredQuestion::Offer,
                Question::Name => StoredQuestion::Name,
                Question::Day => StoredQuestion::Day,
                Question::Time => StoredQuestion::Time,
                Question::Phone => StoredQuestion::Phone,
                Question::Email => StoredQuestion::Email,
                Question::Offered => StoredQuestion::Offered,
                Question::Which => StoredQuestion::Which,
                Question::Confirm => StoredQuestion::Confirm,
                Question::AnythingElse => StoredQuestion::AnythingElse,
                Question::Human => StoredQuestion::Human,
            }),
            name: enquiry.name.as_ref().map(|n| n.reveal().to_owned()),
            service: enquiry.service.clone(),
            day: enquiry.day.map(|d| d.to_string()),
            time: enquiry.time.map(|time| match time {
                TimeOfDay::At(clock) => clock.to_string(),
                TimeOfDay::Part(part) => {
                    DAY_PARTS.iter().find(|(_, p)| *p == part).map_or("", |(n, _)| n).to_owned()
                }
            }),
            task: enquiry.task,
            number: stored_contact(&enquiry.number),
            email: stored_contact(&enquiry.email),
            offers: enquiry.offers.clone(),
            appointment: enquiry.appointment.clone(),
            misses: state.misses,
            off_record: state.off_record,
            slowly: state.slowly,
            ended: state.ended,
            gap: state.gap,
        }
    }

    fn into_state(self) -> State {
        let time = self.time.and_then(|text| {
            let part = DAY_PARTS.iter().find(|(name, _)| *name == text);
            part.map(|(_, p)| TimeOfDay::Part(*p)).or_else(|| text.parse().ok().map(TimeOfDay::At))
        });
        State {
            agent: self.agent,
            last_turn: Turn(self.last_turn),
            history: self.history.into_iter().map(StoredUtterance::into_utterance).collect(),
            pending: self.pending.map(StoredUtterance::into_utterance),
            asked: self.asked.and_then(|q| match q {
                StoredQuestion::Offer => Some(Question::Offer),
                StoredQuestion::Name => Some(Question::Name),
                StoredQuestion::Day => Some(Question::Day),
                StoredQuestion::Time => Some(Question::Time),
                StoredQuestion::Phone => Some(Question::Phone),
                StoredQuestion::Email => Some(Question::Email),
                StoredQuestion::Offered => Some(Question::Offered),
                StoredQuestion::Which => Some(Question::Which),
                StoredQuestion::Confirm => Some(Question::Confirm),
                StoredQuestion::AnythingElse => Some(Question::AnythingElse),
                StoredQuestion::Human => Some(Question::Human),
                StoredQuestion::Unknown => None,
            }),
            enquiry: Enquiry {
                name: self.name.map(Into::into),
                service: self.service,
                day: self.day.and_then(|d| d.parse().ok()),
                time,
                task: self.task,
                number: contact_of(self.number),
                email: contact_of(self.email),
                offers: self.offers,
                appointment: self.appointment,
            },
            misses: self.misses,
            off_record: self.off_record,
            slowly: self.slowly,
            ended: self.ended,
            gap: self.gap,
        }
    }
}

fn stored_contact(contact: &Contact) -> Option<String> {
    match contact {
        Contact::Unknown => None,
        Contact::Told(told) => Some(told.reveal().to_owned()),
        Contact::Declined => Some(String::new()),
    }
}

fn contact_of(stored: Option<String>) -> Contact {
    match stored {
        None => Contact::Unknown,
        Some(declined) if declined.is_empty() => Contact::Declined,
        Some(told) => Contact::Told(told.into()),
    }
}

impl StoredUtterance {
    fn of(utterance: &Utterance) -> Self {
        Self {
            by_agent: utterance.role == Role::Agent,
            text: utterance.text.reveal().to_owned(),
            turn: utterance.turn.0,
        }
    }

    fn into_utterance(self) -> Utterance {
        Utterance {
            role: if self.by_agent { Role::Agent } else { Role::Person },
            text: self.text.into(),
            turn: Turn(self.turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use dialogue_core::{Message, Step, default_agents};
    use domain::{Channel, EventId, Heard, TenantId, TenantSettings, Timestamp};

    use super::*;

    fn desk() -> Desk {
        Desk::new(&TenantSettings::default(), default_agents())
    }

    /// A context in the middle of an enquiry, every field of it in use.
    fn full() -> State {
        let mut state = desk().call_started("Hello.");
        for (turn, text) in [(1, "book for next Tuesday"), (2, "Anna Lee")] {
            let heard = Heard { turn: Turn(turn - 1), text: "Hello.".into(), complete: true };
            let message = Message {
                turn: Turn(turn),
                text: text.into(),
                kind: MessageKind::Speech,
                heard: Some(heard),
                spoken: true,
                from: "".into(),
                attachment: None,
                quoted: None,
                referral: None,
            };
            let choice = desk().choose(&state, &message).unwrap();
            let Step::Answer(answer) =
                desk().answer(&state, &message, &choice, Timestamp::default(), &[])
            else {
                panic!("needs no tool")
            };
            state = answer.state;
            state.replied(message.turn, answer.scripted.into(), true);
        }
        state.gap = true;
        state.misses = 1;
        state.slowly = true;
        let offer = |appointment: Option<&str>| Offer {
            start: jiff::Timestamp::UNIX_EPOCH,
            appointment: appointment.map(str::to_owned),
        };
        state.enquiry = Enquiry {
            task: Task::Reschedule,
            time: Some(TimeOfDay::Part(DayPart::Afternoon)),
            service: Some("filling".into()),
            number: Contact::Told("+14169671111".into()),
            email: Contact::Declined,
            offers: vec![offer(None)],
            appointment: Some(offer(Some("7"))),
            ..state.enquiry
        };
        state
    }

    #[test]
    fn a_context_comes_back_as_it_was_kept() {
        let json = serde_json::to_string(&Stored::of(&full())).unwrap();
        let back = serde_json::from_str::<Stored>(&json).unwrap().into_state();
        assert_eq!(back, full());
    }

    #[test]
    fn a_context_of_another_release_can_be_read() {
        let other = r#"{"last_turn": 4, "asked": "postcode", "mood": "good"}"#;
        let state = serde_json::from_str::<Stored>(other).unwrap().into_state();
        assert_eq!((state.last_turn, state.asked), (Turn(4), None));
    }

    fn line(speaker: Speaker, turn: u32, text: &str, heard_whole: Option<bool>) -> Line {
        Line {
            speaker,
            turn: Some(Turn(turn)),
            kind: "text".into(),
            text: text.into(),
            heard_whole,
            agent: None,
            at: Timestamp::from_micros(i64::from(turn)),
            message: uuid::Uuid::nil(),
            is_withdrawn: false,
        }
    }

    fn received(turn: u32) -> Envelope {
        let message = MessageReceived {
            from: "".into(),
            to: String::new(),
            text: "and now?".into(),
            kind: MessageKind::Speech,
            external_id: String::new(),
            profile_name: None,
            bsuid: None,
            heard: None,
            call: None,
            quotes: None,
            referral: None,
            gathered: false,
            speech: None,
        };
        let tenant = TenantId::from_uuid(uuid::Uuid::nil());
        let conversation = ConversationId::from_uuid(uuid::Uuid::nil());
        let at = Timestamp::from_micros(1_000);
        Envelope::new(EventId::random(), tenant, conversation, Channel::VOICE, at, message)
            .with_turn(Turn(turn))
    }

    #[test]
    fn the_history_gives_what_was_heard_and_leaves_the_last_reply_open() {
        let lines = [
            line(Speaker::Agent, 0, "Hello.", Some(true)),
            line(Speaker::User, 1, "I need an appointment", None),
            line(Speaker::Agent, 1, "Sure. What name is it for?", None),
            line(Speaker::User, 2, "and now?", None),
        ];
        let state = rebuild(&desk(), &lines, &received(2));
        let texts: Vec<_> = state.history.iter().map(|u| u.text.reveal()).collect();
        assert_eq!(texts, ["Hello.", "I need an appointment"], "turn 2 is the one to answer");
        assert_eq!(state.last_turn, Turn(1));
        assert_eq!(state.pending.map(|p| p.turn), Some(Turn(1)));
        assert_eq!(state.asked, Some(Question::Name), "the question stands open again");
    }

    #[test]
    fn a_chat_knows_what_was_said_before_whatever_the_clocks_of_the_tasks_showed() {
        let message = Envelope { channel: Channel::WHATSAPP, ..received(0) };
        let ahead = message.occurred_at.plus(Duration::from_secs(8));
        let own = Line {
            message: *message.event_id.as_uuid(),
            ..line(Speaker::User, 2, "and now?", None)
        };
        let lines = [
            Line { at: ahead, ..line(Speaker::User, 1, "I need an appointment", None) },
            Line { at: ahead, ..line(Speaker::Agent, 1, "Sure. What name is it for?", None) },
            own,
            line(Speaker::User, 3, "hello?", None),
        ];
        let texts = |lines: &[Line]| -> Vec<String> {
            let history = rebuild(&desk(), lines, &message).history;
            history.iter().map(|u| u.text.reveal().to_owned()).collect()
        };
        let before = ["I need an appointment", "Sure. What name is it for?"];
        assert_eq!(texts(&lines), before);
        assert_eq!(texts(&lines[..2]), before, "the writer has not taken it in yet");
    }

    #[test]
    fn what_a_person_changed_or_took_back_is_known_as_it_is_now() {
        let message = Envelope { channel: Channel::WHATSAPP, ..received(0) };
        let gone = |text| Line { is_withdrawn: true, ..line(Speaker::User, 3, text, None) };
        let lines = [
            line(Speaker::User, 1, "My PIN is at the desk", None),
            line(Speaker::User, 2, "At three", None),
            gone("At two"),
            gone(""),
        ];
        let state = rebuild(&desk(), &lines, &message);
        let known: Vec<_> = state.history.iter().map(|said| said.text.reveal()).collect();
        assert_eq!(known, ["My PIN is at the desk", "At three"]);
    }

    #[test]
    fn a_place_and_a_file_of_the_history_are_no_answers_to_what_was_asked() {
        let message = Envelope { channel: Channel::WHATSAPP, ..received(0) };
        let place = Line {
            kind: "location".into(),
            ..line(Speaker::User, 2, "Suite 10, Friday Street (43.65, -79.38)", None)
        };
        let file = Line { kind: "image".into(), ..line(Speaker::User, 3, "", None) };
        let lines = [
            line(Speaker::User, 1, "I need an appointment", None),
            line(Speaker::Agent, 1, "Sure. What name is it for?", None),
            place,
            file,
        ];
        let state = rebuild(&desk(), &lines, &message);
        assert_eq!((state.asked, state.enquiry.day), (Some(Question::Name), None));
        assert_eq!(state.misses, 0);
        let told = state.history.last().unwrap().text.reveal();
        assert_eq!(told, "[shared a location: Suite 10, Friday Street (43.65, -79.38)]");
        assert_eq!(state.last_turn, Turn(3));
    }
}
