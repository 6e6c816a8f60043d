//! A reply as the parts in which a channel takes it.

use domain::{
    Mail, MediaKind, MessageSent, OfferedChoice, SentFile, SentForm, SentLink, SentTemplate,
    TemplateHeader,
};

use crate::channel::{ChannelAdapter, numbered, parts_of, split_text};

/// The vendor's code where a file cannot be sent at all (PROTOCOLS 2.4, "media upload").
const FILE_NOT_TAKEN: i64 = 131_053;

/// One message of the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// Its text; of a file the caption, of a reaction the emoji.
    pub text: String,
    /// Choices below it.
    pub choices: &'a [OfferedChoice],
    /// What it is besides.
    pub body: Body<'a>,
}

impl<'a> Part<'a> {
    /// The file that has to be at the vendor before, and as what it is shown.
    pub(super) fn file(&self) -> Option<(&'a SentFile, MediaKind)> {
        match self.body {
            Body::File { file, kind } => Some((file, kind)),
            Body::Template { file, .. } => file,
            _ => None,
        }
    }
}

/// What a part is besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Text,
    File { file: &'a SentFile, kind: MediaKind },
    Template { template: &'a SentTemplate, file: Option<(&'a SentFile, MediaKind)> },
    Link(&'a SentLink),
    Reaction { to: &'a str },
    Mail(&'a Mail),
}

/// Why a reply cannot be sent on a channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsendable {
    pub code: i64,
    pub detail: &'static str,
}

/// The parts of `reply` on the channel of `adapter`. What it cannot show is written out; a file it cannot take makes the
/// whole unsendable.
pub(super) fn parts<'a>(
    adapter: &dyn ChannelAdapter,
    reply: &'a MessageSent,
) -> Result<Vec<Part<'a>>, Unsendable> {
    let text = reply.text.reveal();
    match &reply.form {
        SentForm::Text => Ok(texts(adapter, text, &reply.choices)),
        SentForm::File(file) => with_file(adapter, text, reply, file),
        SentForm::Link(link) => Ok(with_link(adapter, text, reply, link)),
        SentForm::Reaction { to } if adapter.takes_reactions() => {
            Ok(vec![Part { text: text.to_owned(), choices: &[], body: Body::Reaction { to } }])
        }
        SentForm::Reaction { .. } => Ok(texts(adapter, text, &[])),
        SentForm::Template(template) if adapter.window().is_some() => {
            Ok(vec![with_template(adapter, text, template)?])
        }
        SentForm::Template(_) => Ok(texts(adapter, text, &[])),
        SentForm::Mail(mail) => {
            let mut parts = texts(adapter, text, &reply.choices);
            parts.iter_mut().take(1).for_each(|first| first.body = Body::Mail(mail));
            Ok(parts)
        }
    }
}

/// A reply as one text: what goes into a template's parameter.
pub(super) fn as_text(reply: &MessageSent) -> String {
    let text = reply.text.reveal();
    match &reply.form {
        SentForm::Link(link) => numbered(&written_out(text, link), &reply.choices),
        _ => numbered(text, &reply.choices),
    }
}

fn texts<'a>(
    adapter: &dyn ChannelAdapter,
    text: &str,
    choices: &'a [OfferedChoice],
) -> Vec<Part<'a>> {
    let above = adapter.longest_text_above(choices);
    parts_of(text, choices, adapter.longest_text_chars(), above)
        .into_iter()
        .map(|(text, choices)| Part { text, choices, body: Body::Text })
        .collect()
}

/// The text is the caption where there is room for it; else it follows the file, and the choices with it.
fn with_file<'a>(
    adapter: &dyn ChannelAdapter,
    text: &str,
    reply: &'a MessageSent,
    file: &'a SentFile,
) -> Result<Vec<Part<'a>>, Unsendable> {
    let kind = kind_of(adapter, file)?;
    let longest = adapter.files().map_or(0, |files| files.longest_caption_chars(kind));
    let is_caption = reply.choices.is_empty() && text.chars().count() <= longest;
    let shown = |caption: &str| Part {
        text: caption.to_owned(),
        choices: &[],
        body: Body::File { file, kind },
    };
    if is_caption {
        return Ok(vec![shown(text)]);
    }
    let mut parts = vec![shown("")];
    parts.extend(texts(adapter, text, &reply.choices));
    Ok(parts)
}

/// As what the channel shows a file.
fn kind_of(adapter: &dyn ChannelAdapter, file: &SentFile) -> Result<MediaKind, Unsendable> {
    let no_files = Unsendable { code: FILE_NOT_TAKEN, detail: "the channel has no files" };
    let files = adapter.files().ok_or(no_files)?;
    let too_large = Unsendable { code: FILE_NOT_TAKEN, detail: "the file is too large" };
    files.kind_of(&file.file.mime_type, file.file.bytes).ok_or(too_large)
}

fn with_template<'a>(
    adapter: &dyn ChannelAdapter,
    text: &str,
    template: &'a SentTemplate,
) -> Result<Part<'a>, Unsendable> {
    let file = match &template.header {
        Some(TemplateHeader::File(file)) => Some((file, kind_of(adapter, file)?)),
        _ => None,
    };
    Ok(Part { text: text.to_owned(), choices: &[], body: Body::Template { template, file } })
}

fn with_link<'a>(
    adapter: &dyn ChannelAdapter,
    text: &str,
    reply: &'a MessageSent,
    link: &'a SentLink,
) -> Vec<Part<'a>> {
    // A message has either a link or choices.
    let above = adapter.longest_text_above_link(link).filter(|_| reply.choices.is_empty());
    let Some(above) = above else {
        return texts(adapter, &written_out(text, link), &reply.choices);
    };
    // Above a button there is always a text.
    let text = if text.trim().is_empty() { link.title.as_str() } else { text };
    let mut parts: Vec<_> = parts_of(text, &[], adapter.longest_text_chars(), None)
        .into_iter()
        .map(|(text, _)| Part { text, choices: &[], body: Body::Text })
        .collect();
    let last = parts.pop().map(|part| part.text).unwrap_or_default();
    let mut last = split_text(&last, above);
    let shown = last.pop().unwrap_or_default().to_owned();
    let plain = |text: &str| Part { text: text.to_owned(), choices: &[], body: Body::Text };
    parts.extend(last.into_iter().map(plain));
    parts.push(Part { text: shown, choices: &[], body: Body::Link(link) });
    parts
}

fn written_out(text: &str, link: &SentLink) -> String {
    format!("{}\n{}: {}", text.trim_end(), link.title, link.url).trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use domain::{Channel, KeptFile, TurnAccount};

    use super::*;
    use crate::channel::{
        ExternalId, FileToSend, Forgery, Malformed, OutgoingPart, Reception, Route, SendFault,
        TakesFiles, VendorRequest,
    };

    /// Shows everything, in ten characters above a link and five of a caption; or nothing.
    struct Shows(bool);

    #[async_trait]
    impl ChannelAdapter for Shows {
        fn channel(&self) -> Channel {
            Channel::named("toy")
        }

        fn routes(&self) -> &'static [Route] {
            &[]
        }

        fn validate(&self, _: &VendorRequest) -> Result<(), Forgery> {
            Ok(())
        }

        async fn receive(&self, _: &VendorRequest) -> Result<Reception, Malformed> {
            Err(Malformed::new("all", "not asked"))
        }

        fn longest_text_chars(&self) -> usize {
            100
        }

        fn longest_text_above_link(&self, _: &SentLink) -> Option<usize> {
            self.0.then_some(10)
        }

        fn takes_reactions(&self) -> bool {
            self.0
        }

        fn window(&self) -> Option<Duration> {
            self.0.then_some(Duration::from_secs(1))
        }

        fn files(&self) -> Option<&dyn TakesFiles> {
            self.0.then_some(self as &dyn TakesFiles)
        }

        async fn send(&self, _: &OutgoingPart<'_>) -> Result<ExternalId, SendFault> {
            Ok(String::new())
        }
    }

    #[async_trait]
    impl TakesFiles for Shows {
        fn kind_of(&self, _: &str, bytes: u64) -> Option<MediaKind> {
            (bytes < 100).then_some(MediaKind::Image)
        }

        fn longest_caption_chars(&self, _: MediaKind) -> usize {
            5
        }

        fn kept_for(&self) -> Duration {
            Duration::from_secs(1)
        }

        async fn upload(&self, _: &str, _: FileToSend) -> Result<ExternalId, SendFault> {
            Ok(String::new())
        }
    }

    fn reply(text: &str, form: SentForm) -> MessageSent {
        MessageSent {
            to: "1".into(),
            from: "2".into(),
            text: text.into(),
            in_reply_to: String::new(),
            attempt: 1,
            account: TurnAccount::default(),
            choices: Vec::new(),
            form,
        }
    }

    fn file(bytes: u64) -> SentForm {
        let (bucket, key, mime_type) = ("b".into(), "k".into(), "image/png".into());
        let file = KeptFile { bucket, key, mime_type, bytes };
        SentForm::File(SentFile { file, filename: None, sha256: String::new() })
    }

    fn link() -> SentForm {
        SentForm::Link(SentLink { title: "Map".into(), url: "https://m.example".into() })
    }

    fn shown(reply: &MessageSent) -> Vec<(String, &'static str)> {
        let parts = parts(&Shows(true), reply).unwrap();
        parts.into_iter().map(|part| (part.text, name(part.body))).collect()
    }

    fn name(body: Body<'_>) -> &'static str {
        match body {
            Body::Text => "text",
            Body::File { .. } => "file",
            Body::Template { .. } => "template",
            Body::Link(_) => "link",
            Body::Reaction { .. } => "reaction",
            Body::Mail(_) => "mail",
        }
    }

    #[test]
    fn a_short_text_is_the_caption_and_a_long_one_follows_the_file() {
        assert_eq!(shown(&reply("look", file(9))), [("look".into(), "file")]);
        assert_eq!(shown(&reply("", file(9))), [(String::new(), "file")]);
        let long = shown(&reply("look here", file(9)));
        assert_eq!(long, [(String::new(), "file"), ("look here".into(), "text")]);
    }

    #[test]
    fn a_file_that_cannot_be_taken_is_told_as_such() {
        for (channel, bytes, why) in [(true, 100, "too large"), (false, 9, "no files")] {
            let reply = reply("look", file(bytes));
            let unsendable = parts(&Shows(channel), &reply).unwrap_err();
            assert!(unsendable.detail.contains(why), "{unsendable:?}");
        }
    }

    #[test]
    fn a_link_stands_below_the_last_text_or_is_written_out() {
        let text = "we are here, come by";
        let on_button = shown(&reply(text, link()));
        assert_eq!(on_button.last().unwrap().1, "link");
        let words: Vec<&str> = on_button.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(words.join(" "), text);
        assert_eq!(shown(&reply("", link())), [("Map".into(), "link")]);
        let written = reply("come by", link());
        let written = parts(&Shows(false), &written).unwrap();
        assert_eq!(written[0].text, "come by\nMap: https://m.example");
        let mut choosing = reply("come by", link());
        choosing.choices =
            vec![OfferedChoice { id: "y".into(), title: "Yes".into(), description: None }];
        assert_eq!(parts(&Shows(true), &choosing).unwrap()[0].body, Body::Text);
    }

    #[test]
    fn a_template_is_one_or_what_the_history_shows_of_it() {
        let header = match file(9) {
            SentForm::File(file) => Some(TemplateHeader::File(file)),
            _ => None,
        };
        let (name, language) = ("offer".into(), "en_US".into());
        let template =
            SentTemplate { name, language, header, parameters: Vec::new(), buttons: Vec::new() };
        let reply = reply("Our offer", SentForm::Template(template));
        let [Part { body: Body::Template { file: Some((_, kind)), .. }, .. }] =
            &parts(&Shows(true), &reply).unwrap()[..]
        else {
            panic!("one template with its file")
        };
        assert_eq!(*kind, MediaKind::Image);
        let written = parts(&Shows(false), &reply).unwrap();
        assert_eq!((written[0].text.as_str(), written[0].body), ("Our offer", Body::Text));
    }

    #[test]
    fn the_text_of_a_templates_parameter_has_the_choices_numbered() {
        let mut choosing = reply("When?", SentForm::Text);
        let choice =
            |id: &str| OfferedChoice { id: id.into(), title: id.into(), description: None };
        choosing.choices = vec![choice("Tuesday"), choice("Friday")];
        assert_eq!(as_text(&choosing), "When?\n1. Tuesday\n2. Friday");
    }

    #[test]
    fn a_reaction_is_one_or_its_emoji() {
        let reaction = reply("👍", SentForm::Reaction { to: "wamid.1".into() });
        assert_eq!(shown(&reaction), [("👍".into(), "reaction")]);
        let written = parts(&Shows(false), &reaction).unwrap();
        assert_eq!((written[0].text.as_str(), name(written[0].body)), ("👍", "text"));
    }
}
