//! How targets take their inputs apart.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde_json::Value;

/// The first line and what follows it. Without an end of a line there is no first one.
pub(crate) fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (&[], input),
    }
}

/// The HTTP status in a line; 200 where there is none.
pub(crate) fn status_in(line: &[u8]) -> u16 {
    String::from_utf8_lossy(line).parse().unwrap_or(200)
}

/// The lines of an input, each an event of an event stream: what kind of message it is, its name, and its body.
pub(crate) fn events(input: &[u8]) -> impl Iterator<Item = Event<'_>> {
    input.split(|byte| *byte == b'\n').map(|line| {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let mut next = || parts.next().unwrap_or_default();
        Event { kind: next(), name: next(), body: next() }
    })
}

/// An event of an event stream (PROTOCOLS 5).
pub(crate) struct Event<'a> {
    /// `event` or `exception`.
    pub(crate) kind: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Event<'_> {
    /// As AWS sends it; nothing where it is too long for a frame.
    pub(crate) fn frame(&self) -> Option<Vec<u8>> {
        let header = |name: &'static str, value: &[u8]| {
            let value = String::from_utf8_lossy(value).into_owned();
            Header::new(name, HeaderValue::String(value.into()))
        };
        let names = if self.kind == b"event" { ":event-type" } else { ":exception-type" };
        let message = Message::new(self.body.to_vec())
            .add_header(header(":message-type", self.kind))
            .add_header(header(names, self.name));
        let mut frame = Vec::new();
        write_message_to(&message, &mut frame).ok()?;
        Some(frame)
    }
}

/// Every text in some JSON.
pub(crate) fn texts(json: &Value) -> Vec<&str> {
    let (mut left, mut texts) = (vec![json], Vec::new());
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => texts.push(text.as_str()),
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => left.extend(fields.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    texts
}
