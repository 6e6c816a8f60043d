use crate::{
    Channel, ConversationId, EventId, Payload, Stage, StageName, TenantId, Timestamp, Turn,
};

/// What surrounds every event and job (DESIGN 2, "Envelope").
#[derive(Clone, PartialEq, Debug)]
pub struct Envelope {
    /// Who claims and deduplicates by.
    pub event_id: EventId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is about; also its message group, but for slow jobs.
    pub conversation: ConversationId,
    /// The channel of the conversation.
    pub channel: Channel,
    /// The turn it belongs to.
    pub turn: Turn,
    /// When it happened, or when the job was given.
    pub occurred_at: Timestamp,
    /// After this moment a job is dropped and counted, never done late. Events never expire.
    pub expires_at: Option<Timestamp>,
    /// The queue of the task that waits for the answer.
    pub reply_to: Option<String>,
    /// The W3C trace context of whoever published it.
    pub traceparent: Option<String>,
    /// How often it was replayed from dead letters.
    pub replays: u32,
    /// When the turn reached each stage so far.
    pub stages: Vec<Stage>,
    /// Said while the recording was paused, or in answer to that: whoever keeps the words masks the
    /// numbers in them ([`Personal::without_numbers`](crate::Personal::without_numbers)).
    pub off_record: bool,
    /// What happened, or what is to be done.
    pub payload: Payload,
}

impl Envelope {
    /// An envelope for something that begins a chain of its own.
    pub fn new(
        event_id: EventId,
        tenant: TenantId,
        conversation: ConversationId,
        channel: Channel,
        occurred_at: Timestamp,
        payload: impl Into<Payload>,
    ) -> Self {
        Self {
            event_id,
            tenant,
            conversation,
            channel,
            turn: Turn::default(),
            occurred_at,
            expires_at: None,
            reply_to: None,
            traceparent: None,
            replays: 0,
            stages: Vec::new(),
            off_record: false,
            payload: payload.into(),
        }
    }

    /// An envelope for what a handler emits while it handles `self`: same tenant, conversation,
    /// channel, turn and stages, off the record where `self` is, an id derived from `name`. It expires only if asked to.
    pub fn follow(&self, name: &str, at: Timestamp, payload: impl Into<Payload>) -> Self {
        Self {
            turn: self.turn,
            stages: self.stages.clone(),
            traceparent: self.traceparent.clone(),
            off_record: self.off_record,
            ..Self::new(
                self.event_id.child(name),
                self.tenant,
                self.conversation,
                self.channel.clone(),
                at,
                payload,
            )
        }
    }

    /// Sets the turn.
    #[must_use]
    pub fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    /// Sets the moment after which the job is worthless.
    #[must_use]
    pub fn expiring_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Names the queue an answer goes to.
    #[must_use]
    pub fn answering_to(mut self, queue: impl Into<String>) -> Self {
        self.reply_to = Some(queue.into());
        self
    }

    /// Stamps a stage of the turn.
    pub fn stamp(&mut self, name: impl Into<StageName>, at: Timestamp) {
        self.stages.push(Stage::new(name, at));
    }

    /// Whether the message is worthless at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| now >= at)
    }

    /// The SQS message group: the conversation, but for slow jobs, which have a group each so that
    /// none waits for another (DESIGN 2).
    pub fn group(&self) -> String {
        match self.payload {
            Payload::FinishRecording(_)
            | Payload::FetchMedia(_)
            | Payload::TranscribeVoiceNote(_) => self.event_id.to_string(),
            _ => self.conversation.to_string(),
        }
    }
}
