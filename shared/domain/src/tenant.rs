use std::time::Duration;

use crate::{Channel, TenantId};

/// One of our own addresses: a phone number or a WhatsApp phone number id. Which tenant a call or
/// message belongs to is decided by it, before any tenant is known (DESIGN 5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The channel the address is on.
    pub channel: Channel,
    /// E.164 with `+` for voice and SMS, `phone_number_id` for WhatsApp, the name in the page's URL for the browser.
    pub address: String,
    /// The number people see, where it differs from `address`.
    pub display: Option<String>,
    /// Whose address it is.
    pub tenant: TenantId,
    /// How calls to it are handled.
    pub mode: AddressMode,
    /// The name of the secret that holds this address's vendor credentials; `None` means the
    /// credentials of the environment (DESIGN 5, 9).
    pub credentials: Option<String>,
}

/// How a call to an address is handled (A2, A3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressMode {
    /// `<Connect><Stream>`: we hear and speak the audio ourselves.
    MediaStream,
    /// `<Gather>`: Twilio recognises and speaks.
    Gather,
    /// Not a call: a chat.
    Chat,
}

impl AddressMode {
    /// The name in the `addresses` table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MediaStream => "media_stream",
            Self::Gather => "gather",
            Self::Chat => "chat",
        }
    }

    /// The mode a row names; `None` for a name this release does not know.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::MediaStream, Self::Gather, Self::Chat].into_iter().find(|m| m.as_str() == name)
    }
}

/// The voice a tenant speaks with.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Voice {
    /// The vendor's model or voice name, such as `aura-2-thalia-en`.
    pub model: String,
    /// BCP 47, such as `en-US`.
    pub language: String,
    /// Who speaks, in the order in which one takes over from another; empty means `SB_TTS` (C8).
    pub vendors: Vec<VendorVoice>,
}

impl Voice {
    /// The voice of that model or name, from the vendors of `SB_TTS`.
    pub fn named(model: impl Into<String>, language: impl Into<String>) -> Self {
        Self { model: model.into(), language: language.into(), vendors: Vec::new() }
    }
}

/// Who speaks, and with which of its voices.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct VendorVoice {
    /// The vendor's name, as in `SB_TTS`.
    pub vendor: String,
    /// Its name for the voice; `None` means [`Voice::model`] at Deepgram, and at the others the one
    /// that `voice` is configured with.
    pub name: Option<String>,
}

/// How patient a tenant's agents are with a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TurnTaking {
    /// Quiet after which the caller's turn is over.
    pub end_of_turn: Duration,
    /// The same after words that nobody ends with: "my name is", a number in the middle.
    pub end_of_turn_unfinished: Duration,
    /// The same after a complete yes or no.
    pub end_of_turn_answered: Duration,
    /// The longest "okay" or cough: of more voice than this into the agent's the words are looked at before it ends. Zero:
    /// every voice interrupts.
    pub back_channel_longest: Duration,
    /// Silence of the caller until the question whether somebody is there.
    pub caller_silent_after: Duration,
}

impl Default for TurnTaking {
    fn default() -> Self {
        Self {
            end_of_turn: Duration::from_millis(500),
            end_of_turn_unfinished: Duration::from_millis(1_500),
            end_of_turn_answered: Duration::from_millis(300),
            back_channel_longest: Duration::from_millis(1_000),
            caller_silent_after: Duration::from_secs(8),
        }
    }
}

/// How long people in chats wait for humans, and humans for people (A7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChatHandover {
    /// A request that nobody took for so long: the person is told that nobody is free yet.
    pub untaken_after: Duration,
    /// A chat in which the human who has it wrote nothing for so long goes back to the agents.
    pub idle_after: Duration,
    /// What a person is told whom nobody took over yet.
    pub nobody_free: String,
}

impl Default for ChatHandover {
    fn default() -> Self {
        Self {
            untaken_after: Duration::from_secs(15 * 60),
            idle_after: Duration::from_secs(12 * 60 * 60),
            nobody_free:
                "Everybody is busy just now. Somebody will write to you here as soon as they can; \
                until then I am glad to help."
                    .into(),
        }
    }
}

/// A message the vendor has approved, for who did not write lately (PROTOCOLS 2.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    /// Its name at the vendor.
    pub name: String,
    /// Its language there, such as `en_US`.
    pub language: String,
    /// What stands for its body's parameters, in order. `{text}` is the message, `{business}` the business's name.
    pub parameters: Vec<String>,
}

impl Template {
    /// The parameters for a message of `business` that says `text`. A parameter is one line: whatever is more in the
    /// message is a space.
    pub fn filled(&self, business: &str, text: &str) -> Vec<String> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let fill = |p: &String| p.replace("{business}", business).replace("{text}", &text);
        self.parameters.iter().map(fill).collect()
    }
}

/// The templates of a tenant's WhatsApp, by what is written. What has none waits until the person writes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Templates {
    /// For an answer that comes too late.
    pub reply: Option<Template>,
    /// For reminders and confirmations.
    pub notice: Option<Template>,
    /// For what an operator writes.
    pub operator: Option<Template>,
}

/// How the agent of a turn is chosen (C2, C3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// Above this confidence the current agent keeps the turn; hundredths.
    pub keeps_above_percent: u8,
    /// Under this confidence the fallback takes the turn; hundredths.
    pub fallback_under_percent: u8,
    /// The language model, by its name in `SB_LLM`, that says how sure the agents are; `None`: the rules do.
    pub scored_by: Option<String>,
}

impl Default for Selection {
    fn default() -> Self {
        Self { keeps_above_percent: 70, fallback_under_percent: 50, scored_by: None }
    }
}

/// A tool of a tenant's own, over HTTP (C5). Which hosts may be asked is the platform's word, not the tenant's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpTool {
    /// Its name, as models ask for it.
    pub name: String,
    /// What it does and when to use it, for a model.
    pub description: String,
    /// The JSON Schema of its arguments, as text.
    pub parameters: String,
    /// Where it is asked.
    pub url: String,
    /// Whether it only looks (`GET`); else it may change something (`POST`), at most once a turn.
    pub only_looks: bool,
    /// How long it may take.
    pub timeout: Duration,
    /// The agents that may use it; empty means all.
    pub agents: Vec<String>,
    /// Whether a secret of its own is sent with each request.
    pub has_secret: bool,
}

/// What a tenant says about itself. Held in memory by `edge` and `orchestrator`, refreshed from
/// PostgreSQL every few seconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantSettings {
    /// Whose settings they are.
    pub tenant: TenantId,
    /// A short unique name, such as `demo`.
    pub slug: String,
    /// The business's name, as agents say it.
    pub business: String,
    /// An IANA time zone, such as `America/Toronto`.
    pub timezone: String,
    /// The voice of everything audible.
    pub voice: Voice,
    /// Who recognises, in the order in which one takes over from another; empty means `SB_STT` (C8).
    pub stt: Vec<String>,
    /// The language models to ask, by their names in `SB_LLM`, in the order in which one takes over from another; empty
    /// means all of them in the order of `SB_LLM`, but for those that hear and speak (C7).
    pub models: Vec<String>,
    /// How the agent of a turn is chosen (C2).
    pub selection: Selection,
    /// Spoken when a call begins.
    pub greeting: String,
    /// Spoken when the mesh has been silent for 2.5 s.
    pub filler: String,
    /// Spoken when the mesh has been silent for 10 s, before a human is called.
    pub apology: String,
    /// Spoken when the caller's words could not be recognised.
    pub repeat_request: String,
    /// Spoken slowly when they could not be recognised the second time (B3).
    pub slower_request: String,
    /// Spoken when a call reaches its time limit (B4).
    pub goodbye: String,
    /// Asked of a caller who says nothing, twice.
    pub silence_question: String,
    /// Spoken before a call ends whose caller has said nothing for too long.
    pub silence_goodbye: String,
    /// The voice of calls without a media stream, as Twilio's `<Say>` names it (`Polly.Joanna-Neural`);
    /// `None` means Twilio's own for the language (A3).
    pub say_voice: Option<String>,
    /// Spoken a minute before that.
    pub time_warning: String,
    /// Spoken when a call goes on after its line was lost (B5).
    pub resumed: String,
    /// When the caller's turn begins and ends (B1, B2).
    pub turn_taking: TurnTaking,
    /// Whether calls are recorded (B4).
    pub recording: bool,
    /// Spoken before the greeting of a call that is recorded, which it is only from then on: "This call is recorded."
    pub recording_consent: Option<String>,
    /// Whether people are reminded of an appointment the day before (C10).
    pub reminders: bool,
    /// What is done around calls besides the talk: some of [`FEATURES`](Self::FEATURES) (C10).
    pub features: Vec<String>,
    /// The number calls fall back to when the platform cannot go on, E.164.
    pub fallback_number: Option<String>,
    /// Who takes the calls of people that want a human: E.164, or a SIP address; `None` means
    /// [`fallback_number`](Self::fallback_number) (A7).
    pub transfer_to: Option<String>,
    /// Spoken to a caller whom nobody took over.
    pub nobody_free: String,
    /// How long a chat waits for a human, and for how long one has it (A7).
    pub chat_handover: ChatHandover,
    /// What goes out on WhatsApp to who did not write for 24 hours (A5).
    pub whatsapp_templates: Templates,
    /// The answer to HELP by text message; `None` names the business and how to end the messages.
    pub sms_help: Option<String>,
    /// What agents can have done by systems of the tenant's own (C5).
    pub tools: Vec<HttpTool>,
}

impl TenantSettings {
    /// Who can be asked to recognise: the names in `SB_STT` and [`stt`](Self::stt) (C8).
    pub const STT_VENDORS: &'static [&'static str] = &["deepgram", "openai", "transcribe"];
    /// Who can be asked to speak: the names in `SB_TTS` and [`Voice::vendors`] (C8).
    pub const TTS_VENDORS: &'static [&'static str] = &["deepgram", "openai", "polly"];
    /// What can be switched on: the desk is asked to call back who left in the middle of a booking (C10), and the rules ask
    /// for an e-mail address that an appointment is confirmed to (C6).
    pub const FEATURES: &'static [&'static str] = &["follow_up", Self::ASKS_EMAIL];
    /// See [`FEATURES`](Self::FEATURES).
    pub const ASKS_EMAIL: &'static str = "asks_email";

    /// Models that hear and speak: a name in `SB_LLM` that is this, or begins with it and a hyphen (C7).
    pub const SPEECH_MODEL: &'static str = "sonic";

    /// Whether a name in `SB_LLM` is that of a model that hears and speaks.
    pub fn is_speech_model(name: &str) -> bool {
        let rest = name.strip_prefix(Self::SPEECH_MODEL);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Whether callers talk to a model that hears them.
    pub fn has_speech_model(&self) -> bool {
        self.models.iter().any(|name| Self::is_speech_model(name))
    }

    /// Who takes the calls of people that want a human, if anybody does.
    pub fn human(&self) -> Option<&str> {
        self.transfer_to.as_deref().or(self.fallback_number.as_deref())
    }
}

impl Default for TenantSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::from_uuid(uuid::Uuid::nil()),
            slug: String::new(),
            business: String::new(),
            timezone: "UTC".into(),
            voice: Voice::named("aura-2-thalia-en", "en-US"),
            stt: Vec::new(),
            models: Vec::new(),
            selection: Selection::default(),
            greeting: "Hello, how can I help you today?".into(),
            filler: "One moment, please.".into(),
            apology: "I am sorry, this is taking too long. Let me get someone to help you.".into(),
            repeat_request: "Sorry, I did not catch that. Could you say it again?".into(),
            slower_request: "I still did not get that. Please say it slowly, in a few words."
                .into(),
            goodbye: "We have reached the time limit of this call. Goodbye.".into(),
            silence_question: "Are you still there? I cannot hear you.".into(),
            silence_goodbye: "I still cannot hear you. Please call again. Goodbye.".into(),
            say_voice: None,
            time_warning: "This call ends in one minute.".into(),
            resumed: "I am back, sorry about that.".into(),
            turn_taking: TurnTaking::default(),
            recording: true,
            recording_consent: None,
            reminders: true,
            features: Vec::new(),
            fallback_number: None,
            transfer_to: None,
            nobody_free: "Nobody could take the call just now. What else can I do for you?".into(),
            chat_handover: ChatHandover::default(),
            whatsapp_templates: Templates::default(),
            sms_help: None,
            tools: Vec::new(),
        }
    }
}
