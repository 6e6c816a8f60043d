//! How long a reply waits, and when it has waited enough. None of these waits is a fault of the message: they use up no
//! starts, so each has an end of its own, and that end is told.

use std::time::Duration;

use anyhow::anyhow;
use bus::Outcome;
use domain::Timestamp;
use store::StoreError;

/// A send without an answer is settled by a status, or raised after this (DESIGN 2).
const DOUBT_ENDS_AFTER: Duration = Duration::from_secs(60);
/// The first look at a doubtful send comes soon, for a status mostly does; the next when the doubt ends.
pub(super) const FIRST_LOOK_AFTER: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// A vendor that throttles for so many tries in a row (some 13 minutes) takes the message never: the person's next ones wait
/// behind it.
const MOST_TRIES: u32 = 10;
/// The database is asked again so soon.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// What is to be done about a send of which nobody knows how it went.
pub(super) enum Doubt {
    /// Look at it again.
    Wait(Outcome),
    /// It was waited for long enough: raised, and not repeated.
    Over,
}

/// What to do about a send that has been in doubt since then.
pub(super) fn in_doubt(since: Timestamp, now: Timestamp) -> Doubt {
    let doubted = now.since(since);
    if doubted >= DOUBT_ENDS_AFTER {
        return Doubt::Over;
    }
    let after = if doubted < FIRST_LOOK_AFTER {
        FIRST_LOOK_AFTER - doubted
    } else {
        DOUBT_ENDS_AFTER - doubted
    };
    Doubt::Wait(Outcome::NotYet { after, cause: anyhow!("send in doubt, waiting for a status") })
}

/// How long a vendor is left alone that has put something off `times` times: four times longer each time, as Meta asks for
/// its pair rate (PROTOCOLS 2.4). `None` when it was asked often enough.
pub(super) fn put_off(first: Duration, times: u32) -> Option<Duration> {
    (times < MOST_TRIES).then(|| backoff(first, times))
}

/// Four times longer with each start.
pub(super) fn backoff(first: Duration, starts: u32) -> Duration {
    first.saturating_mul(4_u32.saturating_pow(starts.saturating_sub(1).min(8))).min(LONGEST_WAIT)
}

/// A database that is away counts nothing (DESIGN 2, "Failures"), though the consumer does not pause for it: most replies
/// need none.
pub(super) fn without_store(error: StoreError, asked: &'static str) -> Outcome {
    let is_away = error.is_transient();
    let (after, cause) = (STORE_AGAIN_AFTER, anyhow!(error).context(asked));
    match is_away {
        true => Outcome::NotYet { after, cause },
        false => Outcome::Retry { after, cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn wait_after(seconds: u64) -> Option<u64> {
        match in_doubt(T0, T0.plus(Duration::from_secs(seconds))) {
            Doubt::Wait(Outcome::NotYet { after, .. }) => Some(after.as_secs()),
            Doubt::Over => None,
            Doubt::Wait(_) => panic!("doubt is no fault of the message"),
        }
    }

    #[test]
    fn a_send_in_doubt_is_looked_at_soon_then_when_the_doubt_ends_and_never_repeated() {
        assert_eq!(wait_after(6), Some(4));
        assert_eq!(wait_after(10), Some(50));
        assert_eq!(wait_after(59), Some(1));
        assert_eq!(wait_after(60), None);
    }

    #[test]
    fn throttling_is_waited_out_four_times_longer_each_time() {
        let seconds =
            [1, 2, 3, 4].map(|times| put_off(Duration::from_secs(4), times).unwrap().as_secs());
        assert_eq!(seconds, [4, 16, 64, 120]);
    }

    #[test]
    fn five_minutes_of_throttling_are_outlasted_and_an_endless_one_is_given_up() {
        for first in [2, 4, 60].map(Duration::from_secs) {
            let waits: Vec<_> = (1..).map_while(|times| put_off(first, times)).collect();
            let waited: Duration = waits.iter().sum();
            assert!(waited > Duration::from_secs(5 * 60), "{waited:?}");
            assert!(waited < Duration::from_secs(20 * 60), "{waited:?}");
        }
    }
}
