//! What TwiML says (PROTOCOLS 1.4), as far as it is followed here.

use std::time::Duration;

use anyhow::{Context, bail};
use roxmltree::{Document, Node};

/// What `speechTimeout="auto"` comes to here; Twilio's recogniser decides by what it hears.
const AUTO_SPEECH_TIMEOUT: Duration = Duration::from_millis(500);

/// One instruction.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// Speak a text.
    Say {
        /// The text.
        text: String,
        /// How often. Here 0, until the caller leaves, is once.
        times: u32,
    },
    /// Play an audio file.
    Play {
        /// Its URL, as written.
        url: String,
        /// How often. Here 0, until the caller leaves, is once.
        times: u32,
    },
    /// Say nothing.
    Pause(Duration),
    /// Connect the call to a media socket, both ways.
    Connect {
        /// What to request when the socket has closed, instead of the next verb.
        action: Option<Request>,
        /// The socket.
        stream: Stream,
    },
    /// Collect what the caller says or keys.
    Gather(Gather),
    /// Call someone else and let both talk.
    Dial {
        /// The number or SIP address.
        party: String,
        /// What whoever answers hears first.
        whisper: Option<Request>,
        /// How long it rings.
        timeout: Duration,
        /// What to request afterwards, instead of the next verb.
        action: Option<Request>,
    },
    /// Go on with another document.
    Redirect(Request),
    /// End the call.
    Hangup,
    /// Refuse the call.
    Reject {
        /// As busy, else as not in service.
        busy: bool,
    },
}

/// A document to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// As written: it may be relative to the document's own.
    pub url: String,
    /// By GET instead of POST.
    pub get: bool,
}

/// `<Stream>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// As written.
    pub url: String,
    /// `<Parameter>`s, in order.
    pub parameters: Vec<(String, String)>,
}

/// `<Gather>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gather {
    /// It takes keys.
    pub dtmf: bool,
    /// It takes speech.
    pub speech: bool,
    /// Where to send the result; the document's own URL when not given.
    pub action: Option<Request>,
    /// How long to wait for the caller after the prompts.
    pub timeout: Duration,
    /// Quiet after which speech is over.
    pub speech_timeout: Duration,
    /// So many keys end it.
    pub num_digits: Option<usize>,
    /// This key ends it, once another was pressed.
    pub finish_on_key: Option<char>,
    /// Ask `action` even when nothing came.
    pub action_on_empty_result: bool,
    /// Prompts: Say, Play and Pause.
    pub prompts: Vec<Verb>,
}

/// Reads a document.
///
/// # Errors
/// When it is not XML (12100), its root is not `<Response>`, or a verb is unknown or lacks what it needs. Tags are
/// case-sensitive.
pub fn parse(document: &str) -> anyhow::Result<Vec<Verb>> {
    let document = Document::parse(document.trim_start()).context("parse TwiML")?;
    let root = document.root_element();
    if root.tag_name().name() != "Response" {
        bail!("the root of TwiML is <{}>", root.tag_name().name());
    }
    elements(root).map(verb).collect()
}

fn elements<'a, 'input: 'a>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

fn verb(node: Node<'_, '_>) -> anyhow::Result<Verb> {
    Ok(match node.tag_name().name() {
        "Say" => Verb::Say { text: text(node), times: number(node, "loop", 1)? },
        "Play" => Verb::Play { url: text(node), times: number(node, "loop", 1)? },
        "Pause" => Verb::Pause(seconds(node, "length", 1)?),
        "Connect" => {
            let stream = elements(node)
                .find(|child| child.tag_name().name() == "Stream")
                .context("<Connect> holds no <Stream>")?;
            let url = stream.attribute("url").context("<Stream> has no url")?.to_owned();
            let parameters = elements(stream).map(parameter).collect::<anyhow::Result<_>>()?;
            Verb::Connect { action: action(node), stream: Stream { url, parameters } }
        }
        "Gather" => Verb::Gather(gather(node)?),
        "Dial" => {
            let noun = elements(node).next();
            Verb::Dial {
                party: noun.map_or_else(|| text(node), text),
                whisper: noun.and_then(|noun| {
                    noun.attribute("url").map(|url| request(noun, url.to_owned()))
                }),
                timeout: seconds(node, "timeout", 30)?,
                action: action(node),
            }
        }
        "Redirect" => Verb::Redirect(request(node, text(node))),
        "Hangup" => Verb::Hangup,
        "Reject" => Verb::Reject { busy: node.attribute("reason") == Some("busy") },
        other => bail!("TwiML has no verb <{other}> here"),
    })
}

fn gather(node: Node<'_, '_>) -> anyhow::Result<Gather> {
    let input = node.attribute("input").unwrap_or("dtmf");
    let timeout = seconds(node, "timeout", 5)?;
    let speech_timeout = match node.attribute("speechTimeout") {
        None => timeout,
        Some("auto") => AUTO_SPEECH_TIMEOUT,
        Some(_) => seconds(node, "speechTimeout", 5)?,
    };
    let prompts = elements(node)
        .map(|child| match verb(child)? {
            prompt @ (Verb::Say { .. } | Verb::Play { .. } | Verb::Pause(_)) => Ok(prompt),
            _ => bail!("<{}> cannot stand in <Gather>", child.tag_name().name()),
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Gather {
        dtmf: input.split_whitespace().any(|kind| kind == "dtmf"),
        speech: input.split_whitespace().any(|kind| kind == "speech"),
        action: action(node),
        timeout,
        speech_timeout,
        num_digits: node
            .attribute("numDigits")
            .map(|value| value.parse().context("read numDigits"))
            .transpose()?,
        finish_on_key: node.attribute("finishOnKey").unwrap_or("#").chars().next(),
        action_on_empty_result: node.attribute("actionOnEmptyResult") == Some("true"),
        prompts,
    })
}

fn parameter(node: Node<'_, '_>) -> anyhow::Result<(String, String)> {
    if node.tag_name().name() != "Parameter" {
        bail!("<{}> cannot stand in <Stream>", node.tag_name().name());
    }
    let name = node.attribute("name").context("<Parameter> has no name")?;
    let value = node.attribute("value").context("<Parameter> has no value")?;
    if name.len() + value.len() > 500 {
        bail!("a <Parameter> is longer than 500 characters");
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn action(node: Node<'_, '_>) -> Option<Request> {
    node.attribute("action").map(|url| request(node, url.to_owned()))
}

fn request(node: Node<'_, '_>, url: String) -> Request {
    Request {
        url,
        get: node.attribute("method").is_some_and(|method| method.eq_ignore_ascii_case("get")),
    }
}

fn text(node: Node<'_, '_>) -> String {
    let text: String =
        node.descendants().filter(Node::is_text).filter_map(|part| part.text()).collect();
    text.trim().to_owned()
}

fn number(node: Node<'_, '_>, attribute: &str, default: u32) -> anyhow::Result<u32> {
    node.attribute(attribute).map_or(Ok(default), |value| {
        value.parse().with_context(|| format!("read {attribute} of <{}>", node.tag_name().name()))
    })
}

fn seconds(node: Node<'_, '_>, attribute: &str, default: u32) -> anyhow::Result<Duration> {
    Ok(Duration::from_secs(number(node, attribute, default)?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_with_parameters_and_a_verb_after_it() {
        let verbs = parse(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <Response>
              <Connect><Stream url="wss://desk.example/media-stream"><Parameter name="token" value="a&amp;b"/></Stream></Connect>
              <Redirect method="POST">/twilio/voice?turn=1&amp;attempt=2</Redirect>
            </Response>"#,
        )
        .expect("TwiML");
        assert_eq!(
            verbs,
            [
                Verb::Connect {
                    action: None,
                    stream: Stream {
                        url: "wss://desk.example/media-stream".to_owned(),
                        parameters: vec![("token".to_owned(), "a&b".to_owned())],
                    },
                },
                Verb::Redirect(Request {
                    url: "/twilio/voice?turn=1&attempt=2".to_owned(),
                    get: false
                }),
            ]
        );
    }

    #[test]
    fn a_gather_keeps_its_prompts_and_defaults() {
        let verbs = parse(
            r#"<Response><Gather input="speech" action="/c"><Say>Hello &lt;you&gt;</Say></Gather></Response>"#,
        );
        let Ok([Verb::Gather(gather)]) = verbs.as_deref() else { panic!("{verbs:?}") };
        assert!(gather.speech && !gather.dtmf && !gather.action_on_empty_result);
        assert_eq!(gather.timeout, Duration::from_secs(5));
        assert_eq!(gather.speech_timeout, gather.timeout);
        assert_eq!(gather.prompts, [Verb::Say { text: "Hello <you>".to_owned(), times: 1 }]);
    }

    #[test]
    fn what_twilio_would_refuse_is_refused() {
        for wrong in [
            "<Response><Say>unclosed</Response>",
            "<response/>",
            "<Response><say>tags are case-sensitive</say></Response>",
            "<Response><Connect/></Response>",
            "{}",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse("<Response/>").expect("no instructions"), []);
    }
}
