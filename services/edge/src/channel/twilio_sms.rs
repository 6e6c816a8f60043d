//! Text messages over Twilio's Messages API (A6, PROTOCOLS 1.6): confirmations and reminders out, answers in. STOP, START and HELP
//! are answered here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use async_trait::async_trait;
use domain::{
    Channel, ConversationId, DeliveryStatus, DeliveryUpdated, Envelope, EventId, Keyword,
    MessageKind, MessageReceived, Stage, TenantId,
};
use serde::Deserialize;

use super::{
    Answer, ChannelAdapter, ExternalId, Forgery, Malformed, Notice, OutgoingPart, Reception, Route,
    RouteMethod, SendFault, SendMark, UserKey, VendorRequest,
    twilio_voice::{Form, TwilioSettings, check_signature, escaped},
};
use crate::{directory::Directory, vendor};

const SMS_PATH: &str = "/twilio/sms";
const STATUS_PATH: &str = "/twilio/sms/status";
const MAX_BODY_BYTES: usize = 64 * 1024;
/// PROTOCOLS 1.6: a longer body is refused.
const LONGEST_TEXT_CHARS: usize = 1600;
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
const TRANSIENT_WAIT: Duration = Duration::from_secs(2);
const THROTTLED_WAIT: Duration = Duration::from_secs(4);
const NO_REPLY: &str = "<Response/>";
/// Twilio's code where the person has said STOP.
const OPTED_OUT: i64 = 21_610;
/// The words by which Twilio itself takes a message for one of these, but for two: CANCEL is about an appointment here, YES
/// answers a question. Twilio says so where it takes them for keywords.
const STOP_WORDS: [&str; 7] = ["STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "REVOKE", "OPTOUT"];
const START_WORDS: [&str; 2] = ["START", "UNSTOP"];
const HELP_WORDS: [&str; 2] = ["HELP", "INFO"];

/// What the adapter is told besides what every Twilio adapter is.
#[derive(Clone)]
pub struct SmsSettings {
    /// `TWILIO_API_BASE_URL`.
    pub api_base_url: String,
    /// `TWILIO_ACCOUNT_SID`; without it nothing is sent.
    pub account_sid: Option<String>,
}

/// The adapter of text messages.
pub struct TwilioSms {
    settings: SmsSettings,
    twilio: TwilioSettings,
    directory: Arc<Directory>,
    http: reqwest::Client,
}

impl TwilioSms {
    /// An adapter that knows our numbers by `directory` and calls Twilio through `http`.
    pub fn new(
        settings: SmsSettings,
        twilio: TwilioSettings,
        directory: Arc<Directory>,
        http: reqwest::Client,
    ) -> Self {
        Self { settings, twilio, directory, http }
    }
}

#[async_trait]
impl ChannelAdapter for TwilioSms {
    fn channel(&self) -> Channel {
        Channel::SMS
    }

    fn routes(&self) -> &'static [Route] {
        const fn post(path: &'static str) -> Route {
            Route { path, method: RouteMethod::Post, max_body_bytes: MAX_BODY_BYTES }
        }
        const { &[post(SMS_PATH), post(STATUS_PATH)] }
    }

    fn validate(&self, request: &VendorRequest) -> Result<(), Forgery> {
        check_signature(&self.twilio, request)
    }

    async fn receive(&self, request: &VendorRequest) -> Result<Reception, Malformed> {
        let form = Form::read(request)?;
        let sid = form.required("MessageSid")?;
        let mut reception = Reception::answered(Answer::twiml(NO_REPLY));
        if request.path == STATUS_PATH {
            reception.notices.extend(self.status(request, &form, sid)?);
            return Ok(reception);
        }
        let (from, to) = (form.required("From")?, form.required("To")?);
        let Some(tenant) = self.directory.tenant_of(&Channel::SMS, to) else {
            metrics::counter!("edge_unknown_address_total", "channel" => "sms").increment(1);
            tracing::warn!(
                kind = "unknown_number",
                channel = "sms",
                "text to a number that is not ours"
            );
            return Ok(reception);
        };
        let (keyword, is_answered) = keyword_of(&form);
        if let Some(word) = keyword.filter(|_| !is_answered) {
            reception.answer = Answer::twiml(self.answer_to(tenant, word));
        }
        reception.notices.push(message(request, &form, (tenant, from, to, sid), keyword));
        Ok(reception)
    }

    fn opted_out_code(&self) -> Option<i64> {
        Some(OPTED_OUT)
    }

    fn longest_text_chars(&self) -> usize {
        LONGEST_TEXT_CHARS
    }

    async fn send(&self, part: &OutgoingPart<'_>) -> Result<ExternalId, SendFault> {
        let Some(account) = &self.settings.account_sid else {
            let detail = "TWILIO_ACCOUNT_SID is not set".to_owned();
            return Err(SendFault::Refused { code: 0, detail });
        };
        let base = &self.settings.api_base_url;
        let url = format!("{base}/2010-04-01/Accounts/{account}/Messages.json");
        // The mark comes back in the callback's own URL (DESIGN 2, "Sends").
        let callback = format!("{}{STATUS_PATH}?mark={}", self.twilio.public_base_url, part.mark);
        let form = [
            ("To", e164(part.to.reveal())),
            ("From", part.our_address.to_owned()),
            ("Body", part.text.to_owned()),
            ("StatusCallback", callback),
        ];
        let request = self
            .http
            .post(url)
            .basic_auth(account, Some(self.twilio.auth_token.current().reveal()))
            .timeout(SEND_TIMEOUT)
            .form(&form);
        let begun = Instant::now();
        let sent = request.send().await;
        let status = sent.as_ref().map(|response| response.status().as_u16());
        vendor::asked("twilio", "messages", begun, status);
        let response = match sent {
            Ok(response) => response,
            Err(e) if e.is_connect() || e.is_builder() => {
                let cause = anyhow!(e.without_url()).context("connect to Twilio");
                return Err(SendFault::TryLater { after: TRANSIENT_WAIT, code: 0, cause });
            }
            Err(e) => return Err(SendFault::Unknown(anyhow!(e.without_url()))),
        };
        let status = response.status().as_u16();
        match response.bytes().await {
            Ok(body) => read_answer(status, &body),
            Err(e) => Err(SendFault::Unknown(anyhow!(e.without_url()))),
        }
    }
}

impl TwilioSms {
    /// What the person is told who wrote a keyword: once, and nothing follows a STOP.
    fn answer_to(&self, tenant: TenantId, word: Keyword) -> String {
        let settings = self.directory.settings(tenant).unwrap_or_default();
        let business = &settings.business;
        let text = match (word, &settings.sms_help) {
            (Keyword::Stop, _) => format!(
                "{business}: you will get no more messages from this number. Reply START to get them again."
            ),
            (Keyword::Start, _) => format!(
                "{business}: you will get messages from this number again. Reply STOP to end them."
            ),
            (Keyword::Help, Some(help)) => help.clone(),
            (Keyword::Help, None) => format!(
                "{business}: write to us here and we will answer. Message and data rates may apply. Reply STOP to get no more messages."
            ),
        };
        format!("<Response><Message>{}</Message></Response>", escaped(&text))
    }

    fn status(
        &self,
        request: &VendorRequest,
        form: &Form,
        sid: &str,
    ) -> Result<Option<Notice>, Malformed> {
        let word = form.required("MessageStatus")?;
        let status = match word {
            "accepted" | "scheduled" | "queued" | "sending" => DeliveryStatus::Accepted,
            "sent" => DeliveryStatus::Sent,
            "delivered" => DeliveryStatus::Delivered,
            "read" => DeliveryStatus::Read,
            "undelivered" | "failed" | "canceled" => DeliveryStatus::Failed,
            _ => return Ok(None),
        };
        let mark = request.query.strip_prefix("mark=").map(|m| m.replace("%3A", ":"));
        let Some(mark) = mark.as_deref().and_then(SendMark::parse) else {
            return Err(Malformed::new("mark", "is none of ours"));
        };
        let from = form.required("From")?;
        let Some(tenant) = self.directory.tenant_of(&Channel::SMS, from) else { return Ok(None) };
        let error = match form.optional("ErrorCode").parse() {
            Ok(code) if status == DeliveryStatus::Failed => Some((code, word.to_owned())),
            _ => None,
        };
        let event = Envelope::new(
            EventId::from_uuid(tenant.derive(&format!("sms-status:{sid}:{word}"))),
            tenant,
            mark.conversation,
            Channel::SMS,
            request.received_at,
            DeliveryUpdated {
                message: Some(mark.message),
                external_id: sid.to_owned(),
                status,
                error,
            },
        );
        let send = Some((mark.send_id(), sid.to_owned()));
        Ok(Some(Notice::Delivery { event: Box::new(event), send }))
    }
}

/// The keyword a message is, and whether Twilio has answered it already, which it does where it names its kind.
fn keyword_of(form: &Form) -> (Option<Keyword>, bool) {
    match form.optional("OptOutType") {
        "STOP" => (Some(Keyword::Stop), true),
        "START" => (Some(Keyword::Start), true),
        "HELP" => (Some(Keyword::Help), true),
        _ => (keyword_in(form.optional("Body")), false),
    }
}

/// The keyword that a text is and nothing else: in any case, whatever punctuation ends it.
fn keyword_in(text: &str) -> Option<Keyword> {
    let ends = |c: char| c.is_whitespace() || c.is_ascii_punctuation() || c == '…';
    let word = text.trim_start().trim_end_matches(ends).to_ascii_uppercase();
    let lists = [
        (Keyword::Stop, &STOP_WORDS[..]),
        (Keyword::Start, &START_WORDS[..]),
        (Keyword::Help, &HELP_WORDS[..]),
    ];
    lists.into_iter().find(|(_, words)| words.contains(&word.as_str())).map(|(keyword, _)| keyword)
}

/// What a person wrote, to the number `to` of a tenant.
fn message(
    request: &VendorRequest,
    form: &Form,
    (tenant, from, to, sid): (TenantId, &str, &str, &str),
    keyword: Option<Keyword>,
) -> Notice {
    let text = form.optional("Body");
    let kind = match (keyword, text) {
        (Some(word), _) => MessageKind::Keyword(word),
        (None, "") => MessageKind::Unsupported("image".into()),
        (None, _) => MessageKind::Text,
    };
    let message = MessageReceived {
        from: from.into(),
        to: to.to_owned(),
        text: text.into(),
        kind,
        external_id: sid.to_owned(),
        profile_name: None,
        bsuid: None,
        quotes: None,
        referral: None,
        gathered: false,
        speech: None,
        heard: None,
        call: None,
    };
    let mut event = Envelope::new(
        EventId::from_uuid(tenant.derive(&format!("sms:{sid}"))),
        tenant,
        ConversationId::of_chat(tenant, Channel::SMS.as_str(), to, from),
        Channel::SMS,
        request.received_at,
        message,
    );
    event.stamp(Stage::WEBHOOK_RECEIVED, request.received_at);
    let user = UserKey::of(tenant, &Channel::SMS, from, sid);
    Notice::Person { user, event: Some(Box::new(event)), seen: None }
}

/// A WhatsApp id is the number without its `+`.
fn e164(to: &str) -> String {
    if to.starts_with(|c: char| c.is_ascii_digit()) { format!("+{to}") } else { to.to_owned() }
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    sid: String,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
}

/// What became of a send, by the answer. Twilio did not process what it throttles (PROTOCOLS 1.6).
///
/// # Errors
/// What is to be done about a send that did not arrive, or may not have.
pub fn read_answer(status: u16, body: &[u8]) -> Result<ExternalId, SendFault> {
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    match (status, refusal) {
        (200..=299, _) => match serde_json::from_slice::<Sent>(body) {
            Ok(sent) if !sent.sid.is_empty() => Ok(sent.sid),
            _ => Err(SendFault::Unknown(anyhow!("Twilio answered {status} without a sid"))),
        },
        (429, refusal) => Err(SendFault::TryLater {
            after: THROTTLED_WAIT,
            code: refusal.map_or(429, |r| r.code),
            cause: anyhow!("Twilio throttles"),
        }),
        (500.., _) => Err(SendFault::Unknown(anyhow!("Twilio answered {status}"))),
        (_, refusal) => {
            let code = refusal.map_or_else(|| i64::from(status), |r| r.code);
            if code == 20003 {
                tracing::error!(
                    code,
                    kind = "vendor_credentials",
                    "Twilio refuses our credentials"
                );
            }
            // Twilio's words name the number.
            Err(SendFault::Refused { code, detail: "refused by Twilio".into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_twilio_took_has_a_sid() {
        assert_eq!(read_answer(201, br#"{"sid":"SM1","status":"queued"}"#).unwrap(), "SM1");
    }

    #[test]
    fn what_twilio_did_not_process_is_tried_again_and_what_it_may_have_is_in_doubt() {
        let throttled = read_answer(429, br#"{"code":20429}"#);
        assert!(matches!(throttled, Err(SendFault::TryLater { .. })));
        for (status, body) in [(201, "{}"), (500, "{}"), (503, "<html>")] {
            let answer = read_answer(status, body.as_bytes());
            assert!(matches!(answer, Err(SendFault::Unknown(_))), "{status}");
        }
        let refused = read_answer(400, br#"{"code":21211,"message":"to +1555 is bad"}"#);
        let Err(SendFault::Refused { code: 21211, detail }) = refused else {
            panic!("{refused:?}")
        };
        assert!(!detail.contains("1555"), "no error tells the person's number");
    }

    #[test]
    fn a_keyword_stands_alone_and_cancel_is_about_an_appointment() {
        for text in [
            "STOP",
            " stop ",
            "Stop.",
            "stopall",
            "Unsubscribe!",
            "end",
            "QUIT…",
            "revoke",
            "optout",
        ] {
            assert_eq!(keyword_in(text), Some(Keyword::Stop), "{text}");
        }
        assert_eq!(keyword_in("start"), Some(Keyword::Start));
        assert_eq!(keyword_in("Unstop"), Some(Keyword::Start));
        assert_eq!(keyword_in("help?"), Some(Keyword::Help));
        assert_eq!(keyword_in("INFO"), Some(Keyword::Help));
        for text in
            ["", "!", "cancel", "yes", "stop by at two", "please stop", "don't stop", "end of May"]
        {
            assert_eq!(keyword_in(text), None, "{text}");
        }
    }

    #[test]
    fn a_whatsapp_id_becomes_a_number() {
        assert_eq!(e164("15551234567"), "+15551234567");
        assert_eq!(e164("+15551234567"), "+15551234567");
    }
}
