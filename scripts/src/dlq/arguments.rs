//! What may be asked for.

use anyhow::{Context as _, bail};
use bus::Queue;
use clap::{Args, Subcommand};
use domain::Timestamp;
use store::dead_letters::{Filter, Including, State};
use uuid::Uuid;

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show which letters there are, how many of each kind, and why they were given up.
    List {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// So many at most.
        #[arg(long, default_value_t = 50)]
        limit: i64,
        /// Print JSON, also on a terminal.
        #[arg(long)]
        json: bool,
    },
    /// Show one letter: its envelope with personal fields masked, its reason, and what was done to it.
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
    /// First it says what it would do. Interrupted, it is gone on with by the same command again: nothing is handled
    /// twice.
    Replay {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// How.
        #[command(flatten)]
        how: How,
        /// Who asks, for the record [default: $USER].
        #[arg(long = "as")]
        actor: Option<String>,
    },
    /// Leave the letters of a group alone: no replay takes them until it is released. Without a group, show those parked.
    Park {
        /// The group: a conversation or a call, as `list` shows it.
        group: Option<String>,
        /// Why, for the record.
        #[arg(long, default_value = "")]
        reason: String,
        /// Who asks, for the record [default: $USER].
        #[arg(long = "as")]
        actor: Option<String>,
        /// Print JSON, also on a terminal.
        #[arg(long)]
        json: bool,
    },
    /// Let replays take the letters of a parked group again.
    Release {
        /// The group.
        group: String,
        /// Who asks, for the record [default: $USER].
        #[arg(long = "as")]
        actor: Option<String>,
    },
    /// Give letters up for good. They stay to be seen.
    Discard {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Who asks, for the record [default: $USER].
        #[arg(long = "as")]
        actor: Option<String>,
    },
}

impl Command {
    pub(super) fn actor(&self) -> Option<&str> {
        match self {
            Self::List { .. } => None,
            Self::Show { actor, .. }
            | Self::Replay { actor, .. }
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
    pub numbers: Vec<i64>,
    /// Of this queue, such as `writer`.
    #[arg(long)]
    queue: Option<String>,
    /// Whose reason has this in it.
    #[arg(long)]
    why: Option<String>,
    /// Of this tenant.
    #[arg(long)]
    tenant: Option<Uuid>,
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
    #[arg(long)]
    state: Vec<String>,
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
}

impl How {
    pub(super) fn including(&self) -> Including {
        Including { quarantined: self.quarantined, expired: self.expired }
    }
}

impl Which {
    /// As the archive is asked.
    ///
    /// # Errors
    /// When a queue or a state has no such name.
    pub(super) fn filter(&self) -> anyhow::Result<Filter> {
        if let Some(name) = &self.queue
            && Queue::named(name).is_none()
        {
            let known: Vec<_> = Queue::ALL.iter().map(|queue| queue.name()).collect();
            bail!("--queue {name}: no such queue; there are {}", known.join(", "));
        }
        let states = self
            .state
            .iter()
            .map(|name| {
                State::named(name).with_context(|| {
                    let known = State::ALL.map(State::name).join(", ");
                    format!("--state {name}: no such state; there are {known}")
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let now = Timestamp::now();
        let ago = |seconds: u64| {
            let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            Timestamp::from_micros(now.as_micros().saturating_sub(micros).max(0))
        };
        Ok(Filter {
            queue: self.queue.clone(),
            reason: self.why.clone(),
            tenant: self.tenant,
            group: self.group.clone(),
            event_name: self.event.clone(),
            since: self.within.map(ago),
            until: self.before.map(ago),
            numbers: (!self.numbers.is_empty()).then(|| self.numbers.clone()),
            states: (!states.is_empty()).then_some(states),
        })
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
    fn a_queue_and_a_state_that_are_not_there_are_named_with_those_that_are() {
        let which = Which { queue: Some("writers".to_owned()), ..Which::default() };
        let error = which.filter().unwrap_err().to_string();
        assert!(error.contains("--queue writers") && error.contains("writer,"), "{error}");
        let which = Which { state: vec!["dead".to_owned()], ..Which::default() };
        let error = which.filter().unwrap_err().to_string();
        assert!(error.contains("--state dead") && error.contains("waiting"), "{error}");
    }
}
