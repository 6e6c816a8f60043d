//! TwiML, as far as it is spoken here (PROTOCOLS 1.4).

use std::fmt::Write as _;

use domain::TenantSettings;

/// PROTOCOLS 1.4: `<Say>` takes 4,096 characters; beyond it Twilio ends the call with an error.
const LONGEST_SAY_CHARS: usize = 4096;

/// A document in the making.
#[derive(Default)]
pub(super) struct Document(String);

impl Document {
    /// Speaks a text in the tenant's voice.
    pub(super) fn say(mut self, settings: &TenantSettings, text: &str) -> Self {
        let language = escaped(&settings.voice.language);
        self.0.push_str("<Say");
        if let Some(voice) = &settings.say_voice {
            let _ = write!(self.0, r#" voice="{}""#, escaped(voice));
        }
        let text = match text.char_indices().nth(LONGEST_SAY_CHARS) {
            Some((end, _)) => &text[..end],
            None => text,
        };
        let _ = write!(self.0, r#" language="{language}">{}</Say>"#, escaped(text));
        self
    }

    /// Says nothing for so many seconds.
    pub(super) fn pause(mut self, seconds: u32) -> Self {
        let _ = write!(self.0, r#"<Pause length="{seconds}"/>"#);
        self
    }

    /// Speaks a text and takes what the caller says, in the language `listens_in`, or keys to `action`, also when that is
    /// nothing.
    pub(super) fn gather(
        self,
        settings: &TenantSettings,
        listens_in: &str,
        action: &str,
        text: &str,
    ) -> Self {
        let said = Self::default().say(settings, text).0;
        let (language, action) = (escaped(listens_in), escaped(action));
        Self(format!(
            r#"{}<Gather input="dtmf speech" action="{action}" method="POST" timeout="5" speechTimeout="auto" language="{language}" actionOnEmptyResult="true">{said}</Gather>"#,
            self.0
        ))
    }

    /// Goes on with another document.
    pub(super) fn redirect(mut self, url: &str) -> Self {
        let _ = write!(self.0, r#"<Redirect method="POST">{}</Redirect>"#, escaped(url));
        self
    }

    /// Ends the call.
    pub(super) fn hang_up(mut self) -> Self {
        self.0.push_str("<Hangup/>");
        self
    }

    /// Calls a human, tells them what `whisper` answers, and lets both talk; goes on with `action`.
    pub(super) fn dial(mut self, to: &str, action: &str, whisper: &str, ring_seconds: u32) -> Self {
        let noun = if to.starts_with("sip") { "Sip" } else { "Number" };
        let _ = write!(
            self.0,
            r#"<Dial action="{}" method="POST" timeout="{ring_seconds}" answerOnBridge="true"><{noun} url="{}" method="POST">{}</{noun}></Dial>"#,
            escaped(action),
            escaped(whisper),
            escaped(to),
        );
        self
    }

    /// Calls a number and lets both talk; the call ends with that.
    pub(super) fn dial_alone(mut self, number: &str) -> Self {
        let _ = write!(self.0, "<Dial>{}</Dial>", escaped(number));
        self
    }

    /// The whole.
    pub(super) fn response(self) -> String {
        format!("<Response>{}</Response>", self.0)
    }
}

/// A text within an element or an attribute. What XML cannot carry at all is left out.
pub(in crate::channel) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_cannot_become_a_verb() {
        let settings =
            TenantSettings { say_voice: Some("Polly.\"Amy\"".into()), ..TenantSettings::default() };
        let twiml = Document::default()
            .say(&settings, "Smith & Sons </Say><Dial>+1900</Dial>\u{1}")
            .response();
        assert_eq!(
            twiml,
            "<Response><Say voice=\"Polly.&quot;Amy&quot;\" language=\"en-US\">Smith &amp; Sons \
             &lt;/Say&gt;&lt;Dial&gt;+1900&lt;/Dial&gt;</Say></Response>"
        );
    }

    #[test]
    fn a_text_longer_than_twilio_speaks_is_cut() {
        let twiml =
            Document::default().say(&TenantSettings::default(), &"é".repeat(5000)).response();
        assert_eq!(twiml.chars().filter(|c| *c == 'é').count(), LONGEST_SAY_CHARS);
    }
}
