use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use domain::breaker::{Breaker, Permit, Verdict};
use futures::{StreamExt as _, stream};

use crate::llm::{Delta, Deltas, Filled, Form, LanguageModel, ModelError, Price, Request};

/// A model behind a breaker: one that failed lately is not asked, so that the next in the list answers without the
/// caller's waiting for this one first. One that refuses a file is asked once more without it.
pub struct Guarded {
    model: Arc<dyn LanguageModel>,
    breaker: Arc<Mutex<Breaker>>,
    /// Of forms: a model may be too slow for them and still answer in time.
    forms: Arc<Mutex<Breaker>>,
}

impl Guarded {
    /// The model behind breakers of its own.
    pub fn new(model: Arc<dyn LanguageModel>) -> Self {
        Self { model, breaker: Arc::default(), forms: Arc::default() }
    }
}

#[async_trait]
impl LanguageModel for Guarded {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn model(&self) -> &str {
        self.model.model()
    }

    fn price(&self) -> Price {
        self.model.price()
    }

    fn speaks(&self) -> bool {
        self.model.speaks()
    }

    async fn reply(&self, request: &Request) -> Result<Deltas, ModelError> {
        let mut asking =
            Asking::begin(&self.breaker, self.name(), "chat").ok_or(ModelError::Resting)?;
        let mut begun = self.model.reply(request).await;
        if let Err(error) = &begun
            && let Some(request) = request.without_file(error)
        {
            tracing::info!(model = self.name(), %error, "asked again without the file");
            begun = self.model.reply(&request).await;
        }
        let deltas = match begun {
            Ok(deltas) => deltas,
            Err(error) => {
                asking.failed(&error);
                return Err(error);
            }
        };
        let watched = stream::unfold((deltas, asking), |(mut deltas, mut asking)| async move {
            let item = deltas.next().await;
            match &item {
                Some(Ok(Delta::Text(_) | Delta::Spoken(_) | Delta::Asked(_))) | None => {
                    asking.settle(Verdict::Works, "");
                }
                Some(Ok(Delta::Usage(_))) => {}
                Some(Err(error)) => asking.failed(error),
            }
            Some((item?, (deltas, asking)))
        });
        Ok(watched.boxed())
    }

    async fn fill(&self, form: &Form, within: Duration) -> Result<Filled, ModelError> {
        let mut asking =
            Asking::begin(&self.forms, self.name(), "form").ok_or(ModelError::Resting)?;
        let filled = self.model.fill(form, within).await;
        match &filled {
            Ok(_) => asking.settle(Verdict::Works, ""),
            Err(error) => asking.failed(error),
        }
        filled
    }
}

/// A request on its way. Dropped before anything came of it, nothing is learned.
struct Asking {
    breaker: Arc<Mutex<Breaker>>,
    permit: Option<Permit>,
    vendor: String,
    request: &'static str,
    begun: Instant,
}

impl Asking {
    fn begin(breaker: &Arc<Mutex<Breaker>>, vendor: &str, request: &'static str) -> Option<Self> {
        let begun = Instant::now();
        let permit = breaker.lock().unwrap_or_else(PoisonError::into_inner).ask(begun)?;
        let (breaker, vendor) = (breaker.clone(), vendor.to_owned());
        Some(Self { breaker, permit: Some(permit), vendor, request, begun })
    }

    fn failed(&mut self, error: &ModelError) {
        self.settle(verdict(error), error_type(error));
    }

    /// The first word counts: a stream that breaks off later began.
    fn settle(&mut self, verdict: Verdict, error_type: &'static str) {
        let Some(permit) = self.permit.take() else { return };
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.settle(permit, verdict, Instant::now());
        let is_closed = breaker.is_closed();
        drop(breaker);
        metrics::gauge!("vendor_breaker_open",
            "vendor" => self.vendor.clone(), "request" => self.request)
        .set(if is_closed { 0.0 } else { 1.0 });
        // Given up by whoever asked, it tells nothing of the vendor.
        if error_type != ABANDONED {
            metrics::histogram!("vendor_request_duration_seconds",
                "vendor" => self.vendor.clone(), "request" => self.request, "error_type" => error_type)
            .record(self.begun.elapsed());
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.settle(Verdict::Unknown, ABANDONED);
    }
}

const ABANDONED: &str = "abandoned";

/// The same kinds as of vendors of speech.
fn error_type(error: &ModelError) -> &'static str {
    match error {
        ModelError::Refused { status: 401 | 403, .. } => "denied",
        ModelError::Refused { status: 429, .. } => "busy",
        ModelError::Refused { status: 400..500, .. } => "refused",
        ModelError::Refused { .. } | ModelError::Connection(_) | ModelError::BrokeOff(_) => {
            "unavailable"
        }
        ModelError::TimedOut(_) => "timeout",
        ModelError::Unreadable(_) => "malformed",
        ModelError::NoWords | ModelError::Resting => ABANDONED,
    }
}

fn verdict(error: &ModelError) -> Verdict {
    match error {
        // The credentials ended before their time.
        ModelError::Refused { status: 403, code } if code.starts_with("ExpiredToken") => {
            Verdict::Fails
        }
        ModelError::Refused { status: 401 | 403 | 404, .. } => Verdict::FailsForGood,
        ModelError::Refused { status: 429, code } if code == "insufficient_quota" => {
            Verdict::FailsForGood
        }
        // Of AWS a 400 as well.
        ModelError::Refused { status: 400, code } if code == "ServiceQuotaExceededException" => {
            Verdict::Fails
        }
        // It refuses this request, and may take the next.
        ModelError::Refused { status: 400 | 413 | 422, .. } => Verdict::Works,
        ModelError::NoWords | ModelError::Resting => Verdict::Unknown,
        ModelError::Refused { .. }
        | ModelError::Connection(_)
        | ModelError::TimedOut(_)
        | ModelError::BrokeOff(_)
        | ModelError::Unreadable(_) => Verdict::Fails,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use dialogue_core::{FileBytes, Prompt};

    use super::*;

    #[derive(Default)]
    struct Broken(AtomicU32);

    #[async_trait]
    impl LanguageModel for Broken {
        fn name(&self) -> &str {
            "broken"
        }

        fn model(&self) -> &str {
            "broken"
        }

        async fn reply(&self, _: &Request) -> Result<Deltas, ModelError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let broken = Err(ModelError::BrokeOff("server_error".into()));
            Ok(stream::iter([broken]).boxed())
        }
    }

    #[tokio::test]
    async fn a_model_that_failed_three_times_in_a_row_is_left_alone() {
        let broken = Arc::new(Broken::default());
        let guarded = Guarded::new(broken.clone());
        let request = Request {
            prompt: None,
            said: Vec::new(),
            scripted: String::new(),
            tools: Vec::new(),
            exchanges: Vec::new(),
            hearing: None,
        };
        for _ in 0..3 {
            let mut deltas = guarded.reply(&request).await.unwrap();
            assert!(deltas.next().await.unwrap().is_err());
        }
        let rests = guarded.reply(&request).await.err().unwrap();
        assert!(matches!(rests, ModelError::Resting), "{rests}");
        assert_eq!(broken.0.load(Ordering::Relaxed), 3);
    }

    /// Refuses whatever has a file.
    struct Blind;

    #[async_trait]
    impl LanguageModel for Blind {
        fn name(&self) -> &str {
            "blind"
        }

        fn model(&self) -> &str {
            "blind"
        }

        async fn reply(&self, request: &Request) -> Result<Deltas, ModelError> {
            match request.prompt.as_ref().is_some_and(|prompt| prompt.file.is_some()) {
                true => Err(ModelError::Refused { status: 400, code: "invalid_request".into() }),
                false => Ok(stream::iter([Ok(Delta::Text("I see.".into()))]).boxed()),
            }
        }
    }

    #[tokio::test]
    async fn a_model_that_refuses_a_file_answers_the_words() {
        let file = FileBytes { mime_type: "image/png".into(), bytes: b"bytes"[..].into() };
        let system = "Be brief.".into();
        let request = Request {
            prompt: Some(Prompt { system, messages: Vec::new(), file: Some(file) }),
            said: Vec::new(),
            scripted: String::new(),
            tools: Vec::new(),
            exchanges: Vec::new(),
            hearing: None,
        };
        let mut deltas = Guarded::new(Arc::new(Blind)).reply(&request).await.unwrap();
        assert_eq!(deltas.next().await.unwrap().unwrap(), Delta::Text("I see.".into()));
    }
}
