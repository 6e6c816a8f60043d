//! What a tenant may set about its calls.

use std::time::Duration;

use domain::TurnTaking;
use serde::{Deserialize, Serialize};

use crate::{Audio, Language, event_log::base64};

/// How a call behaves. The defaults are those of DESIGN 3.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// When the caller's speech begins and ends.
    pub turn: TurnSettings,
    /// Sentences rendered ahead, spoken when nothing comes from the mesh.
    pub prompts: Prompts,
    /// How far ahead of real time the agent's audio is sent. It has to outlast every pause of ours and of the network,
    /// for where the vendor's queue runs dry the caller hears a gap; a barge-in clears that queue, however full.
    pub send_ahead: Duration,
    /// Silence of the mesh after the end of a turn until the filler is spoken (DESIGN 3).
    pub filler_after: Duration,
    /// Silence of the mesh after the end of a turn until the apology, and a human (DESIGN 3).
    pub apology_after: Duration,
    /// Whether a human can take the call after the apology, which ends it here then.
    #[serde(default)]
    pub apology_hands_over: bool,
    /// Quiet on both sides until the caller is asked whether somebody is there (B3). After the second time the call ends
    /// politely.
    pub caller_silent_after: Duration,
    /// Time without another key after which the keys pressed are a turn; `#` ends it at once.
    pub keys_wait: Duration,
    /// Length of a call after which it is ended politely (B4).
    pub call_limit: Duration,
    /// How much of it earlier connections of the call have taken.
    #[serde(default)]
    pub spent: Duration,
    /// How long before the limit the caller is told of it; not in calls of which that is the greater part.
    pub warning_before: Duration,
    /// How much of the call one part of the recording covers. Longer ones cost fewer requests, and more memory: 16 KB a second.
    pub recording_part: Duration,
    /// How much of the part that is not whole yet is kept at a time, in case the call is lost. Nothing: none of it.
    #[serde(default)]
    pub recording_block: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            turn: TurnSettings::default(),
            prompts: Prompts::default(),
            send_ahead: Duration::from_secs(1),
            filler_after: Duration::from_millis(2_500),
            apology_after: Duration::from_secs(10),
            apology_hands_over: false,
            caller_silent_after: TurnTaking::default().caller_silent_after,
            keys_wait: Duration::from_secs(2),
            call_limit: Duration::from_secs(30 * 60),
            spent: Duration::ZERO,
            warning_before: Duration::from_secs(60),
            recording_part: Duration::from_secs(20),
            recording_block: Duration::from_secs(1),
        }
    }
}

/// What a call that lost its task goes on with (DESIGN 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// The reply that was due or being spoken.
    pub reply: Option<RestOfReply>,
    /// The caller was speaking: what was said is lost.
    pub ask_again: bool,
    /// What was heard of a reply that is over: its words, and whether they are all of it. The next turn tells it.
    pub heard: Option<(String, bool)>,
}

/// A reply that was not heard to its end. It goes on as the reply to turn 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestOfReply {
    /// How many of its sentences were heard to their end.
    pub sentences: u32,
    /// Their words.
    pub text: String,
}

/// When the caller's speech begins and ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TurnSettings {
    /// Score of the voice detector, 0 to 1, from which quiet becomes voice.
    pub enter_score: f32,
    /// Score below which voice becomes quiet; lower than `enter_score`, so that a wavering voice does not flicker.
    pub exit_score: f32,
    /// Voice that begins speech while the agent is silent, quiet within it taken off: a click is shorter.
    pub speech_after: Duration,
    /// Voice that makes the agent pause in the middle of a reply (B2). Whether it interrupts, its length and its words
    /// then tell.
    pub barge_in_after: Duration,
    /// Voice that cuts a sentence rendered ahead short, which is not taken up again.
    pub cut_in_after: Duration,
    /// Voice into a reply that may be more than "okay" or a cough: its words are looked at before it ends. Nothing: every
    /// voice interrupts, at once.
    pub back_channel_longest: Duration,
    /// Voice into a reply that interrupts while nobody knows its words.
    #[serde(default = "unknown_longest")]
    pub unknown_longest: Duration,
    /// Quiet after which a reply that paused goes on though nobody knows yet what was said into it.
    pub doubt_longest: Duration,
    /// Audio kept from before the first voice, so that a soft first syllable is not lost.
    pub pre_roll: Duration,
    /// Quiet after which what was said so far goes to be transcribed.
    pub segment_pause: Duration,
    /// Quiet after which the turn is over, once its words are back.
    pub end_of_turn: Duration,
    /// The same after words that nobody ends with: "my name is", a trailing "and", a number in the middle.
    pub end_of_turn_unfinished: Duration,
    /// The same after a complete yes or no.
    pub end_of_turn_answered: Duration,
    /// Longest wait for the words of a segment; it then counts as failed. Longer than a redelivery takes after the
    /// death of a voice task (6 s, DESIGN 2).
    pub words_wait: Duration,
    /// Speech without a pause is cut into segments of this length.
    pub longest_segment: Duration,
    /// The language in which the caller is recognised first.
    #[serde(default)]
    pub language: Language,
}

impl Default for TurnSettings {
    /// As patient as a tenant is who says nothing of it.
    fn default() -> Self {
        let TurnTaking {
            end_of_turn,
            end_of_turn_unfinished,
            end_of_turn_answered,
            back_channel_longest,
            ..
        } = TurnTaking::default();
        Self {
            enter_score: 0.6,
            exit_score: 0.4,
            speech_after: Duration::from_millis(80),
            barge_in_after: Duration::from_millis(64),
            cut_in_after: Duration::from_millis(200),
            back_channel_longest,
            unknown_longest: unknown_longest(),
            doubt_longest: Duration::from_millis(1_200),
            pre_roll: Duration::from_millis(300),
            segment_pause: Duration::from_millis(200),
            end_of_turn,
            end_of_turn_unfinished,
            end_of_turn_answered,
            words_wait: Duration::from_secs(8),
            longest_segment: Duration::from_secs(15),
            language: Language::English,
        }
    }
}

fn unknown_longest() -> Duration {
    Duration::from_millis(2_500)
}

/// A sentence rendered ahead in the configured voice.
#[derive(Clone, Serialize, Deserialize)]
pub struct Prompt {
    /// What it says.
    pub text: String,
    /// How it sounds.
    #[serde(with = "base64")]
    pub audio: Audio,
}

/// The sentences of a call that need nothing from the mesh. One that is missing is left unsaid.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Prompts {
    /// "One moment, please."
    pub filler: Option<Prompt>,
    /// "I am sorry, something is wrong here. I connect you to a colleague."
    pub apology: Option<Prompt>,
    /// "Sorry, could you say that again?"
    pub repeat: Option<Prompt>,
    /// "I still did not get that. Please say it slowly.", spoken slowly.
    #[serde(default)]
    pub slower: Option<Prompt>,
    /// "Our time is up. Goodbye."
    pub goodbye: Option<Prompt>,
    /// "I am back."
    pub resumed: Option<Prompt>,
    /// "One minute is left of this call."
    pub warning: Option<Prompt>,
    /// "Are you still there?"
    pub still_there: Option<Prompt>,
    /// "I cannot hear you, so I hang up now. Goodbye."
    pub unheard: Option<Prompt>,
}

/// Which of the [`Prompts`], or what the shell has announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptKind {
    /// The mesh is slow.
    Filler,
    /// The mesh is silent: a human is called.
    Apology,
    /// The caller was not understood.
    Repeat,
    /// The caller was not understood again.
    Slower,
    /// The call has reached its limit.
    Goodbye,
    /// The call goes on after its line was lost.
    Resumed,
    /// The call is about to reach its limit.
    Warning,
    /// The caller says nothing.
    StillThere,
    /// The caller has said nothing though asked twice: the call ends.
    Unheard,
    /// What the caller is to hear to its end.
    Announcement,
}

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prompt").field("bytes", &self.audio.len()).finish_non_exhaustive()
    }
}
