//! A call from the web page, in a real browser.

mod browser;

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{CallSid, ConversationId};
use rustix::process::Signal;
use scripts::stereo::Stereo;
use serde_json::{Value, json};
use simulator::{audio, modem};
use store::messages::Speaker;
use store::seed::DEMO;

use self::browser::Page;
use crate::desk::{Desk, GREETING};
use crate::takeover;

pub use self::browser::require as require_browser;

const QUESTION: &str = "What is the capital of France?";
/// The sound card's rate. The person's voice is `espeak-ng`, and what does not arrive to the sample is guessed to be the
/// question: a browser drops a few milliseconds now and then on a busy machine.
const MICROPHONE_HZ: u32 = 48_000;
const EAR_JS: &str = include_str!("ear.js");
const IS_LOADED: &str = "document.getElementById('talk')?.disabled === false";
const PRESS: &str = "document.getElementById('talk').click()";
const STATUS: &str = "document.getElementById('status').textContent";

/// What the page shows of one side.
async fn shown(page: &mut Page, speaker: &str) -> Vec<String> {
    let texts = page
        .evaluate(&format!(
            "Array.from(document.querySelectorAll('#captions li[data-speaker={speaker}] span'), \
             span => span.textContent)"
        ))
        .await;
    serde_json::from_value(texts).unwrap()
}

fn words_of(speaker: &str, turn: u32) -> String {
    format!(
        "document.querySelector('li[data-turn=\"{turn}\"][data-speaker={speaker}] span')?.textContent"
    )
}

/// The page in a browser of a person whose microphone has the question.
async fn opened(desk: &Desk, browser: &Path) -> Page {
    let folder = tempfile::tempdir().unwrap();
    let microphone = folder.path().join("microphone.wav");
    std::fs::write(&microphone, spoken(desk, QUESTION).await).unwrap();
    desk.outside.put("/sim/guess", &json!({ "text": QUESTION })).await.unwrap();
    let mut page = Page::open(browser, folder, &microphone).await;
    page.prepare(EAR_JS).await;
    page.visit(&desk.public("/talk?tenant=demo"), IS_LOADED).await;
    page
}

/// The person calls, and hears the greeting to its end.
async fn greeted(page: &mut Page) {
    page.evaluate(PRESS).await;
    page.until(&format!("{} === {GREETING:?}", words_of("agent", 0))).await;
    page.until("ear.isQuiet()").await;
}

/// The text of the last line of one side.
fn shown_of(speaker: &str) -> String {
    format!("[...document.querySelectorAll('li[data-speaker={speaker}] span')].at(-1)?.textContent")
}

/// A person opens the page, is greeted, asks, interrupts the answer to ask again, hears the answer to its end and hangs
/// up: the page shows what was said and heard, the loudspeaker played it, and the history keeps it.
pub async fn talked(desk: &Desk, browser: &Path) {
    let mut page = opened(desk, browser).await;
    sound_is_right(&mut page).await;
    greeted(&mut page).await;
    assert_eq!(page.evaluate("ear.wanted.audio.echoCancellation").await, Value::Bool(true));

    page.evaluate("ear.speak()").await;
    page.until(&format!("{} === {QUESTION:?}", words_of("caller", 1))).await;
    page.until(&words_of("agent", 1)).await;
    page.evaluate("ear.speak()").await;
    page.until("ear.clears > 0").await;
    page.until("ear.isQuiet()").await;
    page.until(&format!("{} === {QUESTION:?}", words_of("caller", 2))).await;
    page.until(&words_of("agent", 2)).await;
    page.until("ear.isQuiet()").await;
    page.evaluate(PRESS).await;
    page.until(&format!("{STATUS} === 'The call is over.'")).await;

    let (said, heard) = (shown(&mut page, "caller").await, shown(&mut page, "agent").await);
    assert_eq!(said, [QUESTION, QUESTION]);
    let recording = page.evaluate("ear.recording()").await;
    let recording = STANDARD.decode(recording.as_str().unwrap()).unwrap();
    let at_the_ear = audio::read_mulaw(&recording);
    let understood = modem::decode(&at_the_ear).text();
    assert!(was_heard(&heard, &at_the_ear), "shown: {heard:?}; understood: {understood}");

    let call = call_of(&mut page).await;
    let conversation = ConversationId::of_call(DEMO, &CallSid::parse(&call).unwrap());
    is_kept(desk, conversation, &said, &heard).await;
    let sql = "SELECT channel, our_address FROM conversations WHERE id = $1";
    let rows = desk.rows(sql, &[conversation.as_uuid()]).await;
    assert_eq!((rows[0].get(0), rows[0].get(1)), ("browser", Some("demo")));
    assert_eq!(desk.end_of(&call).await, "caller");
    let recorded = Stereo::decode(&desk.file(&desk.recording_of(&call).await).await).unwrap();
    assert_eq!(recorded.agent.text(), heard.join(" "));

    complains(desk, &mut page).await;
}

async fn call_of(page: &mut Page) -> String {
    page.evaluate("ear.call").await.as_str().unwrap().to_owned()
}

/// What the page shows is what the history has.
async fn is_kept(desk: &Desk, conversation: ConversationId, said: &[String], heard: &[String]) {
    let (lines, _) = desk.history.whole(conversation, said.len() + heard.len(), 0).await.unwrap();
    let kept = |speaker: Speaker| -> Vec<&str> {
        let lines = lines.iter().filter(|line| line.speaker == speaker);
        lines.map(|line| line.text.reveal()).collect()
    };
    assert_eq!(kept(Speaker::User), said, "what was said is what is kept");
    assert_eq!(kept(Speaker::Agent), heard, "what was heard is what is kept");
}

/// The task that holds the page's socket is killed in the middle of an answer. The page comes back by itself, the agent says
/// so and goes on with the sentence that was not heard, and the person asks again; the page shows each word once.
pub async fn came_back(desk: &Desk, browser: &Path) {
    let mut page = opened(desk, browser).await;
    greeted(&mut page).await;
    page.evaluate("ear.speak()").await;
    page.until(&format!("{} === {QUESTION:?}", words_of("caller", 1))).await;
    page.until(&words_of("agent", 1)).await;
    page.until("ear.isSounding()").await;
    let call = call_of(&mut page).await;
    let holder = takeover::holder(desk, &call);
    let before = desk.signal(&holder, Signal::KILL);

    page.until(&format!("{} === {:?}", shown_of("desk"), takeover::BACK)).await;
    page.until(&format!("{STATUS}.startsWith('You are talking to')")).await;
    page.until("ear.isQuiet()").await;
    page.evaluate("ear.speak()").await;
    page.until(&format!("{} === {QUESTION:?}", words_of("caller", 2))).await;
    page.until(&words_of("agent", 2)).await;
    page.until("ear.isQuiet()").await;
    page.evaluate(PRESS).await;
    page.until(&format!("{STATUS} === 'The call is over.'")).await;

    assert_eq!(call_of(&mut page).await, call, "the same call");
    let sockets = page.evaluate("ear.sockets").await;
    assert_eq!(sockets, json!(2), "it came back once");
    let (said, heard) = (shown(&mut page, "caller").await, shown(&mut page, "agent").await);
    assert_eq!(said, [QUESTION, QUESTION]);
    assert_eq!(heard.len(), 3, "{heard:?}");
    let conversation = ConversationId::of_call(DEMO, &CallSid::parse(&call).unwrap());
    is_kept(desk, conversation, &said, &heard).await;
    assert_eq!(desk.end_of(&call).await, "caller");
    desk.restarted(&holder, before).await;
}

/// Whoever cannot talk is told why.
async fn complains(desk: &Desk, page: &mut Page) {
    page.visit(&desk.public("/talk?tenant=nobody"), IS_LOADED).await;
    page.evaluate(PRESS).await;
    page.until(&format!("{STATUS}.startsWith('There is no desk')")).await;
    page.visit(&desk.public("/talk?tenant=demo#denied"), IS_LOADED).await;
    page.evaluate(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))",
    )
    .await;
    page.evaluate(PRESS).await;
    page.until(&format!("{STATUS}.startsWith('The microphone is blocked')")).await;
}

/// The page's own arithmetic: mu-law as everybody's, a low-pass that lets speech through and nothing fold back.
async fn sound_is_right(page: &mut Page) {
    let decoded = page
        .evaluate(
            "import('/talk/sound.js').then(({ fromMulaw, toMulaw }) => Array.from({ length: 256 }, \
             (_, byte) => [fromMulaw(byte) * 32768, toMulaw(fromMulaw(byte))]))",
        )
        .await;
    let decoded: Vec<(i16, u8)> = serde_json::from_value(decoded).unwrap();
    for (byte, (sample, again)) in (0..=255_u8).zip(decoded) {
        assert_eq!(sample, domain::g711::decode(byte), "{byte:#x}");
        // There are two zeros.
        assert!(again == byte || (sample == 0 && again == 0xff), "{byte:#x} became {again:#x}");
    }
    for (from_hz, to_hz, tone_hz, passes) in [
        (48_000, 8000, 1000, true),
        (48_000, 8000, 3300, true),
        (48_000, 8000, 4700, false),
        (44_100, 8000, 1000, true),
        (44_100, 8000, 6000, false),
        (8000, 48_000, 3300, true),
        (8000, 44_100, 1000, true),
    ] {
        let level_db = page
            .evaluate(&format!(
                "import('/talk/sound.js').then(({{ Resampler }}) => {{
                    const tone = Float32Array.from({{ length: {from_hz} }}, (_, n) =>
                        Math.sin(2 * Math.PI * {tone_hz} * n / {from_hz}));
                    const resampler = new Resampler({from_hz}, {to_hz});
                    const out = [];
                    for (let at = 0; at < tone.length; at += 128) out.push(...resampler.run(tone.slice(at, at + 128)));
                    const inner = out.slice({to_hz} / 10, -{to_hz} / 10);
                    const power = inner.reduce((sum, x) => sum + x * x, 0) / inner.length;
                    return 10 * Math.log10(2 * power + 1e-12);
                }})"
            ))
            .await
            .as_f64()
            .unwrap();
        let right = if passes { level_db.abs() < 0.5 } else { level_db < -70.0 };
        assert!(right, "{tone_hz} Hz from {from_hz} to {to_hz} Hz: {level_db} dB");
    }
}

/// Whether what was shown came out of the loudspeaker: what can be understood of it is what was shown, in order, and there was
/// about as much sound. A browser that drops a millisecond makes the modem's words around it unreadable.
fn was_heard(shown: &[String], ear: &[i16]) -> bool {
    let text = shown.join(" ");
    let mut rest = text.split(' ');
    let heard = modem::decode(ear).text();
    let in_order = heard.split_whitespace().all(|word| rest.any(|shown| shown == word));
    let ideal: usize = shown.iter().map(|text| loud_frames(&modem::encode(text))).sum();
    in_order && (8 * ideal..=12 * ideal).contains(&(10 * loud_frames(ear)))
}

/// Frames of 20 ms in which something sounds.
fn loud_frames(samples: &[i16]) -> usize {
    let loud = |frame: &&[i16]| frame.iter().any(|sample| sample.unsigned_abs() > 1_000);
    samples.chunks(160).filter(loud).count()
}

/// A WAV file of a person who says `text`, with some quiet around it.
async fn spoken(desk: &Desk, text: &str) -> Vec<u8> {
    let quiet = vec![0_i16; 4000];
    let said = desk
        .outside
        .file(&format!("/sim/voice?text={}", text.replace(' ', "%20").replace('?', "%3F")))
        .await;
    let said = audio::read_wav(&said.unwrap()).unwrap();
    let speech = [quiet.as_slice(), &said.samples, &quiet].concat();
    let samples = audio::resample(&speech, modem::SAMPLE_RATE_HZ, MICROPHONE_HZ);
    audio::write_wav(&audio::write_pcm(&samples), MICROPHONE_HZ, false)
}
