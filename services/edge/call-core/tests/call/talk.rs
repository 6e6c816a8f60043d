//! A table of who speaks when, and what is to become of it. Speech is made: bare vowels of a given length, and the same
//! words by `espeak-ng`. The words come back 150 ms after each segment, as a recogniser's do.

use std::{collections::HashMap, time::Duration};

use call_core::{Action, Input, Language, Settings, Transcript};

use crate::{phone::Phone, settings, voice};
use Step::*;

#[derive(Clone, Copy)]
enum Step {
    /// The caller says this; for so many milliseconds, where it is vowels.
    Say(u64, &'static str),
    Quiet(u64),
    Noise(u64, i16),
    /// A machine on the line: these two frequencies, Hz.
    Tone(u64, f32, f32),
    Cough,
    Click,
    /// The agent begins a reply of this text, one second a word.
    Agent(&'static str),
}

/// What the caller says, and when: from sample, words.
type Script = Vec<(usize, &'static str)>;

struct Talk {
    phone: Phone,
    script: Script,
    seen: usize,
    /// Words on their way back.
    coming: Vec<(Duration, u32, String)>,
    /// Agent's turn of each reply, and its code.
    replies: u32,
}

const RECOGNITION: Duration = Duration::from_millis(150);

impl Talk {
    fn run(steps: &[Step]) -> Self {
        Self::spoken(steps, |ms, _| voice::speech(ms))
    }

    fn spoken(steps: &[Step], speech: impl Fn(u64, &'static str) -> Vec<u8>) -> Self {
        let mut talk = Self::new(settings());
        talk.go(steps, speech);
        talk
    }

    fn new(settings: Settings) -> Self {
        let mut talk = Self {
            phone: Phone::started(settings),
            script: Vec::new(),
            seen: 0,
            coming: Vec::new(),
            replies: 0,
        };
        talk.quiet(300);
        talk
    }

    fn go(&mut self, steps: &[Step], speech: impl Fn(u64, &'static str) -> Vec<u8>) {
        for (n, step) in steps.iter().enumerate() {
            let seed = 7 + n as u64;
            match *step {
                Say(ms, words) => {
                    self.script.push((self.phone.mouth.len(), words));
                    self.hear(&speech(ms, words));
                }
                Quiet(ms) => self.quiet(ms),
                Noise(ms, level) => self.hear(&voice::noise(ms, level, seed)),
                Tone(ms, low, high) => self.hear(&voice::tone(ms, low, high)),
                Cough => self.hear(&voice::cough(seed)),
                Click => self.hear(&voice::noise(10, 30_000, seed)),
                Agent(text) => self.agent(text),
            }
        }
        self.quiet(2_600);
    }

    fn agent(&mut self, text: &str) {
        let turn = self.phone.turns().last().map_or(0, |turn| turn.0);
        self.replies += 1;
        let audio = vec![0x40 + self.replies as u8; text.split(' ').count() * 8_000];
        if turn == 0 {
            self.phone.input(Input::Greeting { text: text.to_owned(), audio: audio.into() });
        } else {
            self.phone.sentence(turn, 1, 0, text, &audio);
            self.phone.finish(turn, 1, 1);
        }
    }

    fn quiet(&mut self, ms: u64) {
        self.hear(&vec![call_core::g711::SILENCE; ms as usize * 8]);
    }

    fn hear(&mut self, audio: &[u8]) {
        for frame in audio.chunks(160) {
            self.phone.speak(frame);
            self.recognise();
        }
    }

    fn recognise(&mut self) {
        for (at, action) in &self.phone.log[self.seen..] {
            if let Action::Transcribe { segment, offset, audio, .. } = action {
                let from = (offset.as_micros() / 125) as usize;
                let said = |(at, _): &&(usize, &str)| (from..from + audio.len()).contains(at);
                let words: Vec<_> = self.script.iter().filter(said).map(|said| said.1).collect();
                self.coming.push((*at + RECOGNITION, *segment, words.join(" ")));
            }
        }
        self.seen = self.phone.log.len();
        let now = self.phone.now;
        let (due, coming) = std::mem::take(&mut self.coming).into_iter().partition(|c| c.0 <= now);
        self.coming = coming;
        for (_, segment, text) in due {
            let result = Transcript::Words { text, confidence: Some(0.9) };
            self.phone.input(Input::SegmentTranscribed { segment, result });
        }
    }

    fn turns(&self) -> Vec<&str> {
        self.phone.turns().into_iter().map(|turn| turn.1).collect()
    }

    /// Whether a reply was given up in the middle.
    fn interrupted(&self) -> bool {
        self.phone.actions().any(|action| match action {
            Action::ReplyHeard(heard) if !heard.complete => {
                let audible = |a: &Action| matches!(a, Action::TurnAudible { turn, .. } if *turn == heard.turn);
                self.phone.count(audible) > 0
            }
            _ => false,
        })
    }
}

/// A case: its name, what happens, the turns that come of it, and whether the agent was interrupted.
type Case = (&'static str, &'static [Step], &'static [&'static str], bool);

const LONG: &str = "one two three four five six";
const ASKS: &str = "shall I book it?";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("a plain sentence", &[Say(900, "I need an appointment"), Quiet(700)], &["I need an appointment"], false),
    ("a pause within a sentence", &[Say(600, "I need a"), Quiet(350), Say(500, "haircut"), Quiet(700)], &["I need a haircut"], false),
    ("a long pause after a whole sentence", &[Say(600, "book Tuesday"), Quiet(900), Say(500, "please"), Quiet(700)], &["book Tuesday", "please"], false),
    ("a long pause after my name is", &[Say(600, "my name is"), Quiet(1_200), Say(500, "Ada"), Quiet(700)], &["my name is Ada"], false),
    ("a long pause after a trailing and", &[Say(600, "Tuesday and"), Quiet(1_200), Say(500, "Friday"), Quiet(700)], &["Tuesday and Friday"], false),
    ("hesitation", &[Say(400, "um"), Quiet(1_000), Say(500, "Tuesday"), Quiet(700)], &["um Tuesday"], false),
    ("a number in groups", &[Say(700, "four one six"), Quiet(900), Say(700, "five five five"), Quiet(900), Say(800, "zero one two three"), Quiet(700)],
        &["four one six five five five zero one two three"], false),
    ("figures in groups", &[Say(700, "416"), Quiet(400), Say(700, "555"), Quiet(1_100), Say(800, "0123"), Quiet(700)], &["416 555 0123"], false),
    ("a number announced", &[Say(700, "my number is"), Quiet(1_000), Say(900, "416 555 0123"), Quiet(700)], &["my number is 416 555 0123"], false),
    ("double", &[Say(700, "four one six double"), Quiet(900), Say(700, "five five zero one two three"), Quiet(700)], &["four one six double five five zero one two three"], false),
    ("spelling", &[Say(500, "it's A D"), Quiet(900), Say(300, "A"), Quiet(1_700)], &["it's A D A"], false),
    ("a mail address", &[Say(600, "ada at gmail dot"), Quiet(900), Say(300, "com"), Quiet(700)], &["ada at gmail dot com"], false),
    ("a short yes", &[Say(300, "yes"), Quiet(500)], &["yes"], false),
    ("a yes and, soon after, more", &[Say(300, "yes"), Quiet(240), Say(500, "on Friday"), Quiet(700)], &["yes on Friday"], false),
    ("a lone no", &[Say(250, "no"), Quiet(600)], &["no"], false),
    ("an unfinished sentence ends in the end", &[Say(700, "I would like to"), Quiet(1_800)], &["I would like to"], false),
    ("three turns", &[Say(500, "hello"), Quiet(700), Agent("yes"), Quiet(1_500), Say(500, "one thing"), Quiet(700), Agent("sure"), Quiet(1_500), Say(500, "bye now"), Quiet(700)],
        &["hello", "one thing", "bye now"], false),
    ("white noise", &[Noise(3_000, 6_000)], &[], false),
    ("loud noise", &[Noise(3_000, 25_000)], &[], false),
    ("clicks", &[Click, Quiet(200), Click, Quiet(200), Click, Quiet(500)], &[], false),
    ("a cough in the quiet", &[Cough, Quiet(900)], &[], false),
    ("noise, then words", &[Noise(1_000, 3_000), Say(700, "hello there"), Quiet(700)], &["hello there"], false),
    ("words in front of noise", &[Say(700, "hello there"), Noise(900, 2_000), Quiet(700)], &["hello there"], false),
    ("a mhmm into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(350, "mhmm"), Quiet(1_500)], &["go on"], false),
    ("an okay into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(400, "okay"), Quiet(1_500)], &["go on"], false),
    ("an uh huh into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(450, "uh huh"), Quiet(1_500)], &["go on"], false),
    ("two of them", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_200), Say(300, "yeah"), Quiet(900), Say(300, "right"), Quiet(1_500)], &["go on"], false),
    ("a cough into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Cough, Quiet(1_500)], &["go on"], false),
    ("a voiced cough into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(200, ""), Quiet(1_500)], &["go on"], false),
    ("a click into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Click, Quiet(1_500)], &["go on"], false),
    ("noise under the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Noise(4_000, 4_000), Quiet(1_500)], &["go on"], false),
    ("a mhmm into the greeting", &[Agent(LONG), Quiet(1_500), Say(350, "mhmm"), Quiet(3_000)], &[], false),
    ("a wait into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(300, "wait"), Quiet(900)], &["go on", "wait"], true),
    ("a no into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(250, "no"), Quiet(900)], &["go on", "no"], true),
    ("a sentence into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(1_200, "I meant the other one"), Quiet(900)], &["go on", "I meant the other one"], true),
    ("a long okay that becomes a sentence", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(900, "okay okay but not on Friday"), Quiet(900)], &["go on", "okay okay but not on Friday"], true),
    ("okay, and then more", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(350, "okay"), Quiet(240), Say(700, "but not Friday"), Quiet(900)], &["go on", "okay but not Friday"], true),
    ("a yes into a question", &[Say(500, "Tuesday"), Quiet(700), Agent(ASKS), Quiet(2_000), Say(300, "yes"), Quiet(900)], &["Tuesday", "yes"], true),
    ("a mhmm into a question", &[Say(500, "Tuesday"), Quiet(700), Agent(ASKS), Quiet(2_000), Say(350, "mhmm"), Quiet(2_000)], &["Tuesday"], false),
    ("a sentence into the greeting", &[Agent(LONG), Quiet(1_500), Say(1_000, "I need an appointment"), Quiet(900)], &["I need an appointment"], true),
    ("an okay after the agent", &[Say(500, "Tuesday"), Quiet(700), Agent("booked"), Quiet(2_000), Say(350, "okay"), Quiet(900)], &["Tuesday", "okay"], false),
    ("more before the answer comes", &[Say(600, "book Tuesday"), Quiet(900), Say(600, "or Friday"), Quiet(900)], &["book Tuesday", "or Friday"], false),
    ("an okay while the agent thinks", &[Say(700, "I need an appointment"), Quiet(900), Say(350, "okay"), Quiet(900), Agent("sure"), Quiet(1_500)], &["I need an appointment"], false),
    ("a thank you while the agent thinks", &[Say(700, "book Tuesday please"), Quiet(900), Say(450, "thank you"), Quiet(900), Agent("booked"), Quiet(1_500)], &["book Tuesday please"], false),
    ("a yes while the agent thinks", &[Say(700, "Tuesday at ten"), Quiet(900), Say(300, "yes"), Quiet(900)], &["Tuesday at ten", "yes"], false),
    ("a long assent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(850, "oh that makes sense"), Quiet(1_500)], &["go on"], false),
    ("laughter", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(600, "haha"), Quiet(1_500)], &["go on"], false),
    ("a hello into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(400, "hello"), Quiet(900)], &["go on", "hello"], true),
    ("a hold on into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(450, "hold on"), Quiet(1_900)], &["go on", "hold on"], true),
    ("a hold on, and what it is for", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(450, "hold on"), Quiet(1_100), Say(700, "not on Friday"), Quiet(900)], &["go on", "hold on not on Friday"], true),
    ("a question that ends in a preposition", &[Say(700, "who am I speaking to"), Quiet(700), Agent("Ada"), Quiet(1_500)], &["who am I speaking to"], false),
    ("an indirect question", &[Say(700, "I wanted to know if you"), Quiet(1_200), Say(600, "do beards"), Quiet(700)], &["I wanted to know if you do beards"], false),
    ("a condition", &[Say(700, "if I come on Tuesday"), Quiet(1_200), Say(600, "is Ada in"), Quiet(700)], &["if I come on Tuesday is Ada in"], false),
    ("half a postcode", &[Say(700, "the postcode is SW1A"), Quiet(1_200), Say(500, "2AA"), Quiet(700)], &["the postcode is SW1A 2AA"], false),
    ("time to think", &[Say(500, "let me see"), Quiet(1_200), Say(500, "Tuesday"), Quiet(700)], &["let me see Tuesday"], false),
    ("a beep into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Tone(400, 1_000.0, 1_000.0), Quiet(1_500)], &["go on"], false),
    ("a key's tone into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Tone(200, 770.0, 1_336.0), Quiet(1_500)], &["go on"], false),
    ("a telephone that rings", &[Tone(2_000, 440.0, 480.0), Quiet(900)], &[], false),
    ("a hum under all of it", &[Tone(2_000, 50.0, 150.0), Say(700, "hello there"), Quiet(700)], &["hello there"], false),
    ("a long laugh into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(1_900, "haha"), Quiet(1_500)], &["go on"], false),
    ("a long assent, and a thank you", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(1_600, "oh that makes sense thank you"), Quiet(1_500)], &["go on"], false),
    ("one sign of listening after the other", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(500, "yeah"), Quiet(260), Say(500, "okay"), Quiet(260), Say(600, "got it"), Quiet(1_500)], &["go on"], false),
    ("a fit of coughing into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(300, ""), Quiet(220), Say(400, ""), Quiet(220), Say(500, ""), Quiet(1_500)], &["go on"], false),
    ("a long sentence into the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(3_400, "yeah okay I would rather come on Friday in the afternoon if that is possible"), Quiet(900)],
        &["go on", "yeah okay I would rather come on Friday in the afternoon if that is possible"], true),
    ("an okay over the last word", &[Say(500, "Tuesday"), Quiet(700), Agent("it is booked"), Quiet(2_600), Say(350, "okay"), Quiet(900)], &["Tuesday", "okay"], true),
    ("a yes over the last word", &[Say(500, "Tuesday"), Quiet(700), Agent("it is booked"), Quiet(2_600), Say(300, "yes"), Quiet(900)], &["Tuesday", "yes"], true),
    ("a mhmm at the end of a question", &[Say(500, "Tuesday"), Quiet(700), Agent(ASKS), Quiet(3_600), Say(350, "mhmm"), Quiet(900)], &["Tuesday", "mhmm"], true),
    ("a sure after one moment, please", &[Say(700, "book Tuesday please"), Quiet(4_000), Say(300, "sure"), Quiet(900), Agent("booked"), Quiet(1_500)], &["book Tuesday please"], false),
    ("music under the agent", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(6_000, ""), Quiet(3_500)], &["go on"], false),
    ("music, and then words", &[Say(20_000, ""), Quiet(900), Say(700, "hello there"), Quiet(700)], &["hello there"], false),
    ("a sentence right after a mhmm", &[Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_000), Say(350, "mhmm"), Quiet(1_200), Say(900, "no the other one"), Quiet(900)], &["go on", "no the other one"], true),
];

/// Runs the table; tells how many cases came out otherwise, and which.
fn faults(speech: impl Fn(u64, &'static str) -> Vec<u8>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, steps, turns, interrupted) in CASES {
        let talk = Talk::spoken(steps, &speech);
        if talk.turns() != *turns || talk.interrupted() != *interrupted {
            wrong.push(format!("{name}: {:?}, interrupted {}", talk.turns(), talk.interrupted()));
        }
    }
    wrong
}

#[test]
fn the_table_holds() {
    let wrong = faults(|ms, _| voice::speech(ms));
    assert!(CASES.len() >= 40);
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

#[tokio::test]
async fn the_table_holds_in_a_synthetic_persons_voice() {
    let said = CASES.iter().flat_map(|case| case.1).filter_map(|step| match step {
        Say(_, words) if !words.is_empty() => Some(*words),
        _ => None,
    });
    let mut clips = HashMap::new();
    for words in said {
        if let std::collections::hash_map::Entry::Vacant(clip) = clips.entry(words) {
            clip.insert(voice::espeak(words).await);
        }
    }
    let wrong = faults(|ms, words| clips.get(words).cloned().unwrap_or_else(|| voice::speech(ms)));
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

#[test]
fn the_table_holds_in_other_voices_softly_and_in_noise() {
    for (person, gain, loudest) in
        [("en+f3", 1.0, 0), ("en+m7", 0.1, 0), ("de", 1.0, 1_000), ("en+croak", 1.0, 300)]
    {
        let in_the_room = |said: &[f32], seed: usize| -> Vec<u8> {
            let noise = voice::noise(said.len() as u64 / 8 + 1, loudest, seed as u64);
            let both = said.iter().zip(noise);
            let sample = |(said, noise)| said * gain + f32::from(call_core::g711::decode(noise));
            both.map(|pair| call_core::g711::encode(sample(pair) as i16)).collect()
        };
        let vowels = |ms| -> Vec<f32> {
            let codes = voice::speech(ms).into_iter();
            codes.map(|code| f32::from(call_core::g711::decode(code))).collect()
        };
        let wrong = faults(|ms, words| {
            let said = if words.is_empty() { vowels(ms) } else { voice::espeak_as(person, words) };
            in_the_room(&said, words.len() + 1)
        });
        assert!(wrong.is_empty(), "{person}: {} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[test]
fn the_words_are_weighed_in_the_language_the_caller_is_recognised_in() {
    let open: &[Step] = &[Say(700, "mein Name ist"), Quiet(1_200), Say(500, "Ada"), Quiet(700)];
    let mut german = settings();
    german.turn.language = Language::German;
    let mut talk = Talk::new(german);
    talk.go(open, |ms, _| voice::speech(ms));
    assert_eq!(talk.turns(), ["mein Name ist Ada"]);

    talk.phone.input(Input::ListensIn { language: Language::Italian });
    talk.go(open, |ms, _| voice::speech(ms));
    assert_eq!(talk.turns(), ["mein Name ist Ada", "mein Name ist", "Ada"]);

    let listens: &[Step] = &[Agent(LONG), Quiet(1_500), Say(400, "ho capito"), Quiet(1_500)];
    talk.go(listens, |ms, _| voice::speech(ms));
    assert!(!talk.interrupted());
}

/// How many samples of the agent's code were heard, and the least a listener needs of them.
fn heard(talk: &Talk, code: u8) -> usize {
    talk.phone.ear.iter().filter(|heard| **heard == code).count()
}

#[test]
fn after_a_back_channel_the_agent_goes_on_with_the_word_it_was_saying() {
    let steps =
        [Say(500, "go on"), Quiet(700), Agent(LONG), Quiet(1_500), Say(400, "okay"), Quiet(7_000)];
    let talk = Talk::run(&steps);
    let heard = heard(&talk, 0x41);
    // All six seconds, and again of one word at most what had been said of it.
    assert!((48_000..48_000 + 8_000).contains(&heard), "{heard}");
    let complete =
        talk.phone.count(|a| matches!(a, Action::ReplyHeard(h) if h.complete && h.text == LONG));
    assert_eq!(complete, 1);
    let fences = talk.phone.count(|action| matches!(action, Action::SetFence { turn: 2 }));
    assert_eq!(fences, 0, "nobody is told to stop");
}

#[test]
fn speech_silences_the_agent_within_100_ms() {
    let mut talk = Talk::run(&[Say(500, "go on"), Quiet(700)]);
    talk.agent(LONG);
    talk.quiet(1_500);
    let from = talk.phone.ear.len();
    talk.hear(&voice::speech(1_000));
    let last = talk.phone.ear.iter().rposition(|code| *code == 0x41).unwrap_or_default();
    assert!(last < from + 800, "{} samples after the caller began", last - from);
}

#[test]
fn a_reply_that_pauses_for_words_that_never_come_goes_on() {
    let mut talk = Talk::run(&[Say(500, "go on"), Quiet(700)]);
    talk.agent(LONG);
    talk.quiet(1_500);
    talk.phone.speak(&voice::speech(300));
    talk.phone.quiet(2_000);
    let before = heard(&talk, 0x41);
    talk.phone.quiet(1_000);
    assert!(heard(&talk, 0x41) >= before + 7_000, "it still stands still");
    // And what it was is still taken in.
    talk.phone.words(2, "no not that one");
    talk.phone.quiet(500);
    assert_eq!(talk.turns(), ["go on", "no not that one"]);
    assert!(talk.interrupted());
}
