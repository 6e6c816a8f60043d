//! What we ask of the Graph API (PROTOCOLS 2.3, 2.4).

use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde_json::Value;

use super::{
    WhatsApp, outgoing,
    payload::{GraphError, GraphFailure, Sent},
};
use crate::{
    channel::{ExternalId, OutgoingPart, Seen, SendFault},
    vendor,
};

/// Longer than Meta's own slow answers; a send without an answer by then is in doubt.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
const READ_MARK_TIMEOUT: Duration = Duration::from_secs(5);

impl WhatsApp {
    pub(super) async fn post_message(
        &self,
        part: &OutgoingPart<'_>,
    ) -> Result<ExternalId, SendFault> {
        let (status, body) =
            match self.post(part.our_address, &outgoing::message(part), SEND_TIMEOUT).await {
                Ok(answer) => answer,
                // Nothing left for Meta where no connection came about; anything later may have arrived.
                Err(e) if e.is_connect() || e.is_builder() => {
                    let cause = anyhow!(e.without_url()).context("connect to the Graph API");
                    return Err(SendFault::TryLater { after: TRANSIENT_WAIT, code: 0, cause });
                }
                Err(e) => return Err(SendFault::Unknown(anyhow!(e.without_url()))),
            };
        read_answer(status, &body)
    }

    pub(super) async fn post_read_mark(&self, seen: &Seen) {
        let mark = outgoing::read_mark(&seen.external_id, seen.is_answered_now);
        match self.post(&seen.our_address, &mark, READ_MARK_TIMEOUT).await {
            Ok((200, _)) => {}
            Ok((status, _)) => tracing::debug!(status, "read mark refused"),
            Err(error) => tracing::debug!(error = %error.without_url(), "read mark not sent"),
        }
    }

    async fn post(
        &self,
        our_address: &str,
        body: &Value,
        timeout: Duration,
    ) -> Result<(u16, Vec<u8>), reqwest::Error> {
        let settings = &self.settings;
        let url =
            format!("{}/{}/{our_address}/messages", settings.api_base_url, settings.api_version);
        let request = self
            .http
            .post(url)
            .bearer_auth(settings.access_token.current().reveal())
            .timeout(timeout);
        let begun = Instant::now();
        let sent = request.json(body).send().await;
        let status = sent.as_ref().map(|response| response.status().as_u16());
        vendor::asked("graph", "messages", begun, status);
        let response = sent?;
        let status = response.status().as_u16();
        Ok((status, response.bytes().await?.to_vec()))
    }
}

pub(super) const TRANSIENT_WAIT: Duration = Duration::from_secs(2);
const THROTTLED_WAIT: Duration = Duration::from_secs(4);
const SLOW_WAIT: Duration = Duration::from_secs(60);

/// What became of a send, by the answer. The error's code decides, not the HTTP status, as Meta itself advises
/// (PROTOCOLS 2.4).
///
/// # Errors
/// What is to be done about a send that did not arrive, or may not have.
pub fn read_answer(status: u16, body: &[u8]) -> Result<ExternalId, SendFault> {
    if status == 200 {
        let sent =
            serde_json::from_slice::<Sent>(body).ok().and_then(|s| s.messages.into_iter().next());
        return match sent {
            Some(message) if !message.id.is_empty() => Ok(message.id),
            _ => {
                Err(SendFault::Unknown(anyhow!("the Graph API answered 200 without a message id")))
            }
        };
    }
    Err(fault_in(status, body))
}

/// What an answer other than 200 says.
pub(super) fn fault_in(status: u16, body: &[u8]) -> SendFault {
    match serde_json::from_slice::<GraphFailure>(body) {
        Ok(failure) => fault_of(status, &failure.error),
        // A gateway's own page: what stands behind it may have taken the message, a 503 is no proof of the contrary.
        Err(_) if status >= 500 => {
            SendFault::Unknown(anyhow!("HTTP {status} without a Graph error"))
        }
        Err(_) if status == 429 => SendFault::TryLater {
            after: THROTTLED_WAIT,
            code: 429,
            cause: anyhow!("HTTP 429 without a Graph error"),
        },
        Err(_) => SendFault::Refused {
            code: i64::from(status),
            detail: "HTTP status without a Graph error".into(),
        },
    }
}

fn fault_of(status: u16, error: &GraphError) -> SendFault {
    let code = error.code;
    let wait = match code {
        4 | 80007 | 130429 | 131056 | 131057 => Some(THROTTLED_WAIT),
        131048 | 131064 => Some(SLOW_WAIT),
        1 | 2 | 131000 | 131016 => Some(TRANSIENT_WAIT),
        _ if error.is_transient => Some(TRANSIENT_WAIT),
        // Meta's own failure, under a code that no list has.
        _ if status >= 500 && !is_refusal(code) => Some(TRANSIENT_WAIT),
        _ => None,
    };
    if let Some(after) = wait {
        let cause = anyhow!("Graph error {code} (HTTP {status})");
        return SendFault::TryLater { after, code, cause };
    }
    if let Some(kind) = alert_of(code) {
        metrics::counter!("edge_vendor_alerts_total", "channel" => "whatsapp", "kind" => kind)
            .increment(1);
        tracing::error!(code, kind, "WhatsApp refuses us until somebody does something");
    }
    // The title and message may name the number; the type does not.
    SendFault::Refused { code, detail: error.kind.clone() }
}

/// What PROTOCOLS 2.4 lists as never taken, whatever the HTTP status.
fn is_refusal(code: i64) -> bool {
    matches!(code, 100 | 130_472 | 131_008 | 131_009 | 131_026 | 131_030 | 131_047)
        || matches!(code, 131_049..=131_053 | 131_062)
        || alert_of(code).is_some()
}

/// What somebody has to see to, for no message leaves before (PROTOCOLS 2.4).
fn alert_of(code: i64) -> Option<&'static str> {
    match code {
        0 | 190 => Some("vendor_credentials"),
        3 | 10 | 200..=299 => Some("vendor_permission"),
        368 | 131_031 => Some("vendor_account_locked"),
        131_037 | 131_042 | 131_045 => Some("vendor_account_incomplete"),
        132_000..=132_999 => Some("vendor_template"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, code: i64) -> SendFault {
        let body = json!({"error": {"message": "to 1555", "type": "OAuthException", "code": code}});
        read_answer(status, body.to_string().as_bytes()).unwrap_err()
    }

    #[test]
    fn an_accepted_message_has_an_id() {
        let body = br#"{"messaging_product":"whatsapp","messages":[{"id":"wamid.X"}]}"#;
        assert_eq!(read_answer(200, body).unwrap(), "wamid.X");
    }

    #[test]
    fn the_code_decides_whether_a_send_is_tried_again() {
        for code in [1, 2, 4, 80007, 130429, 131000, 131016, 131048, 131056, 131057, 131064] {
            assert!(matches!(answer(400, code), SendFault::TryLater { .. }), "{code}");
        }
        for code in
            [0, 10, 100, 190, 131008, 131026, 131030, 131047, 131049, 131050, 132000, 130472]
        {
            assert!(
                matches!(answer(500, code), SendFault::Refused { code: c, .. } if c == code),
                "{code}"
            );
        }
    }

    #[test]
    fn a_failure_of_metas_own_under_an_unknown_code_is_tried_again() {
        for status in [500, 503] {
            let answer = answer(status, 135_000);
            assert!(matches!(answer, SendFault::TryLater { code: 135_000, .. }), "{status}");
        }
        assert!(matches!(answer(400, 135_000), SendFault::Refused { .. }), "that one is ours");
    }

    #[test]
    fn an_answer_that_proves_nothing_leaves_the_send_in_doubt() {
        for (status, body) in
            [(200, "{}"), (200, "not json"), (502, "<html>"), (503, ""), (504, "")]
        {
            assert!(
                matches!(read_answer(status, body.as_bytes()), Err(SendFault::Unknown(_))),
                "{status} {body}"
            );
        }
        assert!(matches!(read_answer(404, b"<html>"), Err(SendFault::Refused { code: 404, .. })));
    }

    #[test]
    fn what_somebody_has_to_see_to_is_raised_and_no_other_refusal() {
        for code in [0, 190, 10, 200, 368, 131_031, 131_042, 132_001, 132_015] {
            assert!(alert_of(code).is_some(), "{code}");
        }
        for code in [100, 131_026, 131_030, 131_047, 131_049, 131_050, 130_472] {
            assert!(alert_of(code).is_none(), "{code}");
        }
    }

    #[test]
    fn no_error_tells_the_persons_number() {
        assert!(!answer(400, 131026).to_string().contains("1555"));
    }
}
