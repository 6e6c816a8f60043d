//! The operators' command line. It reads the same variables as the services (DESIGN section 9).

use boot::{CommonSettings, Environment};
use clap::{Parser, Subcommand};

/// Operates a Switchboard: its database, its queues, its tenants.
#[derive(Debug, Parser)]
#[command(name = "switchboardctl", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the database behind `DATABASE_URL` to this release's schema, from any earlier state.
    Migrate,
    /// Create the queues, topic, bucket, key and secrets that are missing.
    Provision,
    /// Put the tenant `demo` with its addresses in place; what is there stays as it is.
    SeedDemo,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let environment = Environment::of_process();
    match Arguments::parse().command {
        Command::Migrate => {
            let applied = store::migrate::run(&database_url(&environment)?).await?;
            for step in &applied {
                println!("applied {step}");
            }
            if applied.is_empty() {
                println!("nothing to apply");
            }
        }
        Command::Provision => {
            let mut reader = environment.reader();
            let settings = CommonSettings::read(&mut reader, "switchboardctl");
            let settings = reader.finish(settings)?;
            scripts::provision::provision(&settings).await?;
            println!("provisioned {}", settings.queue_prefix);
        }
        Command::SeedDemo => {
            store::seed::demo(&database_url(&environment)?).await?;
            println!("the tenant demo is in place");
        }
    }
    Ok(())
}

fn database_url(environment: &Environment) -> anyhow::Result<String> {
    let mut reader = environment.reader();
    let url = reader.required("DATABASE_URL");
    Ok(reader.finish(url)?)
}
