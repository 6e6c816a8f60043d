//! Twilio's REST API for calls and messages (PROTOCOLS 1.6), and the callbacks that follow (PROTOCOLS 1.3).

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, http::header, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    World,
    caller::{Account, CallOptions, CallScript},
    platform,
    twilio::{
        call::{self, Call, Command},
        leg::Next,
        sid,
        webhook::{self, Form},
    },
};

/// The version in every path and form.
const API_VERSION: &str = "2010-04-01";
/// The longest `Twiml` parameter, characters.
const TWIML_CHARS_MAX: usize = 4000;
/// The longest message, characters.
const BODY_CHARS_MAX: usize = 1600;
/// How long a text message takes to be sent, and then to be delivered.
const MESSAGE_STEP: Duration = Duration::from_millis(20);

/// Mounts the paths.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::scope("/2010-04-01/Accounts/{account}")
            .route("/Calls.json", web::post().to(create_call))
            .route("/Calls/{sid}.json", web::get().to(show_call))
            .route("/Calls/{sid}.json", web::post().to(update_call))
            .route("/Messages.json", web::post().to(create_message))
            .route("/Messages/{sid}.json", web::get().to(show_message)),
    );
}

/// A text message of the platform's.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct TextMessage {
    /// `SM` and 32 hex digits.
    pub sid: String,
    /// Sender, or the messaging service.
    pub from: String,
    /// Recipient.
    pub to: String,
    /// Text.
    pub body: String,
    /// `queued`, `sent`, `delivered`.
    pub status: String,
    /// When it was taken, Unix milliseconds.
    pub unix_ms: i64,
}

/// An error as Twilio words it.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
struct RestError {
    status: StatusCode,
    code: u32,
    message: String,
}

impl actix_web::ResponseError for RestError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let code = self.code;
        HttpResponse::build(self.status).json(json!({
            "code": code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
            "status": self.status.as_u16(),
        }))
    }
}

fn error(status: StatusCode, code: u32, message: &str) -> RestError {
    RestError { status, code, message: message.to_owned() }
}

fn bad(code: u32, message: &str) -> RestError {
    error(StatusCode::BAD_REQUEST, code, message)
}

/// Basic authentication with the account's SID and token, and the account in the path.
fn authorise(world: &World, request: &HttpRequest) -> Result<(), RestError> {
    let settings = &world.config.twilio;
    let expected =
        STANDARD.encode(format!("{}:{}", settings.account_sid, settings.auth_token.expose()));
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "));
    if given != Some(expected.as_str()) {
        return Err(error(StatusCode::UNAUTHORIZED, 20003, "Authenticate"));
    }
    if request.match_info().get("account") != Some(settings.account_sid.as_str()) {
        return Err(not_found());
    }
    Ok(())
}

fn not_found() -> RestError {
    error(StatusCode::NOT_FOUND, 20404, "The requested resource was not found")
}

/// The fields of a form, each once.
struct Fields(Form);

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, value)| known == name && !value.is_empty());
        found.next().map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number under this name.
    fn number(&self, name: &str, code: u32) -> Result<String, RestError> {
        let value = self.get(name).unwrap_or_default();
        let digits = value.strip_prefix("whatsapp:").unwrap_or(value).strip_prefix('+');
        let valid = digits.is_some_and(|digits| {
            (7..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
        });
        if valid {
            Ok(value.to_owned())
        } else {
            Err(bad(code, &format!("The '{name}' number is not a valid phone number.")))
        }
    }

    /// Where instructions come from: `Url` wins over `Twiml`.
    fn instructions(&self) -> Result<Option<Next>, RestError> {
        let get = self.get("Method").is_some_and(|method| method.eq_ignore_ascii_case("get"));
        match (self.get("Url"), self.get("Twiml")) {
            (Some(url), _) if url::Url::parse(url).is_err() => {
                Err(bad(21205, "Url is not a valid URL"))
            }
            (Some(url), _) => Ok(Some(Next::Ask { url: url.to_owned(), get, form: Form::new() })),
            (None, Some(twiml)) if twiml.chars().count() > TWIML_CHARS_MAX => {
                Err(bad(21218, "Twiml is longer than 4000 characters"))
            }
            (None, Some(twiml)) => Ok(Some(Next::Document(twiml.to_owned()))),
            (None, None) => Ok(None),
        }
    }
}

async fn create_call(
    world: web::Data<World>,
    request: HttpRequest,
    form: web::Form<Form>,
) -> Result<HttpResponse, RestError> {
    authorise(&world, &request)?;
    let fields = Fields(form.into_inner());
    let to = fields.number("To", 21211)?;
    let from = fields.number("From", 21212)?;
    let Some(first) = fields.instructions()? else {
        return Err(bad(21205, "Url parameter is required."));
    };
    let callbacks = Callbacks {
        url: fields.get("StatusCallback").map(str::to_owned),
        events: match fields.get("StatusCallbackEvent") {
            Some(_) => fields.all("StatusCallbackEvent").map(str::to_owned).collect(),
            None => vec!["completed".to_owned()],
        },
        ..Callbacks::default()
    };
    // Whoever is called picks up and listens.
    let person = CallScript { from, to, utterances: Vec::new(), options: CallOptions::default() };
    match call::start(&world, person, true, first, callbacks).await {
        Ok(call) => {
            Ok(HttpResponse::Created()
                .json(world.twilio.call(call.sid()).map(|call| resource(&call))))
        }
        Err(fault) => Err(error(StatusCode::INTERNAL_SERVER_ERROR, 20500, &format!("{fault:#}"))),
    }
}

async fn show_call(
    world: web::Data<World>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, RestError> {
    authorise(&world, &request)?;
    let call = world.twilio.call(&path.1).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(resource(&call)))
}

async fn update_call(
    world: web::Data<World>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    form: web::Form<Form>,
) -> Result<HttpResponse, RestError> {
    authorise(&world, &request)?;
    let call = world.twilio.call(&path.1).ok_or_else(not_found)?;
    let fields = Fields(form.into_inner());
    let command = match (fields.get("Status"), fields.instructions()?) {
        (Some("completed" | "canceled"), _) => Command::End,
        (Some(_), _) => return Err(bad(21221, "Status is neither canceled nor completed")),
        (None, Some(next)) => Command::Update(next),
        (None, None) => return Err(bad(20001, "Nothing to update")),
    };
    let over = call.state().report.status.is_final();
    if over || !call.command(command) {
        return Err(bad(21220, "Call is not in-progress. Cannot redirect."));
    }
    Ok(HttpResponse::Ok().json(resource(&call)))
}

fn resource(call: &Call) -> Value {
    let state = call.state();
    let report = &state.report;
    let date = |unix_ms: Option<i64>| unix_ms.and_then(rfc_2822);
    let ended = report
        .answered_unix_ms
        .zip(report.duration_ms)
        .map(|(answered, duration)| answered + duration as i64);
    json!({
        "sid": report.sid,
        "account_sid": call.account.sid,
        "parent_call_sid": null,
        "to": report.to,
        "from": report.from,
        "status": report.status,
        "direction": if report.outbound { "outbound-api" } else { "inbound" },
        "start_time": date(report.answered_unix_ms),
        "end_time": date(ended),
        "duration": report.duration_ms.map(|ms| (ms / 1000).to_string()),
        "price": null,
        "price_unit": "USD",
        "answered_by": null,
        "caller_name": null,
        "forwarded_from": null,
        "queue_time": "0",
        "uri": format!("/{API_VERSION}/Accounts/{}/Calls/{}.json", call.account.sid, report.sid),
        "subresource_uris": {},
    })
}

async fn create_message(
    world: web::Data<World>,
    request: HttpRequest,
    form: web::Form<Form>,
) -> Result<HttpResponse, RestError> {
    authorise(&world, &request)?;
    let fields = Fields(form.into_inner());
    let to = fields.number("To", 21211)?;
    let service = fields.get("MessagingServiceSid").map(str::to_owned);
    let from = match &service {
        Some(service) => service.clone(),
        None => fields.number("From", 21212)?,
    };
    let body = fields.get("Body").unwrap_or_default().to_owned();
    if body.is_empty() && fields.get("MediaUrl").is_none() && fields.get("ContentSid").is_none() {
        return Err(bad(21602, "Message body is required."));
    }
    if body.chars().count() > BODY_CHARS_MAX {
        return Err(bad(21617, "The concatenated message body exceeds the 1600 character limit."));
    }
    let message = TextMessage {
        sid: sid("SM"),
        from,
        to,
        body,
        status: if service.is_some() { "accepted" } else { "queued" }.to_owned(),
        unix_ms: Timestamp::now().as_millisecond(),
    };
    world.twilio.messages().push(message.clone());
    let callback = fields.get("StatusCallback").map(str::to_owned);
    platform::threads().spawn(deliver(world.clone(), message.clone(), callback));
    Ok(HttpResponse::Created().json(message_resource(&world, &message)))
}

async fn show_message(
    world: web::Data<World>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, RestError> {
    authorise(&world, &request)?;
    let found = world.twilio.messages().iter().find(|message| message.sid == path.1).cloned();
    let message = found.ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(message_resource(&world, &message)))
}

fn message_resource(world: &World, message: &TextMessage) -> Value {
    let account = &world.config.twilio.account_sid;
    let service = message.from.starts_with("MG");
    json!({
        "sid": message.sid,
        "account_sid": account,
        "messaging_service_sid": service.then_some(&message.from),
        "from": (!service).then_some(&message.from),
        "to": message.to,
        "body": message.body,
        "status": message.status,
        "direction": "outbound-api",
        "num_segments": "1",
        "num_media": "0",
        "price": null,
        "error_code": null,
        "error_message": null,
        "api_version": API_VERSION,
        "date_created": rfc_2822(message.unix_ms),
        "uri": format!("/{API_VERSION}/Accounts/{account}/Messages/{}.json", message.sid),
    })
}

async fn deliver(world: web::Data<World>, message: TextMessage, callback: Option<String>) {
    let account = own_account(&world);
    for status in ["sent", "delivered"] {
        tokio::time::sleep(MESSAGE_STEP).await;
        if let Some(kept) = world.twilio.messages().iter_mut().find(|kept| kept.sid == message.sid)
        {
            status.clone_into(&mut kept.status);
        }
        let Some(url) = &callback else { continue };
        let form = [
            ("MessageSid", message.sid.as_str()),
            ("SmsSid", &message.sid),
            ("MessageStatus", status),
            ("SmsStatus", status),
            ("To", &message.to),
            ("From", &message.from),
            ("AccountSid", &account.sid),
            ("ApiVersion", API_VERSION),
        ];
        if let Err(fault) = webhook::send(&world, &account, url, false, owned(&form)).await {
            tracing::info!(
                message = message.sid,
                fault = format!("{fault:#}"),
                "status callback failed"
            );
        }
    }
}

fn own_account(world: &World) -> Account {
    let settings = &world.config.twilio;
    Account {
        sid: settings.account_sid.clone(),
        auth_token: settings.auth_token.expose().to_owned(),
    }
}

/// Which of a call's steps are reported, and where.
#[derive(Debug, Default)]
pub struct Callbacks {
    url: Option<String>,
    events: Vec<String>,
    sequence: u64,
    sending: JoinSet<()>,
}

impl Callbacks {
    /// As a number is configured: its calls' ends.
    pub fn of_number(url: String) -> Self {
        Self { url: Some(url), events: vec!["completed".to_owned()], ..Self::default() }
    }

    /// Reports a step, when it is asked for. The call does not wait.
    pub(super) fn report(&mut self, world: &web::Data<World>, call: &Arc<Call>, event: &str) {
        let Some(url) = self.url.clone().filter(|_| self.events.iter().any(|known| known == event))
        else {
            return;
        };
        let mut form = call_form(call);
        form.push(("CallbackSource".to_owned(), "call-progress-events".to_owned()));
        form.push(("SequenceNumber".to_owned(), self.sequence.to_string()));
        let now_ms = Timestamp::now().as_millisecond();
        form.push(("Timestamp".to_owned(), rfc_2822(now_ms).unwrap_or_default()));
        self.sequence += 1;
        {
            let state = call.state();
            if state.report.status.is_final() {
                let seconds = state.report.duration_ms.unwrap_or(0).div_ceil(1000);
                form.push(("CallDuration".to_owned(), seconds.to_string()));
                form.push(("Duration".to_owned(), seconds.div_ceil(60).to_string()));
            }
        }
        let (world, call) = (world.clone(), call.clone());
        self.sending.spawn(async move {
            if let Err(fault) = webhook::send(&world, &call.account, &url, false, form).await {
                tracing::info!(
                    call = call.sid,
                    fault = format!("{fault:#}"),
                    "status callback failed"
                );
            }
        });
    }

    /// Waits until every callback was answered or given up.
    pub(super) async fn settled(&mut self) {
        while self.sending.join_next().await.is_some() {}
    }
}

/// The fields of every request about a call (PROTOCOLS 1.1).
pub(super) fn call_form(call: &Call) -> Form {
    let state = call.state();
    let report = &state.report;
    let mut form = owned(&[
        ("AccountSid", &call.account.sid),
        ("ApiVersion", API_VERSION),
        ("CallSid", &report.sid),
        ("CallStatus", report.status.as_str()),
        ("CallToken", "%7B%22parentCallInfoToken%22%3A%22simulated%22%7D"),
        ("Called", &report.to),
        ("Caller", &report.from),
        ("Direction", if report.outbound { "outbound-api" } else { "inbound" }),
        ("From", &report.from),
        ("StirVerstat", "TN-Validation-Passed-A"),
        ("To", &report.to),
    ]);
    for party in ["Called", "Caller", "From", "To"] {
        for (part, value) in [("City", ""), ("Country", "US"), ("State", ""), ("Zip", "")] {
            form.push((format!("{party}{part}"), value.to_owned()));
        }
    }
    form
}

fn owned(fields: &[(&str, &str)]) -> Form {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn rfc_2822(unix_ms: i64) -> Option<String> {
    let time = Timestamp::from_millisecond(unix_ms).ok()?;
    Some(time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string())
}
