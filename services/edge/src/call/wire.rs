//! The messages of a media stream (PROTOCOLS 1.5). Read leniently, written exactly: any field beyond these makes
//! Twilio warn (31951). A web page speaks the same, and gets captions beside (A4).

use std::{borrow::Cow, fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Visitor},
};

/// A longer text frame ends the socket. Twilio's media messages are about 400 bytes.
pub const LONGEST_FRAME_BYTES: usize = 64 * 1024;

/// What the vendor says on a media socket.
#[derive(Debug, PartialEq)]
pub enum StreamEvent {
    /// The socket is up; says nothing of the call.
    Connected,
    /// The stream begins.
    Start {
        /// The stream, to be named in everything we send.
        stream_sid: String,
        /// The call.
        call_sid: String,
        /// Our `<Parameter name="token">`; empty without one.
        token: String,
    },
    /// Audio of the caller.
    Media {
        /// Where it lies on the stream's time line.
        timestamp: Option<Duration>,
        /// Mu-law.
        payload: Vec<u8>,
    },
    /// A key was pressed.
    Dtmf(char),
    /// Everything before the mark was played, or cleared.
    Mark(String),
    /// The stream ends.
    Stop,
    /// Something a later release of the vendor's sends.
    Unknown,
}

/// Why a text frame could not be understood. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// Not JSON, or not of the documented shape.
    #[error("not a media stream message")]
    Json,
    /// The audio is not base64.
    #[error("audio is not base64")]
    Base64,
}

impl FrameFault {
    /// The kind, for logs and metrics.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Json => "malformed_json",
            Self::Base64 => "malformed_base64",
        }
    }
}

/// Texts are borrowed from the frame where they stand in it as they are: fifty of these come every second of every call.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default, rename = "streamSid")]
    stream_sid: Cow<'a, str>,
    start: Option<Start>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    dtmf: Option<Dtmf>,
    mark: Option<Mark>,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default, rename = "streamSid")]
    stream_sid: String,
    #[serde(rename = "callSid")]
    call_sid: String,
    #[serde(default, rename = "customParameters")]
    custom_parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
    #[serde(default)]
    timestamp: Option<Millis>,
    #[serde(borrow, default)]
    track: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Dtmf {
    digit: String,
}

#[derive(Serialize, Deserialize)]
struct Mark {
    name: String,
}

/// A time in milliseconds: a string by the document, a number by some who imitate it. Nothing where the string says none.
struct Millis(Option<Duration>);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(MillisVisitor)
    }
}

struct MillisVisitor;

impl Visitor<'_> for MillisVisitor {
    type Value = Millis;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("milliseconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Millis, E> {
        Ok(Millis(text.parse().ok().map(Duration::from_millis)))
    }

    fn visit_u64<E: Error>(self, ms: u64) -> Result<Millis, E> {
        Ok(Millis(Some(Duration::from_millis(ms))))
    }
}

/// Reads a text frame.
///
/// # Errors
/// When it is not JSON of the documented shape, or its audio is not base64.
pub fn read(text: &str) -> Result<StreamEvent, FrameFault> {
    let frame: Frame<'_> = serde_json::from_str(text).map_err(|_| FrameFault::Json)?;
    Ok(match &*frame.event {
        "connected" => StreamEvent::Connected,
        "start" => {
            let start = frame.start.ok_or(FrameFault::Json)?;
            let stream_sid = match start.stream_sid {
                sid if sid.is_empty() => frame.stream_sid.into_owned(),
                sid => sid,
            };
            StreamEvent::Start {
                stream_sid,
                call_sid: start.call_sid,
                token: start.custom_parameters.token,
            }
        }
        "media" => {
            let media = frame.media.ok_or(FrameFault::Json)?;
            // Our own side would come back with `both_tracks`; the caller is not to be interrupted by it.
            if media.track.starts_with("outbound") {
                return Ok(StreamEvent::Unknown);
            }
            let payload =
                STANDARD.decode(media.payload.as_bytes()).map_err(|_| FrameFault::Base64)?;
            let timestamp = media.timestamp.and_then(|Millis(time)| time);
            StreamEvent::Media { timestamp, payload }
        }
        "dtmf" => {
            let digits = frame.dtmf.ok_or(FrameFault::Json)?.digit;
            StreamEvent::Dtmf(digits.chars().next().ok_or(FrameFault::Json)?)
        }
        "mark" => StreamEvent::Mark(frame.mark.ok_or(FrameFault::Json)?.name),
        "stop" => StreamEvent::Stop,
        _ => StreamEvent::Unknown,
    })
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Command<'a> {
    Media {
        #[serde(rename = "streamSid")]
        stream_sid: &'a str,
        media: Payload,
    },
    Mark {
        #[serde(rename = "streamSid")]
        stream_sid: &'a str,
        mark: Mark,
    },
    Clear {
        #[serde(rename = "streamSid")]
        stream_sid: &'a str,
    },
    Caption {
        #[serde(rename = "streamSid")]
        stream_sid: &'a str,
        caption: &'a Caption<'a>,
    },
}

#[derive(Serialize)]
struct Payload {
    payload: String,
}

/// Audio for the caller, mu-law.
pub fn media(stream_sid: &str, audio: &[u8]) -> String {
    written(&Command::Media { stream_sid, media: Payload { payload: STANDARD.encode(audio) } })
}

/// A mark that comes back when everything before it was played.
pub fn mark(stream_sid: &str, name: String) -> String {
    written(&Command::Mark { stream_sid, mark: Mark { name } })
}

/// Drop what was not played yet.
pub fn clear(stream_sid: &str) -> String {
    written(&Command::Clear { stream_sid })
}

/// Words to be shown to a person who talks by a web page. It extends the protocol: Twilio is never sent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Caption<'a> {
    /// The caller's turn, as it was understood.
    CallerSaid {
        /// The turn.
        turn: u32,
        /// The words.
        text: &'a str,
    },
    /// The next sentence of the agent. Its audio follows.
    AgentSays {
        /// The turn answered; 0 is the greeting.
        turn: u32,
        /// The sentence.
        text: &'a str,
    },
    /// A sentence that is in no reply: a filler, an apology, a request to repeat. Its audio follows.
    Prompt {
        /// The sentence.
        text: &'a str,
    },
    /// The agent was interrupted: no more than this was heard of the turn.
    AgentHeard {
        /// The turn answered.
        turn: u32,
        /// The words; may be empty.
        text: &'a str,
    },
}

/// A caption, for a web page only.
pub fn caption(stream_sid: &str, caption: &Caption<'_>) -> String {
    written(&Command::Caption { stream_sid, caption })
}

fn written(command: &Command<'_>) -> String {
    // A struct of strings always serialises.
    serde_json::to_string(command).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_messages_are_understood() {
        assert_eq!(
            read(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#),
            Ok(StreamEvent::Connected)
        );
        assert_eq!(
            read(
                r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"streamSid":"MZ1","accountSid":"AC1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"token":"t1"}}}"#
            ),
            Ok(StreamEvent::Start {
                stream_sid: "MZ1".into(),
                call_sid: "CA1".into(),
                token: "t1".into()
            })
        );
        assert_eq!(
            read(
                r#"{"event":"media","sequenceNumber":"2","streamSid":"MZ1","media":{"track":"inbound","chunk":"1","timestamp":"20","payload":"//8="}}"#
            ),
            Ok(StreamEvent::Media {
                timestamp: Some(Duration::from_millis(20)),
                payload: vec![0xff, 0xff]
            })
        );
        assert_eq!(
            read(
                r#"{"event":"dtmf","sequenceNumber":"9","streamSid":"MZ1","dtmf":{"track":"inbound_track","digit":"1"}}"#
            ),
            Ok(StreamEvent::Dtmf('1'))
        );
        assert_eq!(
            read(
                r#"{"event":"mark","sequenceNumber":"12","streamSid":"MZ1","mark":{"name":"u7"}}"#
            ),
            Ok(StreamEvent::Mark("u7".into()))
        );
        assert_eq!(
            read(
                r#"{"event":"stop","sequenceNumber":"40","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#
            ),
            Ok(StreamEvent::Stop)
        );
    }

    #[test]
    fn what_is_missing_broken_or_new_is_told_apart() {
        for broken in
            ["", "{", "[]", "{}", r#"{"event":"media"}"#, r#"{"event":"start","start":{}}"#]
        {
            assert_eq!(read(broken), Err(FrameFault::Json), "{broken}");
        }
        assert_eq!(read(r#"{"event":"media","media":{"payload":"%%%"}}"#), Err(FrameFault::Base64));
        assert_eq!(read(r#"{"event":"hologram","hologram":{}}"#), Ok(StreamEvent::Unknown));
        assert_eq!(
            read(r#"{"event":"media","media":{"track":"outbound","payload":"//8="}}"#),
            Ok(StreamEvent::Unknown),
            "our own voice is not the caller's"
        );
        assert_eq!(
            read(r#"{"event":"media","media":{"payload":"//8="}}"#),
            Ok(StreamEvent::Media { timestamp: None, payload: vec![0xff, 0xff] })
        );
    }

    #[test]
    fn audio_is_the_same_however_it_is_written() {
        let heard = |timestamp: Option<u64>| {
            let timestamp = timestamp.map(Duration::from_millis);
            Ok(StreamEvent::Media { timestamp, payload: vec![0xff, 0xff] })
        };
        let plain = r#"{"event":"media","media":{"timestamp":"20","payload":"//8="}}"#;
        assert_eq!(read(plain), heard(Some(20)));
        let escaped =
            r#"{"ev\u0065nt":"m\u0065dia","media":{"payload":"\/\/8=","timestamp":"2\u0030"}}"#;
        assert_eq!(read(escaped), heard(Some(20)));
        for (time, is) in [("20", Some(20)), ("null", None), (r#""soon""#, None)] {
            let frame = plain.replace(r#""20""#, time);
            assert_eq!(read(&frame), heard(is), "{frame}");
        }
        for time in ["-1", "2.5", "[]", "true"] {
            assert_eq!(read(&plain.replace(r#""20""#, time)), Err(FrameFault::Json), "{time}");
        }
    }

    #[test]
    fn we_send_exactly_the_three_documented_shapes() {
        assert_eq!(
            media("MZ1", &[0xff, 0xff]),
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#
        );
        assert_eq!(
            mark("MZ1", "u7".into()),
            r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"u7"}}"#
        );
        assert_eq!(clear("MZ1"), r#"{"event":"clear","streamSid":"MZ1"}"#);
        assert_eq!(
            caption("MZ1", &Caption::AgentSays { turn: 2, text: "Yes." }),
            r#"{"event":"caption","streamSid":"MZ1","caption":{"kind":"agent_says","turn":2,"text":"Yes."}}"#,
            "and one more, to web pages"
        );
    }
}
