//! `scripts/mesh`: the whole mesh on one machine.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use scripts::log::{Echo, Log};
use scripts::stores::{Broker, Environment, Options, Stores};
use tokio::signal::unix::{SignalKind, signal};

/// Runs Switchboard on this machine: stores, services, simulator.
#[derive(Debug, Parser)]
#[command(name = "mesh", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start only the stores, run a command with the variables that lead to them, stop them, and exit as it did.
    ///
    /// Without a command they stay until Ctrl-C.
    Stores {
        /// Also write the variables to this file, as lines `export NAME='value'`.
        #[arg(long)]
        env_file: Option<PathBuf>,
        /// Which stand-in carries SQS and SNS.
        #[arg(long, value_enum, default_value_t)]
        broker: Broker,
        /// The command and its arguments.
        #[arg(last = true)]
        command: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Stores {
            env_file,
            broker,
            command,
        } => stores(env_file.as_deref(), broker, &command).await,
    }
}

async fn stores(
    env_file: Option<&Path>,
    broker: Broker,
    command: &[String],
) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let logs = tempfile::tempdir().context("create a log folder")?;
    let log = Log::open(logs.path(), Echo::Off)?;
    let options = Options {
        given: std::env::vars().collect(),
        broker,
        ..Options::default()
    };
    let mut stores = Stores::start(&options, &log).await?;
    if let Some(path) = env_file {
        write_env_file(path, stores.environment())?;
    }
    let code = if let Some((program, arguments)) = command.split_first() {
        // In the supervisor's own process group: Ctrl-C is for the command too, and it owns the terminal.
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .envs(stores.environment())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        loop {
            tokio::select! {
                status = child.wait() => break exit_code(status.context("wait for the command")?),
                name = stores.failed() => {
                    eprintln!("mesh: {name} died; its log ends:\n{}", log.tail(name, 20));
                    break ExitCode::FAILURE;
                }
                // The command decides what the signal means; the stores stay until it has ended.
                _ = interrupt.recv() => {}
                _ = terminate.recv() => break ExitCode::from(143),
            }
        }
    } else {
        for (name, url, pid) in stores.started() {
            println!("{name:<10} pid {pid:<8} {url}");
        }
        tokio::select! {
            _ = interrupt.recv() => ExitCode::SUCCESS,
            _ = terminate.recv() => ExitCode::SUCCESS,
            name = stores.failed() => {
                eprintln!("mesh: {name} died; its log ends:\n{}", log.tail(name, 20));
                ExitCode::FAILURE
            }
        }
    };
    stores.stop().await?;
    Ok(code)
}

/// As a shell reports it: 128 and the signal for a process that was killed.
fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The password of the database is in it, so only the owner may read it.
fn write_env_file(path: &Path, environment: &Environment) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    for (name, value) in environment {
        writeln!(file, "export {name}='{}'", value.replace('\'', r"'\''"))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
