//! What language models answer, as the orchestrator reads it: streams, refusals, embeddings, and the arguments of tools.

use std::{collections::HashSet, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use dialogue_core::tool::{self, OwnTool, ToolRequest};
use futures::{StreamExt as _, stream};
use jiff::tz::TimeZone;
use orchestrator::{
    AnswerBytes, Asked, Bedrock, Delta, Deltas, Embeddings, Exchange, ModelError, OpenAi, Sonic,
    sse::EventParser,
};
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

use crate::input::{Event, events, first_line, status_in, texts};

/// Our own words about a failure, and a code of the vendor's.
const LONGEST_ERROR_CHARS: usize = 120;
/// The limits of what is taken from a model, as the orchestrator has them.
const CALLS_MAX: usize = 16;
const ARGUMENTS_BYTES_MAX: usize = 32 * 1024;
const SENTENCE_BYTES_MAX: usize = 4_000;
const SENTENCE_SAMPLES_MAX: usize = 60 * 8_000;

/// Shorter than what a frame begins with, and than most texts.
const PIECE_BYTES: usize = 7;

/// Answers have deadlines. Nothing here waits for one.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "nothing of it depends on the input")]
    Builder::new_current_thread().enable_time().build().expect("a runtime")
});

/// How an answer is read, where what came of its tools is told.
type Open = fn(AnswerBytes, watch::Receiver<Vec<Exchange>>) -> Deltas;

/// What was read of an answer.
#[derive(Default)]
struct Read {
    deltas: Vec<Delta>,
    error: Option<String>,
}

/// The first line is the HTTP status, the rest the answer.
pub(crate) fn openai_answer(input: &[u8]) {
    let (status, answer) = first_line(input);
    let status = status_in(status);
    if !(200..300).contains(&status) {
        return tells_nothing(&OpenAi::read_refusal(status, answer));
    }
    let read = read_however_cut(answer, |bytes, _| OpenAi::read(bytes));
    is_written(&read);
    let mut parser = EventParser::default();
    let mut sent = parser.push(answer).unwrap_or_default();
    sent.extend(parser.finish());
    let sent = sent.iter().filter(|event| event.trim() != "[DONE]");
    is_sent(&read, sent.map(|event| serde_json::from_str(event)));
}

/// The first line is the HTTP status. Then each line is an event, or the second one the header that names the error and the rest
/// the answer.
pub(crate) fn bedrock_answer(input: &[u8]) {
    let (status, answer) = first_line(input);
    let status = status_in(status);
    if !(200..300).contains(&status) {
        let (named, answer) = first_line(answer);
        let named = std::str::from_utf8(named).ok().filter(|named| !named.is_empty());
        return tells_nothing(&Bedrock::read_refusal(status, named, answer));
    }
    let open: Open = |bytes, _| Bedrock::read(bytes);
    is_written(&read_however_cut(answer, open));
    let frames: Vec<u8> = events(answer).filter_map(|event| event.frame()).flatten().collect();
    let read = read_however_cut(&frames, open);
    is_written(&read);
    is_sent(&read, events(answer).map(|event| serde_json::from_slice(event.body)));
}

/// Each line is an event of a session, in JSON, or an exception by its name.
pub(crate) fn sonic_answer(input: &[u8]) {
    let open: Open = Sonic::read;
    is_spoken(&read_however_cut(input, open), input);
    let lines = input.split(|byte| *byte == b'\n');
    let frames = lines.filter_map(|line| match line.first() {
        Some(b'{') => {
            let chunk = json!({"bytes": STANDARD.encode(line)}).to_string();
            Event { kind: b"event", name: b"chunk", body: chunk.as_bytes() }.frame()
        }
        _ => events(line).next()?.frame(),
    });
    let frames: Vec<u8> = frames.flatten().collect();
    is_spoken(&read_however_cut(&frames, open), input);
}

/// The first line is the number of texts, the rest the answer.
pub(crate) fn embeddings_answer(input: &[u8]) {
    let (texts, answer) = first_line(input);
    let texts = String::from_utf8_lossy(texts).parse().unwrap_or(1);
    let is_whole = |embedding: &Vec<f32>| {
        !embedding.is_empty() && embedding.iter().all(|number| number.is_finite())
    };
    if let Ok(embedded) = Embeddings::read_answer(answer, texts) {
        assert!(embedded.len() == texts && embedded.iter().all(is_whole), "one for each text");
    }
    assert!(Embeddings::read_titan(answer).as_ref().map_or(true, is_whole), "one it can compare");
}

/// The first line is the tool's name, the rest the arguments.
pub(crate) fn tool_arguments(input: &[u8]) {
    static OWN: LazyLock<Vec<OwnTool>> = LazyLock::new(|| {
        let parameters = json!({
            "type": "object",
            "properties": {"order": {"type": "integer"}, "size": {"enum": ["s", "m"]}},
            "required": ["order"],
            "additionalProperties": false,
        });
        let (name, description) = ("order_status".to_owned(), "An order.".to_owned());
        vec![OwnTool { name, description, parameters, agents: Vec::new() }]
    });
    static ZONE: LazyLock<TimeZone> =
        LazyLock::new(|| TimeZone::get("America/Toronto").unwrap_or(TimeZone::UTC));
    let input = String::from_utf8_lossy(input);
    let (name, arguments) = input.split_once('\n').unwrap_or((input.as_ref(), ""));
    let request = match tool::parse(name, arguments, &OWN, &ZONE) {
        Ok(request) => request,
        Err(error) => {
            let told = error.to_string();
            assert!(told.chars().count() <= LONGEST_ERROR_CHARS, "no error quotes a value: {told}");
            return;
        }
    };
    assert_eq!(request.name(), name);
    if let ToolRequest::FindSlots(wanted) = &request {
        assert!(wanted.window.from < wanted.window.until);
    }
    let kept = serde_json::to_string(&request).unwrap_or_default();
    let again = serde_json::from_str::<ToolRequest>(&kept);
    assert!(again.is_ok(), "the ledger of the turn must hold it");
    // The last digit of a number may differ.
    if !matches!(request, ToolRequest::Http(_)) {
        assert_eq!(again.ok(), Some(request));
    }
}

/// However the bytes are cut, the same is read; what came in one piece with an error may be lost.
fn read_however_cut(bytes: &[u8], open: Open) -> Read {
    let whole = read([bytes], open);
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    for cut in [read([head, tail], open), read(bytes.chunks(PIECE_BYTES), open)] {
        assert_eq!(cut.error, whole.error);
        match whole.error {
            Some(_) => assert!(cut.deltas.starts_with(&whole.deltas)),
            None => assert_eq!(cut.deltas, whole.deltas),
        }
    }
    whole
}

/// Reads an answer that comes in these pieces; of each tool it asks for, it is told at once that nothing came of it.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, open: Open) -> Read {
    let pieces = pieces.into_iter().map(|piece| Ok(Bytes::copy_from_slice(piece)));
    let pieces: Vec<Result<Bytes, ModelError>> = pieces.collect();
    RUNTIME.block_on(async {
        let (tell, told) = watch::channel(Vec::new());
        let mut deltas = open(stream::iter(pieces).boxed(), told);
        let mut read = Read::default();
        while let Some(item) = deltas.next().await {
            assert!(read.error.is_none(), "nothing follows an error");
            match item {
                Ok(delta) => {
                    if let Delta::Asked(asked) = &delta {
                        tell.send_modify(|told| told.extend(asked.iter().map(nothing_came)));
                    }
                    read.deltas.push(delta);
                }
                Err(error) => {
                    tells_nothing(&error);
                    read.error = Some(error.to_string());
                }
            }
        }
        read
    })
}

fn nothing_came(asked: &Asked) -> Exchange {
    Exchange { asked: asked.clone(), round: 1, said: 0, told: Value::Null }
}

/// What holds of the answer of a model that writes.
fn is_written(read: &Read) {
    for (place, delta) in read.deltas.iter().enumerate() {
        match delta {
            Delta::Text(text) => assert!(!text.is_empty()),
            Delta::Asked(asked) => {
                assert_eq!(place + 1, read.deltas.len(), "nothing follows what it asks for");
                are_told_apart(asked);
            }
            Delta::Spoken(_) => panic!("it has no voice"),
            Delta::Usage(_) => {}
        }
    }
}

/// What holds of the answer of a model that speaks.
fn is_spoken(read: &Read, input: &[u8]) {
    let (mut words, mut samples) = (0, 0);
    for (place, delta) in read.deltas.iter().enumerate() {
        match delta {
            Delta::Text(_) => panic!("all its words have a sound"),
            Delta::Asked(asked) => {
                assert_eq!(asked.len(), 1, "it waits for what comes of each");
                are_told_apart(asked);
            }
            Delta::Spoken(spoken) => {
                assert!(!spoken.text.trim().is_empty() && !spoken.audio.is_empty());
                assert!(spoken.text.len() <= SENTENCE_BYTES_MAX);
                assert!(spoken.audio.len() <= SENTENCE_SAMPLES_MAX);
                words += spoken.text.len();
                samples += spoken.audio.len();
            }
            Delta::Usage(_) => assert_eq!(place + 1, read.deltas.len(), "it is told in the end"),
        }
    }
    assert!(words <= input.len() && 2 * samples <= input.len(), "words or sound from nowhere");
}

/// Whatever a model calls them, what came of each can be told.
fn are_told_apart(asked: &[Asked]) {
    assert!((1..=CALLS_MAX).contains(&asked.len()));
    let ids: HashSet<&str> = asked.iter().map(|asked| asked.id.as_str()).collect();
    assert_eq!(ids.len(), asked.len(), "no two have one name");
    let bytes: usize = asked.iter().map(|asked| asked.arguments.len()).sum();
    assert!(bytes <= ARGUMENTS_BYTES_MAX);
}

/// Every piece of text stands in an event. Where one is no JSON to a reader that is stricter than ours about what is skipped,
/// nothing is said.
fn is_sent(read: &Read, sent: impl Iterator<Item = serde_json::Result<Value>>) {
    let Ok(sent) = sent.collect::<serde_json::Result<Vec<Value>>>() else { return };
    let sent: HashSet<&str> = sent.iter().flat_map(texts).collect();
    for delta in &read.deltas {
        if let Delta::Text(text) = delta {
            assert!(sent.contains(text.as_str()), "words from nowhere");
        }
    }
}

/// Of a vendor's own words no more is kept than a code: the rest may quote the request.
fn tells_nothing(error: &ModelError) {
    let told = error.to_string();
    assert!(told.chars().count() <= LONGEST_ERROR_CHARS, "{told}");
}
