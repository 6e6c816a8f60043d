//! `scripts/chaos`: a mesh that is broken on purpose.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use scripts::chaos::{self, Load};
use scripts::log::{Echo, Log};

/// Breaks a mesh of its own while people call and write, by a seeded plan, and compares what they noted with what they got.
///
/// Ends with 1 when anything was lost, doubled or out of order, callers heard nothing for 8 s more often than once in a hundred
/// times, or dead letters are left whose time is not over; the same seed breaks the same again.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, after_help = "Example:\n  scripts/chaos --seed 7 --seconds 180")]
struct Arguments {
    /// Decides what breaks when [default: the clock].
    #[arg(long)]
    seed: Option<u64>,
    /// How long things break.
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// Calls at a time.
    #[arg(long, default_value_t = 4)]
    calls: usize,
    /// Messages of chats begun each second.
    #[arg(long, default_value_t = 1.0)]
    chats: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    run(&Arguments::parse()).await.unwrap_or_else(|error| {
        eprintln!("chaos: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = arguments.seed.unwrap_or_else(|| clock.map_or(0, |since| since.as_secs()));
    let logs = std::env::temp_dir().join(format!("switchboard-chaos-{seed}"));
    let _ = std::fs::remove_dir_all(&logs);
    println!("seed {seed}; logs in {}", logs.display());
    let log = Log::open(&logs, Echo::Off).context("open the logs")?;
    let load = Load {
        seed,
        lasting: Duration::from_secs(arguments.seconds),
        calls: arguments.calls,
        chats_a_second: arguments.chats,
    };
    let verdict = chaos::run(load, &log).await?;
    println!("{verdict}");
    Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
