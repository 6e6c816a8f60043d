//! How the API changes things: once, however often it is asked under one `Idempotency-Key`, with a line in the audit log
//! in the same transaction (E5, F1).

use actix_web::{
    HttpRequest,
    http::{StatusCode, header::HeaderName},
    web,
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{
    TenantTx, audit,
    idempotency::{self, Write, WriteKey},
};
use uuid::Uuid;

use super::{
    answer::{Answer, ApiError, Reply},
    caller::Caller,
    read::{self, Body},
};

const LONGEST_KEY: usize = 64;
/// How a change outside stands in the audit log before anything of it leaves.
const ATTEMPTED: &str = "attempted";

/// What a change did, and how it is answered.
pub struct Done<T> {
    /// HTTP status.
    pub status: StatusCode,
    /// The answer.
    pub data: T,
    /// What was done, such as `appointment.cancel`.
    pub action: &'static str,
    /// To what.
    pub subject: String,
    /// What else is worth knowing; nothing about a person.
    pub detail: Value,
    /// A field of the answer that is shown this once and not kept for a repeat.
    pub shown_once: Option<&'static str>,
}

impl<T> Done<T> {
    /// A change answered 200.
    pub fn ok(data: T, action: &'static str, subject: impl ToString) -> Self {
        Self {
            status: StatusCode::OK,
            data,
            action,
            subject: subject.to_string(),
            detail: Value::Object(serde_json::Map::new()),
            shown_once: None,
        }
    }

    /// Something new, answered 201.
    pub fn created(data: T, action: &'static str, subject: impl ToString) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(data, action, subject) }
    }

    /// Something that was begun, answered 202.
    pub fn accepted(data: T, action: &'static str, subject: impl ToString) -> Self {
        Self { status: StatusCode::ACCEPTED, ..Self::ok(data, action, subject) }
    }

    /// Notes `detail` in the audit log.
    #[must_use]
    pub fn noting(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }
}

/// A request that changes something.
pub struct Change<'a> {
    caller: &'a Caller,
    key: Option<String>,
    fingerprint: Vec<u8>,
    /// The same for every repeat: what the change causes outside takes its ids from it.
    pub id: Uuid,
}

impl<'a> Change<'a> {
    /// Reads the request whole: what every change begins with.
    ///
    /// # Errors
    /// Those of [`read::body`] and [`Change::of`].
    pub async fn read(
        caller: &'a Caller,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<(Self, Body), ApiError> {
        let body = read::body(request, payload).await?;
        Ok((Self::of(caller, request, &body)?, body))
    }

    /// The change that `request` with `body` asks for.
    ///
    /// # Errors
    /// When its `Idempotency-Key` is none.
    pub fn of(caller: &'a Caller, request: &HttpRequest, body: &Body) -> Result<Self, ApiError> {
        let key = key_of(request)?;
        let mut hash = Sha256::new();
        for part in [
            request.method().as_str().as_bytes(),
            request.uri().path().as_bytes(),
            request.query_string().as_bytes(),
            body.bytes(),
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let id = match &key {
            Some(key) => caller.tenant.derive(&format!("api:{}:{key}", caller.actor)),
            None => Uuid::new_v4(),
        };
        Ok(Self { caller, key, fingerprint: hash.finalize().to_vec(), id })
    }

    fn key(&self) -> Option<WriteKey<'_>> {
        let key = self.key.as_deref()?;
        Some(WriteKey { actor: &self.caller.actor, key, fingerprint: &self.fingerprint })
    }

    /// Makes a change inside the database: all of it stands, with its audit line and its answer, or nothing does.
    ///
    /// # Errors
    /// Those of `effect`, after which nothing has happened; those of the key.
    pub async fn make<T: Serialize>(
        &self,
        effect: impl AsyncFnOnce(&TenantTx) -> Result<Done<T>, ApiError>,
    ) -> Answer<Value> {
        let tx = self.caller.begin().await?;
        if let Some(earlier) = self.begin(&tx).await? {
            return Ok(earlier);
        }
        let done = effect(&tx).await?;
        self.finish(tx, done).await
    }

    /// As [`Change::make`], for what may not go any more because somebody else was first. `step` says whether it went, `shown` is
    /// how the thing stands after it, or `None` where there is none, and `refused` what is told where it did not go.
    ///
    /// # Errors
    /// As [`Change::make`].
    pub async fn step<R, T: Serialize + From<R>>(
        &self,
        (action, what, subject): (&'static str, &str, Uuid),
        step: impl AsyncFnOnce(&TenantTx) -> Result<bool, ApiError>,
        shown: impl AsyncFnOnce(&TenantTx) -> Result<Option<R>, ApiError>,
        refused: (&str, &str),
    ) -> Answer<Value> {
        self.make(async |tx| {
            let went = step(tx).await?;
            let found = shown(tx).await?.ok_or_else(|| ApiError::not_found(what))?;
            if !went {
                return Err(ApiError::conflict(refused.0, refused.1));
            }
            Ok(Done::ok(T::from(found), action, subject))
        })
        .await
    }

    /// Makes a change outside, at most once: that it begins is on record before, in the audit log too, and so is how it ended.
    /// One that was begun and never finished is not repeated but told as such. `what` is the action and what it is done to, as far
    /// as that is known before.
    ///
    /// # Errors
    /// Those of `effect`, which says of each whether it surely had no effect; those of the key.
    pub async fn make_outside<T: Serialize>(
        &self,
        what: (&'static str, &str),
        effect: impl AsyncFnOnce() -> Result<Done<T>, OutsideFault>,
    ) -> Answer<Value> {
        let tx = self.caller.begin().await?;
        if let Some(earlier) = self.begin(&tx).await? {
            return Ok(earlier);
        }
        self.note(&tx, what, ATTEMPTED).await?;
        tx.commit().await?;
        match effect().await {
            Ok(done) => self.finish(self.caller.begin().await?, done).await,
            Err(OutsideFault::InDoubt(error)) => {
                self.note_doubt(what).await;
                Err(error)
            }
            Err(OutsideFault::Nothing(error)) => {
                let tx = self.caller.begin().await?;
                if let Some(key) = self.key() {
                    idempotency::forget(&tx, key).await?;
                }
                self.note(&tx, what, "no_effect").await?;
                tx.commit().await?;
                Err(error)
            }
        }
    }

    /// Makes a change that leaves us under an id of its own, so that telling it twice is telling it once. That it begins is in the
    /// audit log before; asked for again after it broke off, it is told again.
    ///
    /// # Errors
    /// Those of `prepare`, after which nothing has happened; those of `tell`, after which it may have been told; those of the key.
    pub async fn make_at_least_once<P, T: Serialize>(
        &self,
        what: (&'static str, &str),
        prepare: impl AsyncFnOnce(&TenantTx) -> Result<P, ApiError>,
        tell: impl AsyncFnOnce(P) -> Result<Done<T>, ApiError>,
    ) -> Answer<Value> {
        let tx = self.caller.begin().await?;
        if let Some(earlier) = self.begin(&tx).await? {
            return Ok(earlier);
        }
        let prepared = prepare(&tx).await?;
        // The key is free until it was told: who asks again must not hear that nobody knows.
        if let Some(key) = self.key() {
            idempotency::forget(&tx, key).await?;
        }
        self.note(&tx, what, ATTEMPTED).await?;
        tx.commit().await?;
        let done = match tell(prepared).await {
            Ok(done) => done,
            Err(error) => {
                self.note_doubt(what).await;
                return Err(error);
            }
        };
        let tx = self.caller.begin().await?;
        match self.begin(&tx).await? {
            Some(earlier) => Ok(earlier),
            None => self.finish(tx, done).await,
        }
    }

    /// Notes how a change that leaves the database stands.
    async fn note(
        &self,
        tx: &TenantTx,
        (action, subject): (&str, &str),
        outcome: &str,
    ) -> Result<(), ApiError> {
        let detail = json!({ "outcome": outcome, "change": self.id });
        audit::note(tx, &self.caller.actor, action, subject, &detail).await?;
        Ok(())
    }

    /// Notes that nobody knows how a change ended. Where even that cannot be noted, an attempt without an end says the same.
    async fn note_doubt(&self, what: (&str, &str)) {
        let noted = async {
            let tx = self.caller.begin().await?;
            self.note(&tx, what, "in_doubt").await?;
            Ok::<(), ApiError>(tx.commit().await?)
        };
        drop(noted.await);
    }

    async fn begin(&self, tx: &TenantTx) -> Result<Option<Reply<Value>>, ApiError> {
        let Some(key) = self.key() else { return Ok(None) };
        match idempotency::begin(tx, key).await? {
            Write::New => Ok(None),
            Write::Answered { status, answer } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
                let data = serde_json::from_str(&answer).unwrap_or_default();
                Ok(Some(Reply::ok(data).with_status(status)))
            }
            Write::Unfinished => Err(ApiError::conflict(
                "unfinished",
                "the same was begun and nobody knows how it ended; look before you ask again under another key",
            )),
            Write::Other => Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "key_reused",
                "this Idempotency-Key was used for another request",
            )
            .of("Idempotency-Key")),
        }
    }

    async fn finish<T: Serialize>(&self, tx: TenantTx, done: Done<T>) -> Answer<Value> {
        let Ok(data) = serde_json::to_value(&done.data) else {
            tracing::error!(kind = "answer_not_written", "an answer of the API is no JSON");
            return Err(ApiError::internal());
        };
        audit::note(&tx, &self.caller.actor, done.action, &done.subject, &done.detail).await?;
        if let Some(key) = self.key() {
            let mut kept = data.clone();
            if let Some(field) = done.shown_once {
                kept[field] = Value::Null;
            }
            idempotency::finish(&tx, key, done.status.as_u16(), &kept.to_string()).await?;
        }
        tx.commit().await?;
        metrics::counter!("edge_api_changes_total", "action" => done.action).increment(1);
        Ok(Reply::ok(data).with_status(done.status))
    }
}

/// Why a change outside did not succeed.
pub enum OutsideFault {
    /// It surely had no effect.
    Nothing(ApiError),
    /// It may have.
    InDoubt(ApiError),
}

fn key_of(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let name = HeaderName::from_static("idempotency-key");
    let Some(key) = request.headers().get(name) else { return Ok(None) };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    match key.to_str() {
        Ok(key) if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(plain) => {
            Ok(Some(key.to_owned()))
        }
        _ => Err(ApiError::parameter(
            "Idempotency-Key",
            "must have 1 to 64 characters of letters, digits, `.`, `_`, `:`, `-`",
        )),
    }
}
