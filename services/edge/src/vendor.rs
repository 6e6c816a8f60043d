//! Rate, errors and duration of what vendors are asked for (F4).

use std::time::Instant;

/// Notes a request that is over: the status of its answer, or why there is none.
pub fn asked(
    vendor: &'static str,
    request: &'static str,
    begun: Instant,
    answer: Result<u16, &reqwest::Error>,
) {
    metrics::histogram!("vendor_request_duration_seconds",
        "vendor" => vendor, "request" => request, "error_type" => error_type(answer))
    .record(begun.elapsed());
}

/// The same kinds as of vendors of speech.
fn error_type(answer: Result<u16, &reqwest::Error>) -> &'static str {
    match answer {
        Ok(..400) => "",
        Ok(401 | 403) => "denied",
        Ok(429) => "busy",
        Ok(400..500) => "refused",
        Ok(_) => "unavailable",
        Err(error) if error.is_timeout() => "timeout",
        Err(_) => "unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::error_type;

    #[test]
    fn an_answer_says_whose_fault_it_is() {
        let kinds = [200, 401, 404, 429, 503].map(|status| error_type(Ok(status)));
        assert_eq!(kinds, ["", "denied", "refused", "busy", "unavailable"]);
    }
}
