//! The operators' command line. It reads the same variables as the services (DESIGN section 9).

use std::process::ExitCode;
use std::time::{Duration, Instant};

use boot::Environment;
use clap::{Parser, Subcommand};
use scripts::demo_key;
use scripts::dlq;
use scripts::provision::{Wanted, provision};

const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Exit codes that scripts can use.
const NOTHING: u8 = 3;
const STOPPED: u8 = 4;

/// Operates a Switchboard: its database, its queues, its tenants.
#[derive(Debug, Parser)]
#[command(name = "switchboardctl", version)]
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
    /// meant, 4 when it was stopped.
    #[command(subcommand)]
    Dlq(Box<dlq::Command>),
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
        Err(error) => {
            eprintln!("switchboardctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    match command {
        Command::Prepare(step) => run_step(step, &environment).await.map(|()| ExitCode::SUCCESS),
        Command::Dlq(command) => Ok(match dlq::run(*command, &environment).await? {
            dlq::Ended::Done => ExitCode::SUCCESS,
            dlq::Ended::Nothing => ExitCode::from(NOTHING),
            dlq::Ended::Stopped => ExitCode::from(STOPPED),
        }),
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
                    Err(error) if Instant::now() < give_up_at => eprintln!("not yet: {error:#}"),
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
    let applied = store::migrate::run(&database_url(environment)?).await?;
    for step in &applied {
        println!("applied {step}");
    }
    if applied.is_empty() {
        println!("nothing to apply");
    }
    Ok(())
}

async fn provision_all(environment: &Environment) -> anyhow::Result<()> {
    provision(&Wanted::read(environment)?).await?;
    println!("queues, bucket, key and secrets are in place");
    Ok(())
}

async fn seed_demo(environment: &Environment) -> anyhow::Result<()> {
    store::seed::demo(&database_url(environment)?).await?;
    println!("the tenant demo is in place");
    demo_key::put_in_place(environment).await
}

fn database_url(environment: &Environment) -> anyhow::Result<String> {
    let mut reader = environment.reader();
    let url = reader.required("DATABASE_URL");
    Ok(reader.finish(url)?)
}
