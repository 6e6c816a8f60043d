//! `scripts/mesh`: the whole mesh on one machine.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use scripts::demo;
use scripts::demo_key;
use scripts::instance::{self, Claim, Details};
use scripts::log::{Echo, Log};
use scripts::mesh::{Mesh, Options};
use scripts::stores::{self, Broker, Environment, Stores};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// DESIGN section 9.
const EDGE_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8000);
/// Longer than four kinds of services may drain one after the other.
const DOWN_LIMIT: Duration = Duration::from_secs(180);

/// Runs Switchboard on this machine: stores, services, simulator.
///
/// Every variable of the README's table that is set wins over what the mesh would choose itself.
#[derive(Debug, Parser)]
#[command(name = "mesh", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything, print where it listens, and stay in front with its log until Ctrl-C or `mesh down`.
    Up(UpArguments),
    /// Make two calls and a chat, and print the transcripts; where no mesh is up, start one and stop it again.
    Demo {
        /// Drive the mesh of the simulator at this address instead; its stores are those of the environment.
        #[arg(long, value_name = "URL")]
        at: Option<String>,
    },
    /// Stop the mesh that is up, and wait until it has stopped.
    Down,
    /// Print the variables of the mesh that is up, as lines `export NAME='value'`.
    Env,
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

#[derive(Debug, clap::Args)]
struct UpArguments {
    /// Which stand-in carries SQS and SNS.
    #[arg(long, value_enum, default_value_t)]
    broker: Broker,
    /// Use AWS itself instead of stand-ins: region, endpoints and credentials as the SDK finds them.
    #[arg(long)]
    aws: bool,
    /// Tasks of each service.
    #[arg(long, default_value_t = 2)]
    tasks: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    run(Arguments::parse().command).await.unwrap_or_else(|error| {
        eprintln!("mesh: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(arguments) => up(&arguments).await,
        Command::Demo { at: Some(simulator) } => {
            demo::drive(&simulator, &boot::Environment::of_process()).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo { at: None } => demonstrate().await,
        Command::Down => down().await,
        Command::Env => env(),
        Command::Stores { env_file, broker, command } => {
            run_stores(env_file.as_deref(), broker, &command).await
        }
    }
}

/// What ends a command that stays in front.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn up(arguments: &UpArguments) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let folder = instance::folder()?;
    let Some(claim) = Claim::take(&folder)? else {
        anyhow::bail!("a mesh is up already; `scripts/mesh down` stops it");
    };
    let logs = fresh_logs(&folder)?;
    let log = Log::open(&logs, Echo::Stdout)?;
    log.say("starting");
    let options = Options {
        given: std::env::vars().collect(),
        broker: arguments.broker,
        aws_stand_ins: !arguments.aws,
        tasks_per_service: arguments.tasks,
        edge: Some(EDGE_LISTEN),
        ..Options::new()?
    };
    // Interrupted while starting, what has begun is killed as its handles are dropped.
    let mut mesh = tokio::select! {
        mesh = Mesh::start(options, &log) => mesh?,
        () = interrupts.next() => return Ok(ExitCode::FAILURE),
    };
    let endpoints = mesh.endpoints();
    claim.publish(&Details {
        endpoints: endpoints.clone(),
        environment: mesh.environment().clone(),
        logs: logs.clone(),
    })?;
    for (name, url, pid) in mesh.stores() {
        log.say(&format!("{name:<16} pid {pid:<8} {}", without_password(url)));
    }
    for task in &endpoints.tasks {
        let pid = task.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        log.say(&format!("{:<16} pid {pid:<8} http://{}/health", task.name, task.ops));
    }
    log.say(&format!("logs in {}", logs.display()));
    log.say(&format!("simulator at {}", endpoints.simulator));
    if let Some(key) = mesh.environment().get(demo_key::VARIABLE) {
        log.say(&format!("API of the tenant demo: {}/api/docs, key {key}", endpoints.edge));
    }
    log.say(&format!("up: {} (Ctrl-C or `scripts/mesh down` stops it)", endpoints.edge));

    let code = tokio::select! {
        () = interrupts.next() => ExitCode::SUCCESS,
        name = mesh.store_failed() => {
            log.say(&format!("{name} died; its log ends:\n{}", log.tail(name, 20)));
            ExitCode::FAILURE
        }
    };
    log.say("stopping (again to kill)");
    tokio::select! {
        stopped = mesh.stop() => stopped?,
        () = interrupts.next() => return Ok(ExitCode::FAILURE),
    }
    log.say("stopped");
    drop(claim);
    Ok(code)
}

/// Finds or starts a mesh, and drives it.
async fn demonstrate() -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let folder = instance::folder()?;
    let Some(claim) = Claim::take(&folder)? else {
        let Some(details) = instance::running(&folder)? else {
            anyhow::bail!("a mesh is starting or stopping; try again in a moment");
        };
        println!("the mesh that is up, at {}", details.endpoints.edge);
        return drive(&details.endpoints.simulator, &details.environment, &mut interrupts).await;
    };
    let logs = fresh_logs(&folder)?;
    let log = Log::open(&logs, Echo::Off)?;
    println!("starting a mesh; its logs are in {}", logs.display());
    let options = Options { given: std::env::vars().collect(), ..Options::new()? };
    let mesh = tokio::select! {
        mesh = Mesh::start(options, &log) => mesh?,
        () = interrupts.next() => return Ok(ExitCode::FAILURE),
    };
    let endpoints = mesh.endpoints();
    println!("it is up at {} with {} tasks", endpoints.edge, endpoints.tasks.len());
    let outcome = drive(&endpoints.simulator, mesh.environment(), &mut interrupts).await;
    println!("\nstopping it");
    mesh.stop().await?;
    drop(claim);
    outcome
}

/// Runs `mesh demo --at` with the mesh's variables: a process of its own is the one way to have the AWS client take them.
async fn drive(
    simulator: &str,
    environment: &Environment,
    interrupts: &mut Interrupts,
) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("find this program")?;
    let mut child = tokio::process::Command::new(program)
        .args(["demo", "--at", simulator])
        .envs(environment)
        .kill_on_drop(true)
        .spawn()
        .context("start the demonstration")?;
    tokio::select! {
        status = child.wait() => Ok(exit_code(status.context("wait for the demonstration")?)),
        () = interrupts.next() => Ok(ExitCode::FAILURE),
    }
}

/// A folder for the logs of this run: the last one's lines would read as this one's.
fn fresh_logs(folder: &Path) -> anyhow::Result<PathBuf> {
    let logs = folder.join("logs");
    match std::fs::remove_dir_all(&logs) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", logs.display()))
        }
        _ => Ok(logs),
    }
}

async fn down() -> anyhow::Result<ExitCode> {
    let stopped = instance::stop_running(&instance::folder()?, DOWN_LIMIT).await?;
    println!("{}", if stopped { "stopped" } else { "no mesh is up" });
    Ok(ExitCode::SUCCESS)
}

fn env() -> anyhow::Result<ExitCode> {
    let Some(details) = instance::running(&instance::folder()?)? else {
        anyhow::bail!("no mesh is up");
    };
    print!("{}", exports(&details.environment));
    Ok(ExitCode::SUCCESS)
}

async fn run_stores(
    env_file: Option<&Path>,
    broker: Broker,
    command: &[String],
) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let logs = tempfile::tempdir().context("create a log folder")?;
    let log = Log::open(logs.path(), Echo::Off)?;
    let options =
        stores::Options { given: std::env::vars().collect(), broker, ..stores::Options::default() };
    let mut stores = Stores::start(&options, &log).await?;
    if let Some(path) = env_file {
        write_private(path, &exports(stores.environment()))?;
    }
    let failed = |name: &str| {
        eprintln!("mesh: {name} died; its log ends:\n{}", log.tail(name, 20));
        ExitCode::FAILURE
    };
    let code = if let Some((program, arguments)) = command.split_first() {
        // In this process's own group: the command owns the terminal, and Ctrl-C is for it to answer.
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .envs(stores.environment())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        loop {
            tokio::select! {
                status = child.wait() => break exit_code(status.context("wait for the command")?),
                name = stores.failed() => break failed(name),
                _ = interrupts.interrupt.recv() => {}
                _ = interrupts.terminate.recv() => break ExitCode::FAILURE,
            }
        }
    } else {
        for (name, url, pid) in stores.started() {
            println!("{name:<10} pid {pid:<8} {}", without_password(url));
        }
        tokio::select! {
            () = interrupts.next() => ExitCode::SUCCESS,
            name = stores.failed() => failed(name),
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

/// What a shell reads back as the same variables.
fn exports(environment: &Environment) -> String {
    environment
        .iter()
        .map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', r"'\''")))
        .collect()
}

/// Passwords and keys are in it, so only the owner may read it.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}

/// A store's address as it may be shown.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}
