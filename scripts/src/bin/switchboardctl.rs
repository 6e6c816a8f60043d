//! The operators' command line. It reads the same variables as the services (DESIGN section 9).

use std::process::ExitCode;
use std::time::{Duration, Instant};

use boot::Environment;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use scripts::access::Access;
use scripts::demo_key;
use scripts::dlq;
use scripts::ended::{Ended, failed};
use scripts::operate;
use scripts::print;
use scripts::provision::{Wanted, provision};

const RETRY_AFTER: Duration = Duration::from_millis(500);
const NAME: &str = "switchboardctl";

/// Operates a Switchboard: what runs, who is hurt, what may be done; its database, its queues, its tenants.
///
/// It reads the variables of the services. On a machine with a mesh: eval "$(scripts/mesh env)".
///
/// Ends with 0 when it did what was asked, 1 when it could not, 2 when it was asked wrongly, 3 when nothing is there that
/// was meant, 4 when it was stopped before its end, 5 when it looked and something is not well.
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = "Examples:
  switchboardctl status
  switchboardctl trace CA0123456789abcdef0123456789abcdef
  switchboardctl dlq list --within 12h
  source <(switchboardctl completion bash)")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Prepare(Preparation),
    /// Browse dead letters, send them again, or give them up.
    ///
    /// Ends with 0 when it did what was asked, 1 when it could not, 2 when it was asked wrongly, 3 when no letter is
    /// meant, 4 when it was stopped, 5 when a letter that was sent again has died again.
    #[command(
        subcommand,
        after_help = "Examples:
  switchboardctl dlq list --within 12h
  switchboardctl dlq replay --queue writer --dry-run"
    )]
    Dlq(Box<dlq::Command>),
    /// The same as `dlq replay`: send dead letters into their queues again.
    #[command(after_help = dlq::REPLAY_EXAMPLES)]
    Replay(Box<dlq::Replay>),
    #[command(flatten)]
    Operate(Box<operate::Command>),
    /// Print a script that completes this program's arguments in a shell.
    #[command(after_help = "Example:\n  source <(switchboardctl completion bash)")]
    Completion {
        /// Which.
        shell: Shell,
    },
}

/// What an environment needs before its services start.
#[derive(Debug, Subcommand)]
enum Preparation {
    /// Bring the database behind `DATABASE_URL` to this release's schema, from any earlier state.
    Migrate,
    /// Create the queues, topic, bucket, key and secrets that are missing.
    Provision,
    /// Put the tenant `demo` with its addresses in place; what is there stays as it is.
    SeedDemo,
    /// All of these, as an environment on one machine needs before its services start.
    Prepare {
        /// Try again for so long, while stores are still starting.
        #[arg(long, default_value_t = 0)]
        wait_seconds: u64,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    match command {
        Command::Prepare(step) => run_step(step, &environment).await.map(|()| ExitCode::SUCCESS),
        Command::Dlq(command) => dlq::run(*command, &environment).await.map(Ended::code),
        Command::Replay(replay) => {
            dlq::run(dlq::Command::Replay(*replay), &environment).await.map(Ended::code)
        }
        Command::Operate(command) => operate::run(*command, &environment).await.map(Ended::code),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut script);
            print::say(String::from_utf8_lossy(&script).trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn run_step(step: Preparation, environment: &Environment) -> anyhow::Result<()> {
    match step {
        Preparation::Migrate => migrate(environment).await,
        Preparation::Provision => provision_all(environment).await,
        Preparation::SeedDemo => seed_demo(environment).await,
        Preparation::Prepare { wait_seconds } => {
            let give_up_at = Instant::now() + Duration::from_secs(wait_seconds);
            loop {
                match prepare(environment).await {
                    Err(error) if Instant::now() < give_up_at => {
                        print::note(&format!("not yet: {error:#}"));
                    }
                    outcome => return outcome,
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn prepare(environment: &Environment) -> anyhow::Result<()> {
    migrate(environment).await?;
    provision_all(environment).await?;
    seed_demo(environment).await
}

async fn migrate(environment: &Environment) -> anyhow::Result<()> {
    let url = Access::read(environment).await?.database_url().await?;
    let applied = store::migrate::run(url.reveal()).await?;
    for step in &applied {
        print::note(&format!("applied {step}"));
    }
    if applied.is_empty() {
        print::note("nothing to apply");
    }
    Ok(())
}

async fn provision_all(environment: &Environment) -> anyhow::Result<()> {
    provision(&Wanted::read(environment)?).await?;
    print::note("queues, bucket, key and secrets are in place");
    Ok(())
}

async fn seed_demo(environment: &Environment) -> anyhow::Result<()> {
    let url = Access::read(environment).await?.database_url().await?;
    store::seed::demo(url.reveal()).await?;
    print::note("the tenant demo is in place");
    demo_key::put_in_place(environment).await
}
