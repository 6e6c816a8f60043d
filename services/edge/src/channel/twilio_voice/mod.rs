//! Phone calls over Twilio: the webhooks around a call (A2, PROTOCOLS 1.1 to 1.4). The call itself runs on its media
//! socket, in [`crate::call`].

mod gather;
mod replies;
mod transfer;
mod twiml;

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    AddressMode, CallEndReason, CallEnded, CallSid, Channel, ConversationId, Envelope, EventId,
    TenantId, TenantSettings, Timestamp, TransferStatus, TransferUpdated,
};
use sha2::{Digest as _, Sha256};
use vault::RotatingSecret;

use super::{
    Answer, ChannelAdapter, ExternalId, Forgery, Malformed, Notice, OutgoingPart, Reception, Route,
    RouteMethod, SendFault, UserKey, VendorRequest,
};
use crate::{
    call::{
        state::{CallState, CallStates},
        token::{StreamClaims, StreamTokens},
    },
    directory::Directory,
    guard::signatures::{self, FormParams, key_bytes},
};

use gather::Gather;
pub use gather::Place;
pub use replies::WrittenReplies;
pub use transfer::{NotUpdated, Transfers, read_refusal};
use twiml::Document;
pub(super) use twiml::escaped;

/// Where a call begins, and where it comes back to by `<Redirect>`.
const VOICE_PATH: &str = "/twilio/voice";
const VOICE_ALIAS_PATH: &str = "/incoming-call";
const COLLECT_PATH: &str = "/twilio/voice/collect";
const STATUS_PATH: &str = "/twilio/voice/status";
/// Where the caller comes back to when a transfer is over, and where it is asked what to say to whoever takes the call.
const TRANSFERRED_PATH: &str = "/twilio/voice/transferred";
const WHISPER_PATH: &str = "/twilio/voice/whisper";
const STREAM_PATH: &str = "/media-stream";
const MAX_BODY_BYTES: usize = 64 * 1024;
/// At the end of every URL that Twilio comes back to (PROTOCOLS 1.1): it asks again where the task it asked is gone, or dies over
/// it, for a call whose webhook fails is ended. The same request has the same answer.
const RETRY_POLICY: &str = "#rc=5&rp=ct,rt,5xx";
/// After so many returns the call goes to the fallback number (DESIGN 5).
const MAX_RESUMES: u32 = 5;

const HANG_UP: &str = "<Response><Hangup/></Response>";
const REJECT: &str = r#"<Response><Reject reason="rejected"/></Response>"#;
const REJECT_BUSY: &str = r#"<Response><Reject reason="busy"/></Response>"#;

/// What the adapter is told.
#[derive(Clone)]
pub struct TwilioSettings {
    /// `SB_PUBLIC_BASE_URL`: what Twilio calls, and signs.
    pub public_base_url: String,
    /// What Twilio signs with.
    pub auth_token: Arc<RotatingSecret>,
}

impl TwilioSettings {
    /// The document that makes a call that goes on ask us again, on its `attempt`-th return.
    pub fn come_back(&self, attempt: u32) -> String {
        let base = escaped(&self.public_base_url);
        format!(
            r#"<Response><Redirect method="POST">{base}{VOICE_PATH}?attempt={attempt}&amp;turn=0{}</Redirect></Response>"#,
            escaped(RETRY_POLICY),
        )
    }
}

/// The adapter of phone calls.
pub struct TwilioVoice {
    settings: TwilioSettings,
    directory: Arc<Directory>,
    tokens: Arc<StreamTokens>,
    calls: CallStates,
    transfers: Transfers,
    gather: Gather,
}

impl TwilioVoice {
    /// An adapter that knows our numbers by `directory`, lets media sockets in by `tokens`, and gets the replies of calls
    /// without a stream from `replies`.
    pub fn new(
        settings: TwilioSettings,
        directory: Arc<Directory>,
        tokens: Arc<StreamTokens>,
        calls: CallStates,
        replies: Arc<WrittenReplies>,
        transfers: Transfers,
    ) -> Self {
        let (_, prefix) = split_base(&settings.public_base_url);
        let gather = Gather {
            states: calls.clone(),
            replies,
            transfers: transfers.clone(),
            path_prefix: prefix.to_owned(),
        };
        Self { settings, directory, tokens, calls, transfers, gather }
    }
}

#[async_trait]
impl ChannelAdapter for TwilioVoice {
    fn channel(&self) -> Channel {
        Channel::VOICE
    }

    fn routes(&self) -> &'static [Route] {
        const fn post(path: &'static str) -> Route {
            Route { path, method: RouteMethod::Post, max_body_bytes: MAX_BODY_BYTES }
        }
        const {
            &[
                post(VOICE_PATH),
                post(VOICE_ALIAS_PATH),
                post(COLLECT_PATH),
                post(STATUS_PATH),
                post(TRANSFERRED_PATH),
                post(WHISPER_PATH),
            ]
        }
    }

    fn validate(&self, request: &VendorRequest) -> Result<(), Forgery> {
        check_signature(&self.settings, request)
    }

    /// A repeated request is the same URL, body and signature.
    fn repeat_key(&self, request: &VendorRequest) -> Option<String> {
        let mut hash = Sha256::new();
        for part in [
            request.path.as_bytes(),
            request.query.as_bytes(),
            request.header("x-twilio-signature").as_bytes(),
            &request.body,
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Some(format!("twilio:{}", hex::encode(hash.finalize())))
    }

    async fn receive(&self, request: &VendorRequest) -> Result<Reception, Malformed> {
        let form = Form::read(request)?;
        let call = CallSid::parse(form.required("CallSid")?)
            .ok_or_else(|| Malformed::new("CallSid", "is not a call's id"))?;
        let to = ours_of(&form)?;
        match request.path.as_str() {
            WHISPER_PATH => self.whisper(&request.query).await,
            TRANSFERRED_PATH => self.transferred(request, &form, &call, to).await,
            STATUS_PATH => Ok(self.status(&form, &call, to, request.received_at)?),
            COLLECT_PATH => {
                let Some(of) = self.gathered(request, &form, call.clone(), to) else {
                    return Ok(self.refused(&call));
                };
                self.gather.collect(&of, &form, &request.query).await
            }
            _ => Ok(self.voice(request, &form, call, to).await),
        }
    }

    /// Nothing: a reply to a call is spoken on its socket.
    fn longest_text_chars(&self) -> usize {
        usize::MAX
    }

    async fn send(&self, _part: &OutgoingPart<'_>) -> Result<ExternalId, SendFault> {
        Err(SendFault::Refused { code: 0, detail: "a reply to a call is spoken, not sent".into() })
    }
}

impl TwilioVoice {
    async fn voice(
        &self,
        request: &VendorRequest,
        form: &Form,
        call: CallSid,
        to: &str,
    ) -> Reception {
        let address = self.directory.address(&Channel::VOICE, to);
        let Some(address) = address.filter(|a| a.mode != AddressMode::Chat) else {
            return self.refused(&call);
        };
        if let Some(of) = self.gathered(request, form, call.clone(), to) {
            tracing::info!(%call, "call without a stream answered");
            return Reception {
                answer_over_limit: Answer::twiml(REJECT_BUSY),
                ..self.gather.begin(&of).await
            };
        }
        let from = caller_of(form);
        let attempt = attempt_of(&request.query);
        let user = UserKey::of(address.tenant, &Channel::VOICE, from, call.as_str());
        let state = if attempt == 0 { CallState::New } else { self.calls.state(&call).await };
        let settings = self.directory.settings(address.tenant).unwrap_or_default();
        let answer = match next_step(&state, attempt) {
            Step::Connect => {
                let claims = StreamClaims {
                    tenant: address.tenant,
                    call: call.clone(),
                    from: from.into(),
                    to: to.into(),
                    attempt,
                };
                self.connect(&claims, request.received_at)
            }
            Step::HangUp => HANG_UP.to_owned(),
            Step::Dial(party) => {
                self.transfers.document(&call, &party, &format!("attempt={attempt}&turn=1"))
            }
            Step::FallBack => fall_back(&settings),
        };
        tracing::info!(%call, attempt, ?state, "call answered");
        Reception {
            // A call that comes back is no new request of the caller's.
            notices: if attempt == 0 {
                vec![Notice::Person { user, event: None, seen: None }]
            } else {
                Vec::new()
            },
            answer: Answer::twiml(answer),
            answer_over_limit: Answer::twiml(REJECT_BUSY),
            outcome: None,
        }
    }

    /// The call, where its number is one without a media stream.
    fn gathered(
        &self,
        request: &VendorRequest,
        form: &Form,
        call: CallSid,
        to: &str,
    ) -> Option<gather::Call> {
        let address = self.directory.address(&Channel::VOICE, to);
        let address = address.filter(|a| a.mode == AddressMode::Gather)?;
        let settings = self.directory.settings(address.tenant).unwrap_or_default();
        let from = caller_of(form).to_owned();
        Some(gather::Call { call, address, from, settings, now: request.received_at })
    }

    /// What whoever takes the call is told. The request is about the leg to them; the call itself stands in our URL.
    async fn whisper(&self, query: &str) -> Result<Reception, Malformed> {
        let call = query.split('&').find_map(|pair| CallSid::parse(pair.strip_prefix("call=")?));
        let call = call.ok_or_else(|| Malformed::new("call", "is not a call's id"))?;
        Ok(Reception::answered(Answer::twiml(self.transfers.whisper(&call).await)))
    }

    /// A transfer is over: the talk with the human has ended, or nobody took the call and the caller is ours again.
    async fn transferred(
        &self,
        request: &VendorRequest,
        form: &Form,
        call: &CallSid,
        to: &str,
    ) -> Result<Reception, Malformed> {
        let status = form.required("DialCallStatus")?;
        // A human who hangs up while the call is announced has answered it, and talked to nobody (PROTOCOLS 1.4).
        let was_bridged = form.optional("DialBridged") != "false";
        let was_taken = matches!(status, "completed" | "answered") && was_bridged;
        let Some(address) = self.directory.address(&Channel::VOICE, to) else {
            return Ok(self.refused(call));
        };
        let conversation = ConversationId::of_call(address.tenant, call);
        let attempt = attempt_of(&request.query);
        let outcome = if was_taken { TransferStatus::Answered } else { TransferStatus::Returned };
        tracing::info!(%call, ?outcome, "transfer over");
        metrics::counter!("edge_transfers_total", "outcome" => outcome.as_str()).increment(1);
        let name = format!("transfer:{}:{}", outcome.as_str(), request.query);
        let event = Envelope::new(
            EventId::from_uuid(conversation.derive(&name)),
            address.tenant,
            conversation,
            Channel::VOICE,
            request.received_at,
            TransferUpdated { call: call.clone(), status: outcome, heard: None },
        );
        let mut notices = vec![Notice::Delivery { event: Box::new(event), send: None }];
        let answer = if was_taken {
            let now = request.received_at;
            let over = call_ended(address.tenant, call, CallEndReason::Transferred, now, now);
            notices.push(Notice::CallOver(Box::new(over)));
            Answer::twiml(HANG_UP)
        } else {
            self.transfers.end(call).await;
            match self.gathered(request, form, call.clone(), to) {
                Some(of) => self.gather.returned(&of, &request.query)?,
                None => {
                    self.calls.set_returned(call, attempt).await;
                    let claims = StreamClaims {
                        tenant: address.tenant,
                        call: call.clone(),
                        from: caller_of(form).into(),
                        to: to.into(),
                        attempt,
                    };
                    Answer::twiml(self.connect(&claims, request.received_at))
                }
            }
        };
        Ok(Reception { notices, ..Reception::answered(answer) })
    }

    fn refused(&self, call: &CallSid) -> Reception {
        metrics::counter!("edge_unknown_address_total", "channel" => "voice").increment(1);
        tracing::warn!(kind = "unknown_number", channel = "voice", %call, "call to a number that is not ours");
        Reception::answered(Answer::twiml(REJECT))
    }

    fn connect(&self, claims: &StreamClaims, now: Timestamp) -> String {
        let (authority, prefix) = split_base(&self.settings.public_base_url);
        let next = claims.attempt + 1;
        format!(
            r#"<Response><Connect><Stream url="wss://{}{}{STREAM_PATH}"><Parameter name="token" value="{}"/></Stream></Connect><Redirect method="POST">{}{VOICE_PATH}?attempt={next}&amp;turn=0{}</Redirect></Response>"#,
            escaped(authority),
            escaped(prefix),
            escaped(&self.tokens.issue(claims, now)),
            escaped(prefix),
            escaped(RETRY_POLICY),
        )
    }

    fn status(
        &self,
        form: &Form,
        call: &CallSid,
        to: &str,
        now: Timestamp,
    ) -> Result<Reception, Malformed> {
        let mut reception = Reception::answered(Answer::text(""));
        let reason = match form.required("CallStatus")? {
            "completed" | "canceled" => CallEndReason::Caller,
            "busy" | "no-answer" | "failed" => CallEndReason::Lost,
            // In progress, or a word of a later release.
            _ => return Ok(reception),
        };
        let Some(tenant) = self.directory.tenant_of(&Channel::VOICE, to) else {
            tracing::warn!(kind = "unknown_number", channel = "voice", %call, "status of a call that is not ours");
            return Ok(reception);
        };
        let seconds = form.optional("CallDuration").parse().unwrap_or(0);
        let started_at = Timestamp::from_micros(
            now.as_micros().saturating_sub(1_000_000 * i64::from(u32::min(seconds, 86_400))),
        );
        let event = call_ended(tenant, call, reason, started_at, now);
        reception.notices.push(Notice::CallOver(Box::new(event)));
        Ok(reception)
    }
}

/// Our number: the one that was called, or, where we called, the one we called from.
fn ours_of(form: &Form) -> Result<&str, Malformed> {
    form.required(if is_outbound(form) { "From" } else { "To" })
}

/// Whether we placed the call, over the API.
fn is_outbound(form: &Form) -> bool {
    form.optional("Direction").starts_with("outbound")
}

/// The end of a call, under the id that everyone derives who may learn of it (DESIGN 5).
pub fn call_ended(
    tenant: TenantId,
    call: &CallSid,
    reason: CallEndReason,
    started_at: Timestamp,
    now: Timestamp,
) -> Envelope {
    let conversation = ConversationId::of_call(tenant, call);
    Envelope::new(
        EventId::from_uuid(conversation.derive("call-ended")),
        tenant,
        conversation,
        call.channel(),
        now,
        CallEnded { call: call.clone(), reason, started_at, heard: None },
    )
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Connect,
    HangUp,
    /// To whom the call is being handed.
    Dial(String),
    FallBack,
}

/// What a call does that asks us what to do: at first, or when its socket is gone (DESIGN 5).
fn next_step(state: &CallState, attempt: u32) -> Step {
    match (state, attempt) {
        (CallState::Ended, _) => Step::HangUp,
        (CallState::Transferring(to), _) => Step::Dial(to.clone()),
        (_, attempt) if attempt > MAX_RESUMES => Step::FallBack,
        (CallState::New | CallState::Live | CallState::Unknown, _) => Step::Connect,
    }
}

/// A call that comes back again and again goes to the fallback number; without one it ends with an apology.
fn fall_back(settings: &TenantSettings) -> String {
    match &settings.fallback_number {
        Some(number) => Document::default().dial_alone(number),
        None => Document::default().say(settings, &settings.apology).hang_up(),
    }
    .response()
}

/// Who calls; a caller may hide the number.
fn caller_of(form: &Form) -> &str {
    let person = form.optional(if is_outbound(form) { "To" } else { "From" });
    Some(person).filter(|person| !person.is_empty()).unwrap_or("anonymous")
}

fn attempt_of(query: &str) -> u32 {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("attempt="))
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// Host (with port) and path prefix of a base URL.
fn split_base(base_url: &str) -> (&str, &str) {
    let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

/// Whether Twilio sent this request (PROTOCOLS 1.2).
///
/// # Errors
/// When it is unsigned, or signed by someone else.
pub(super) fn check_signature(
    settings: &TwilioSettings,
    request: &VendorRequest,
) -> Result<(), Forgery> {
    let signature = request.header("x-twilio-signature");
    if signature.is_empty() {
        return Err(Forgery::Missing);
    }
    let secrets = settings.auth_token.accepted();
    let keys = key_bytes(&secrets);
    let url = request.public_url(&settings.public_base_url);
    let form = Form::read(request);
    let pairs = form.as_ref().map_or_else(|_| Form::lenient(&request.body), |form| form.0.clone());
    let valid = signatures::twilio_form(&keys, &url, &signatures::form_params(pairs), signature)
        || signatures::twilio_json(&keys, &url, &request.body, signature)
        // Nobody agrees on the parameters of a body that is no form. It is answered 400 in any case, so a
        // signature over the URL alone gives nothing away.
        || (form.is_err() && signatures::twilio_form(&keys, &url, &FormParams::new(), signature));
    if valid { Ok(()) } else { Err(Forgery::Wrong) }
}

/// A form as Twilio posts it.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn read(request: &VendorRequest) -> Result<Self, Malformed> {
        let content_type = request.header("content-type").split(';').next().unwrap_or("").trim();
        if !content_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Malformed::new(
                "Content-Type",
                "must be application/x-www-form-urlencoded",
            ));
        }
        if let Some(at) = first_broken_escape(&request.body) {
            return Err(Malformed::new(
                "body",
                format_args!("broken percent-encoding at byte {at}"),
            ));
        }
        let pairs = Self::lenient(&request.body);
        // The decoder puts this character where the bytes were no UTF-8; nobody types it.
        if pairs.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}'))
        {
            return Err(Malformed::new("body", "is not UTF-8"));
        }
        Ok(Self(pairs))
    }

    fn lenient(body: &[u8]) -> Vec<(String, String)> {
        serde_urlencoded::from_bytes(body).unwrap_or_default()
    }

    pub(super) fn optional(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub(super) fn required(&self, name: &'static str) -> Result<&str, Malformed> {
        match self.optional(name) {
            "" => Err(Malformed::new(name, "is missing")),
            value => Ok(value),
        }
    }
}

fn first_broken_escape(body: &[u8]) -> Option<usize> {
    let hex = |at: usize| body.get(at).is_some_and(u8::is_ascii_hexdigit);
    (0..body.len()).find(|&at| body[at] == b'%' && !(hex(at + 1) && hex(at + 2)))
}
