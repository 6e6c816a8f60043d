//! `switchboardctl dlq`: what was given up by the consumers, why, and what may be done about it (F5).

mod arguments;
mod park;
mod replay;
mod show;

use std::sync::Arc;

use boot::{CommonSettings, Environment};
use bus::{Bus, BusSettings, Queue, Topology, replay_id};
use cache::Cache;
use domain::EventId;
use store::dead_letters::{DeadLetters, Filter, State};
use vault::FieldKeys;

pub use crate::ended::Ended;
pub(crate) use arguments::seconds;
pub use arguments::{Command, Which};

/// Replays asked about at once.
const ASKED_AT_ONCE: usize = 200;
/// Letters whose outcome is looked for in one go.
const SETTLED_AT_ONCE: i64 = 20_000;

/// What the commands work with.
struct Desk {
    letters: DeadLetters,
    bus: Bus,
    cache: Cache,
    topology: Topology,
    /// Who does it, for the record.
    actor: String,
}

/// Runs a command. What it finds goes to the standard output: as a table for people, as JSON for programs.
///
/// # Errors
/// When a store cannot be reached or an argument makes no sense.
pub async fn run(command: Command, environment: &Environment) -> anyhow::Result<Ended> {
    let mut desk = Desk::open(environment, &command).await?;
    desk.settle().await?;
    match command {
        Command::List { which, limit, json } => show::list(&desk, &which, limit, json).await,
        Command::Show { number, reveal, json, .. } => {
            show::one(&mut desk, number, reveal, json).await
        }
        Command::Replay { which, how, .. } => replay::run(&mut desk, &which, &how).await,
        Command::Park { group: Some(group), reason, .. } => {
            park::park(&desk, &group, &reason).await
        }
        Command::Park { group: None, json, .. } => park::list(&desk, json).await,
        Command::Release { group, .. } => park::release(&desk, &group).await,
        Command::Discard { which, reason, yes, .. } => {
            replay::discard(&desk, &which, &reason, yes).await
        }
    }
}

impl Desk {
    async fn open(environment: &Environment, command: &Command) -> anyhow::Result<Self> {
        let mut reader = environment.reader();
        let common = CommonSettings::read(&mut reader, "switchboardctl");
        let database_url = reader.required("DATABASE_URL");
        let redis_url = reader.required("REDIS_URL");
        let kms_key =
            reader.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".to_owned());
        let (common, database_url, redis_url) = reader.finish((common, database_url, redis_url))?;
        let aws = boot::aws_config().await;
        let keys = Arc::new(FieldKeys::new(aws_sdk_kms::Client::new(&aws), kms_key));
        let settings = BusSettings {
            high_throughput: common.high_throughput,
            ..BusSettings::new(&common.queue_prefix, &common.s3_bucket)
        };
        let user = environment.get("USER").unwrap_or("somebody");
        Ok(Self {
            letters: DeadLetters::open(&database_url, keys).await?,
            bus: Bus::new(&aws, settings),
            cache: Cache::connect(&redis_url, &common.queue_prefix)?,
            topology: Topology::new(&common.queue_prefix, common.high_throughput),
            actor: command.actor().unwrap_or(user).to_owned(),
        })
    }

    /// Finds out what became of the letters that were sent again.
    async fn settle(&self) -> anyhow::Result<()> {
        self.letters.note_failures().await?;
        for queue in Queue::ALL {
            let published = Filter {
                queue: Some(queue.name().to_owned()),
                states: Some(vec![State::Pending, State::Published]),
                ..Filter::default()
            };
            let sent = self.letters.list(&published, SETTLED_AT_ONCE).await?;
            let name = self.topology.queue_name(*queue);
            for some in sent.chunks(ASKED_AT_ONCE) {
                let replays: Vec<EventId> = some
                    .iter()
                    .filter_map(|letter| Some((letter.event?, letter.replays)))
                    .map(|(event, replays)| {
                        replay_id(EventId::from_uuid(event), replays.unsigned_abs() + 1)
                    })
                    .collect();
                let done = self.cache.are_replays_done(&name, &replays).await?;
                let handled: Vec<i64> = some
                    .iter()
                    .zip(done)
                    .filter_map(|(letter, done)| done.then_some(letter.number))
                    .collect();
                let (state, act) = (State::Processed, "processed");
                self.letters.set(&handled, state, act, "the consumer", "").await?;
            }
        }
        Ok(())
    }
}
