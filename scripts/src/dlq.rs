//! `switchboardctl dlq`: what was given up by the consumers, why, and what may be done about it (F5).

mod arguments;
mod park;
mod replay;
mod show;

use anyhow::ensure;
use boot::Environment;
use bus::{Bus, Queue};
use cache::Cache;
use store::dead_letters::{DeadLetters, Filter};
use uuid::Uuid;

use crate::access::Access;
use crate::ended::AskedWrongly;
pub use crate::ended::Ended;
use crate::operate::tenants;
use crate::print;
pub(crate) use arguments::seconds;
pub use arguments::{Command, REPLAY_EXAMPLES, Replay, Which};

/// What the commands work with.
struct Desk {
    access: Access,
    letters: DeadLetters,
    bus: Bus,
    cache: Cache,
    /// Who does it, for the record.
    actor: String,
}

/// Runs a command. What it finds goes to the standard output: as a table for people, as JSON for programs.
///
/// # Errors
/// When a store cannot be reached or an argument makes no sense.
pub async fn run(command: Command, environment: &Environment) -> anyhow::Result<Ended> {
    if let Command::Discard { which, why: None, all: false, .. } = &command
        && which.is_all()
    {
        let wrong = "say which letters: by number, --queue, --why and others, or --all";
        return Err(AskedWrongly(wrong.to_owned()).into());
    }
    let mut desk = Desk::open(environment, &command).await?;
    match (desk.settle().await, &command) {
        (Ok(()), _) => {}
        // They may do harm to a letter that was handled.
        (Err(error), Command::Replay(_) | Command::Discard { .. }) => return Err(error),
        (Err(error), _) => {
            print::note(&format!("what became of letters sent again is not known: {error:#}"));
        }
    }
    match command {
        Command::List { which, reason, all, limit, json } => {
            let filter = desk.filter(&which, reason.as_deref()).await?;
            let filter = if all { filter } else { arguments::open(filter) };
            show::list(&desk, &filter, limit, json).await
        }
        Command::Show { number, reveal, json, .. } => {
            show::one(&mut desk, number, reveal, json).await
        }
        Command::Replay(Replay { which, reason, how, .. }) => {
            let filter = desk.filter(&which, reason.as_deref()).await?;
            replay::run(&mut desk, filter, &how).await
        }
        Command::Park { group: Some(group), reason, json, .. } => {
            park::park(&desk, &group, &reason.unwrap_or_default(), json).await
        }
        Command::Park { group: None, json, .. } => park::list(&desk, json).await,
        Command::Release { group, json, .. } => park::release(&desk, &group, json).await,
        Command::Discard { which, why, reason, yes, json, .. } => {
            let filter = desk.filter(&which, why.as_deref()).await?;
            replay::discard(&desk, filter, &reason, yes, json).await
        }
    }
}

impl Desk {
    async fn open(environment: &Environment, command: &Command) -> anyhow::Result<Self> {
        let access = Access::read(environment).await?;
        let user = environment.get("USER").unwrap_or("somebody");
        Ok(Self {
            letters: access.letters().await?,
            bus: access.bus(),
            cache: access.cache().await?,
            actor: command.actor().unwrap_or(user).to_owned(),
            access,
        })
    }

    /// The letters that are meant. A tenant that is named by its id need not be there any more.
    async fn filter(&self, which: &Which, reason: Option<&str>) -> anyhow::Result<Filter> {
        let tenant = match which.tenant.as_deref() {
            None => None,
            Some(tenant) => Some(match Uuid::try_parse(tenant) {
                Ok(id) => id,
                Err(_) => *tenants::one(&self.access.store().await?, tenant).await?.as_uuid(),
            }),
        };
        Ok(which.filter(tenant, reason))
    }

    /// Finds out what became of the letters that were sent again.
    async fn settle(&self) -> anyhow::Result<()> {
        let name_of = |name: &str| Queue::named(name).map(|queue| self.bus.queue_name(queue));
        let is_settled = self.letters.settle(&self.cache, &name_of).await?;
        ensure!(is_settled, "Redis cannot be asked how replays ended");
        Ok(())
    }
}
