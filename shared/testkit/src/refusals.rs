use std::{sync::Arc, time::Duration};

use aws_config::SdkConfig;
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient as _, HttpConnector, HttpConnectorFuture, SharedHttpConnector,
            http_client_fn,
        },
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use tokio::{sync::watch, time::timeout};

/// What S3 says to whom a policy gives no leave.
const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

/// Far more than a client takes to ask again: what is caught is a hang.
const HANG: Duration = Duration::from_secs(30);

/// Refuses, while told to, what is asked of a bucket, as S3 does where a policy was changed: with 403, which no client tries
/// again by itself.
#[derive(Clone, Debug)]
pub struct Refusals {
    bucket: Arc<str>,
    state: watch::Sender<State>,
}

#[derive(Default, Debug)]
struct State {
    /// Requests of this method are refused.
    method: Option<&'static str>,
    refused: u32,
}

impl Refusals {
    /// `aws` as it is for whoever may be refused, and what refuses.
    ///
    /// # Panics
    /// Where `aws` has no HTTP client of its own.
    pub fn of(bucket: &str, aws: &SdkConfig) -> (SdkConfig, Self) {
        let refusals = Self { bucket: bucket.into(), state: watch::Sender::default() };
        let (client, judge) = (aws.http_client().expect("an HTTP client"), refusals.clone());
        let client = http_client_fn(move |settings, components| {
            let inner = client.http_connector(settings, components);
            SharedHttpConnector::new(Refusing { inner, refusals: judge.clone() })
        });
        (aws.to_builder().http_client(client).build(), refusals)
    }

    /// Refuses every request of `method` from now on.
    pub fn begin(&self, method: &'static str) {
        self.state.send_replace(State { method: Some(method), refused: 0 });
    }

    /// Refuses nothing any more.
    pub fn end(&self) {
        self.state.send_modify(|state| state.method = None);
    }

    /// Waits until so many requests have been refused since it began.
    ///
    /// # Panics
    /// Where they do not come within 30 s.
    pub async fn seen(&self, times: u32) {
        let mut state = self.state.subscribe();
        let seen = timeout(HANG, state.wait_for(|state| state.refused >= times)).await;
        assert!(seen.is_ok(), "nobody asked {times} times");
    }

    fn takes(&self, request: &HttpRequest) -> bool {
        // Behind scheme and host.
        let is_of_bucket = request.uri().split(['/', '?']).nth(3) == Some(&*self.bucket);
        is_of_bucket
            && self.state.send_if_modified(|state| {
                let is_refused = state.method == Some(request.method());
                state.refused += u32::from(is_refused);
                is_refused
            })
    }
}

#[derive(Debug)]
struct Refusing {
    inner: SharedHttpConnector,
    refusals: Refusals,
}

impl HttpConnector for Refusing {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !self.refusals.takes(&request) {
            return self.inner.call(request);
        }
        let status = StatusCode::try_from(403).expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(DENIED))))
    }
}
