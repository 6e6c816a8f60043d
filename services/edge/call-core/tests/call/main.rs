//! Whole calls, in virtual time.

mod event_log;
mod phone;
mod random;
mod recording;
mod replies;
mod resumed;
mod silence;
mod talk;
mod turns;
mod voice;

use call_core::{Prompt, Prompts, Settings};

const FILLER: u8 = 0x11;
const APOLOGY: u8 = 0x12;
const REPEAT: u8 = 0x13;
const GOODBYE: u8 = 0x14;
const WARNING: u8 = 0x15;
const STILL_THERE: u8 = 0x16;
const UNHEARD: u8 = 0x17;
const RESUMED: u8 = 0x18;
const SLOWER: u8 = 0x19;

/// Default settings, with prompts of half a second, each of one code.
fn settings() -> Settings {
    let prompt =
        |text: &str, code| Some(Prompt { text: text.to_owned(), audio: vec![code; 4_000].into() });
    Settings {
        prompts: Prompts {
            filler: prompt("One moment.", FILLER),
            apology: prompt("I am sorry.", APOLOGY),
            repeat: prompt("Could you say that again?", REPEAT),
            slower: prompt("Please say it slowly.", SLOWER),
            goodbye: prompt("Goodbye.", GOODBYE),
            resumed: prompt("I am back.", RESUMED),
            warning: prompt("One minute is left.", WARNING),
            still_there: prompt("Are you still there?", STILL_THERE),
            unheard: prompt("I cannot hear you. Goodbye.", UNHEARD),
        },
        ..Settings::default()
    }
}
