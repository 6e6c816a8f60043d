//! What may be asked for.

use bus::{DeathCause, Queue};
use clap::{Args, Subcommand};
use domain::Timestamp;
use store::dead_letters::{Filter, Including, State};
use uuid::Uuid;

/// Somebody may still be needed for these. Where a replay failed, another letter tells of it, or nothing will help.
const OPEN: [State; 3] = [State::Waiting, State::Pending, State::Published];

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show which letters are open, how many of each kind, and why they were given up. The newest come first.
    ///
    /// Open are those that wait and those whose replay is under way. Ends with 3 when there is none.
    #[command(after_help = "Examples:
  switchboardctl dlq list --within 12h
  switchboardctl dlq list --reason 'no route' --tenant demo
  switchboardctl dlq list --error-type never_finished
  switchboardctl dlq list --all --json | jq .counts")]
    List {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Whose reason has this in it.
        #[arg(long, visible_alias = "why")]
        reason: Option<String>,
        /// Also those that were handled, discarded or given up again.
        #[arg(long)]
        all: bool,
        /// So many at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
        /// Print JSON, also on a terminal.
        #[arg(long)]
        json: bool,
    },
    /// Show one letter: its envelope with personal fields masked, its reason, and what was done to it.
    #[command(after_help = "Examples:
  switchboardctl dlq show 17
  switchboardctl dlq show 17 --reveal --as ann")]
    Show {
        /// Its number.
        number: i64,
        /// Show personal fields too. It is put on record.
        #[arg(long)]
        reveal: bool,
        /// Who asks, for the record [default: $USER].
        #[arg(long = "as")]
        actor: Option<String>,
        /// Print JSON, also on a terminal.
        #[arg(long)]
        json: bool,
    },
    /// Send letters into their queues again, oldest first, in order within each group.
    ///
    /// First it says what it would do. What dies meanwhile is left alone. Interrupted, it is gone on with by the same
    /// command again: nothing is handled twice. Ends with 5 when one that it sent has died again.
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(Replay),
    /// Leave the letters of a group alone: no replay takes them until it is released. Without a group, show those parked.
    #[command(after_help = "Examples:
  switchboardctl dlq park
  switchboardctl dlq park 5f0c2a7e-5a4f-5a6b-9b1e-8f3f6a1d2c3b --reason 'Ann looks into it'")]
    Park {
        /// The group: a conversation or a call, as `list` shows it.
        #[arg(requires = "reason")]
        group: Option<String>,
        /// Why, for the record.
        #[arg(long, value_parser = said)]
        reason: Option<String>,
        /// Who asks, for the record [default: $USER].
        #[arg(long = "as")]
        actor: Option<String>,
        /// Print JSON, also on a terminal.
        #[arg(long)]
        json: bool,
    },
    /// Let replays take the letters of a parked group again.
    #[command(after_help = "Example:
  switchboardctl dlq release 5f0c2a7e-5a4f-5a6b-9b1e-8f3f6a1d2c3b")]
    Release {
        /// The group.
        group: String,
        /// Who asks, for the record [default: $USER].
        #[arg(long = "as")]
        actor: Option<String>,
        /// Print JSON, also on a terminal.
        #[arg(long)]
        json: bool,
    },
    /// Give letters up for good: those that wait, unless `--state` says otherwise. They stay to be seen.
    #[command(after_help = "Examples:
  switchboardctl dlq discard 17 18 --reason 'a test of ours'
  switchboardctl dlq discard --why 'no such tenant' --reason 'they left' --yes")]
    Discard {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Whose reason has this in it. (It is `--reason` where that is not the record's.)
        #[arg(long)]
        why: Option<String>,
        /// Why they are given up, for the record.
        #[arg(long, value_parser = said)]
        reason: String,
        /// All that wait, when nothing else says which.
        #[arg(long)]
        all: bool,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Who asks, for the record [default: $USER].
        #[arg(long = "as")]
        actor: Option<String>,
        /// Print JSON, also on a terminal.
        #[arg(long)]
        json: bool,
    },
}

/// How a replay is asked for.
pub const REPLAY_EXAMPLES: &str = "Examples:
  switchboardctl dlq replay --queue writer --dry-run
  switchboardctl dlq replay --queue writer --rate 20
  switchboardctl dlq replay --reason 'no route' --yes --json | jq .outcome";

/// What is sent again, and how.
#[derive(Args, Debug)]
pub struct Replay {
    /// Which.
    #[command(flatten)]
    pub(super) which: Which,
    /// Whose reason has this in it.
    #[arg(long, visible_alias = "why")]
    pub(super) reason: Option<String>,
    /// How.
    #[command(flatten)]
    pub(super) how: How,
    /// Who asks, for the record [default: $USER].
    #[arg(long = "as")]
    actor: Option<String>,
}

impl Command {
    pub(super) fn actor(&self) -> Option<&str> {
        match self {
            Self::List { .. } => None,
            Self::Show { actor, .. }
            | Self::Replay(Replay { actor, .. })
            | Self::Park { actor, .. }
            | Self::Release { actor, .. }
            | Self::Discard { actor, .. } => actor.as_deref(),
        }
    }
}

/// Which letters are meant; all that is given must hold.
#[derive(Args, Clone, Debug, Default)]
pub struct Which {
    /// These numbers.
    numbers: Vec<i64>,
    /// Of this queue, such as `writer`.
    #[arg(long, value_parser = queue)]
    queue: Option<Queue>,
    /// Given up for this: undecodable, object_gone, object_refused, rejected, failed, panicked, never_finished, receive_limit
    /// or unknown.
    #[arg(long, value_parser = error_type)]
    error_type: Option<DeathCause>,
    /// Of this tenant, by name or id.
    #[arg(long)]
    pub(super) tenant: Option<String>,
    /// Of this message group: a conversation or a call.
    #[arg(long)]
    group: Option<String>,
    /// Of this event or job, such as `MessageReceived`.
    #[arg(long)]
    event: Option<String>,
    /// That died within this time, such as `30m`, `12h` or `7d`.
    #[arg(long, value_parser = seconds)]
    within: Option<u64>,
    /// That died longer ago than this.
    #[arg(long, value_parser = seconds)]
    before: Option<u64>,
    /// In this state: waiting, pending, published, processed, failed or discarded.
    #[arg(long, value_parser = state)]
    state: Vec<State>,
}

/// How letters are sent again.
#[derive(Args, Clone, Debug)]
pub struct How {
    /// Letters a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Also letters that have died three times or more.
    #[arg(long)]
    pub quarantined: bool,
    /// Also jobs that were of use for seconds only, such as a sentence of a call. They get their time anew.
    #[arg(long)]
    pub expired: bool,
    /// Wait so many seconds for the last of them to be handled.
    #[arg(long, default_value_t = 10)]
    pub wait_seconds: u64,
    /// Print JSON, also on a terminal.
    #[arg(long)]
    pub json: bool,
}

impl How {
    pub(super) fn including(&self) -> Including {
        Including { quarantined: self.quarantined, expired: self.expired }
    }
}

impl Which {
    /// As the archive is asked, once the tenant is known by its id.
    pub(super) fn filter(&self, tenant: Option<Uuid>, reason: Option<&str>) -> Filter {
        let now = Timestamp::now();
        let ago = |seconds: u64| {
            let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            Timestamp::from_micros(now.as_micros().saturating_sub(micros).max(0))
        };
        Filter {
            queue: self.queue.map(|queue| queue.name().to_owned()),
            error_type: self.error_type.map(|cause| cause.name().to_owned()),
            reason: reason.map(str::to_owned),
            tenant,
            group: self.group.clone(),
            event_name: self.event.clone(),
            since: self.within.map(ago),
            until: self.before.map(ago),
            numbers: (!self.numbers.is_empty()).then(|| self.numbers.clone()),
            states: (!self.state.is_empty()).then(|| self.state.clone()),
            up_to: None,
        }
    }

    /// Whether nothing says which.
    pub(super) fn is_all(&self) -> bool {
        self.numbers.is_empty()
            && self.queue.is_none()
            && self.error_type.is_none()
            && self.tenant.is_none()
            && self.group.is_none()
            && self.event.is_none()
            && self.within.is_none()
            && self.before.is_none()
            && self.state.is_empty()
    }
}

/// Of these only the open ones, unless states or numbers are asked for.
pub(super) fn open(filter: Filter) -> Filter {
    if filter.states.is_some() || filter.numbers.is_some() {
        return filter;
    }
    Filter { states: Some(OPEN.to_vec()), ..filter }
}

fn queue(name: &str) -> Result<Queue, String> {
    Queue::named(name).ok_or_else(|| {
        let known: Vec<_> = Queue::ALL.iter().map(|queue| queue.name()).collect();
        format!("no such queue; there are {}", known.join(", "))
    })
}

fn error_type(name: &str) -> Result<DeathCause, String> {
    DeathCause::named(name).ok_or_else(|| {
        let known: Vec<_> = DeathCause::ALL.iter().map(|cause| cause.name()).collect();
        format!("no such error type; there are {}", known.join(", "))
    })
}

fn state(name: &str) -> Result<State, String> {
    State::named(name).ok_or_else(|| {
        format!("no such state; there are {}", State::ALL.map(State::name).join(", "))
    })
}

/// A reason that says something.
fn said(reason: &str) -> Result<String, String> {
    match reason.trim() {
        "" => Err("say why, for the record".to_owned()),
        reason => Ok(reason.to_owned()),
    }
}

/// `90s`, `30m`, `12h` or `7d` in seconds.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let read = || {
        let unit = text.chars().next_back()?;
        let (_, seconds) = units.into_iter().find(|(name, _)| *name == unit)?;
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(seconds)
    };
    read().ok_or_else(|| "a number and s, m, h or d, such as 30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(["90s", "30m", "12h", "7d"].map(seconds), [90, 1_800, 43_200, 604_800].map(Ok));
        for wrong in ["", "5", "m", "-1h", "1w", "99999999999999999999d", "18446744073709551615d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_answered_with_those_that_are() {
        assert!(queue("writers").unwrap_err().contains("writer,"));
        assert_eq!(queue("writer"), Ok(Queue::Writer));
        assert!(error_type("sad").unwrap_err().contains("rejected, failed,"));
        assert_eq!(error_type("failed"), Ok(DeathCause::Failed));
        assert!(state("dead").unwrap_err().contains("waiting"));
        assert_eq!(state("failed"), Ok(State::Failed));
    }
}
