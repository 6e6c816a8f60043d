use std::time::Duration;

use crate::topology::Source;

const MIN: Duration = Duration::from_millis(200);
const MAX: Duration = Duration::from_secs(5);

/// Waits longer after each failure of the broker, and logs only the first of a row.
#[derive(Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(crate) fn next(&mut self) -> Duration {
        self.failures = (self.failures + 1).min(10);
        (MIN * 2_u32.pow(self.failures - 1)).min(MAX)
    }

    pub(crate) fn log(&self, error: &str, source: &Source) {
        if self.failures == 0 {
            tracing::warn!(error, ?source, "the broker does not answer; trying again");
        }
    }
}
