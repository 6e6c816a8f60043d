//! `scripts/bench`: measures the mesh on this machine.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use call_core::{Action, event_log};
use clap::{Parser, Subcommand};
use dialogue_core::understand::{Case, score};
use scripts::bench::{self, BookingLoad, CallLoad, ContextLoad, HistoryLoad, Load, Process, Way};
use scripts::chaos::{self, SoakLoad};
use scripts::log::{Echo, Log};
use scripts::mesh::{Mesh, Options};
use serde::Serialize;

/// Measures Switchboard on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the mesh's own share of a turn, beside what the broker alone takes in the same run.
    ///
    /// It starts a mesh of its own, with the simulator's vendors at no delay, and stops it again. Fails only when a
    /// turn was lost.
    Turn(TurnArguments),
    /// Measure what many calls at a time cost: processor and memory of each service, and the mesh's own time.
    ///
    /// As `turn`, on a mesh of its own. Fails only when a turn did not arrive as it was said.
    Calls(CallsArguments),
    /// Have a crowd of simulated people book appointments by voice, in Gather mode and by WhatsApp, and judge each by what stands in
    /// the book and what was sent.
    ///
    /// As `turn`, on a mesh of its own. Fails under 95 of 100, or when the median call takes 90 s.
    Booking(BookingArguments),
    /// Measure how many signed WhatsApp webhooks a second the border takes, from one connection up to the knee; then,
    /// as `chats`, how many messages the whole mesh answers.
    ///
    /// As `turn`, each on a mesh of its own.
    Webhook(RampArguments),
    /// Measure how many WhatsApp messages a second the whole mesh answers, from one person at a time up to the knee,
    /// and what binds there.
    ///
    /// As `turn`, on a mesh of its own. Fails only when a message was lost.
    Chats(RampArguments),
    /// Measure how soon the agent falls silent, and the model is told to stop, when a caller speaks into an answer.
    ///
    /// As `turn`, on a mesh of its own. Fails when other words are kept than were heard.
    Interrupt(InterruptArguments),
    /// Have people write and call for long while Meta fails, throttles, is slow and cuts connections.
    ///
    /// On a mesh of its own. Fails when a message is not answered exactly once, a status is not settled, or, from ten
    /// minutes on, memory grows.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        /// Persons who write at a time.
        #[arg(long, default_value_t = 6)]
        writers: usize,
        /// Calls at a time.
        #[arg(long, default_value_t = 1)]
        calls: usize,
    },
    /// Measure what pages of 30 days cost to read when there is much history, on a PostgreSQL of its own.
    ///
    /// Fails when a question takes longer than 500 ms at its p99.
    History {
        /// Messages.
        #[arg(long, default_value_t = 5_000_000)]
        messages: u32,
        /// Conversations.
        #[arg(long, default_value_t = 500_000)]
        conversations: u32,
        /// How often each question is asked.
        #[arg(long, default_value_t = 100)]
        asks: u32,
        /// Print how PostgreSQL found what each question asked for, too.
        #[arg(long)]
        plans: bool,
    },
    /// Measure what contexts cost to read when Redis holds very many, in a Redis of its own or the one of REDIS_URL.
    ///
    /// Fails when a read takes 50 ms or longer at its p99.
    Contexts {
        /// Contexts in Redis, of 2.4 KB each.
        #[arg(long, default_value_t = 1_000_000)]
        contexts: u32,
        /// Turns: each reads a context and writes it back.
        #[arg(long, default_value_t = 100_000)]
        turns: u32,
        /// Turns at a time.
        #[arg(long, default_value_t = 64)]
        at_once: usize,
    },
    /// Let a call happen again from its event log, in virtual time, and compare what is decided with what was.
    ///
    /// `edge` keeps the log of each call where `SB_CALL_LOG_DIR` says. Fails where the log does not replay byte for byte.
    Replay {
        /// The log, `CALL.ATTEMPT.jsonl`.
        file: std::path::PathBuf,
        /// Print each step that led to more than sound. Words are left out.
        #[arg(long)]
        steps: bool,
    },
    /// Score what is understood without a model on a corpus, and list what was understood otherwise.
    ///
    /// A line of the file is `{"id","kind","text","now","tz","region","prior"?,"expect"}`. Fails under 95 %.
    Understand {
        /// JSON, one object a line.
        file: std::path::PathBuf,
    },
}

/// The share of a corpus that has to be right.
const UNDERSTOOD_MIN: f64 = 0.95;
/// The share of people who have to leave with the appointment they wanted (C6).
const BOOKED_MIN: f64 = 0.95;
/// What the median call may take.
const CALL_MEDIAN_S: f64 = 90.0;
/// What a page of the history may take.
const HISTORY_P99_MS: f64 = 500.0;
/// What the read of a context may take (C4).
const CONTEXT_P99_MS: f64 = 50.0;

#[derive(Debug, clap::Args)]
struct TurnArguments {
    /// Calls, of four turns each.
    #[arg(long, default_value_t = 24)]
    calls: usize,
    /// Calls at a time.
    #[arg(long, default_value_t = 4)]
    at_once: usize,
    /// WhatsApp chats, of four turns each, one at a time.
    #[arg(long, default_value_t = 24)]
    chats: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure the mesh of the simulator at this address instead; its stores are those of the environment.
    #[arg(long, value_name = "URL")]
    at: Option<String>,
}

#[derive(Debug, clap::Args)]
struct BookingArguments {
    /// People, one call or chat each.
    #[arg(long, default_value_t = 100)]
    callers: usize,
    /// Calls and chats at a time.
    #[arg(long, default_value_t = 10)]
    at_once: usize,
    /// Decides who they are and what they say; the same again is the same crowd.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How they come; `mixed` is each way in turn.
    #[arg(long, value_enum, default_value_t = Mode::Mixed)]
    mode: Mode,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure the mesh of the simulator at this address instead; its stores are those of the environment.
    #[arg(long, value_name = "URL")]
    at: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Stream,
    Gather,
    Chat,
    Mixed,
}

#[derive(Debug, clap::Args)]
struct InterruptArguments {
    /// Callers who interrupt, one after the other; as many say "uh-huh", "okay", and cough.
    #[arg(long, default_value_t = 10)]
    calls: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure the mesh of the simulator at this address instead; its stores are those of the environment.
    #[arg(long, value_name = "URL")]
    at: Option<String>,
}

#[derive(Debug, clap::Args)]
struct CallsArguments {
    /// Calls at a time.
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// How long they are watched once all have begun.
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure the mesh of the simulator at this address instead; its stores are those of the environment.
    #[arg(long, value_name = "URL")]
    at: Option<String>,
    /// A process of that mesh, to be measured. May be given several times.
    #[arg(long = "process", value_name = "NAME=PID", value_parser = process)]
    processes: Vec<Process>,
}

#[derive(Debug, clap::Args)]
struct RampArguments {
    /// How long each number of connections, or of people, is watched.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure the mesh of the simulator at this address instead; its border and stores are those of the environment.
    #[arg(long, value_name = "URL")]
    at: Option<String>,
    /// A process of that mesh, to be measured. May be given several times.
    #[arg(long = "process", value_name = "NAME=PID", value_parser = process)]
    processes: Vec<Process>,
}

fn process(argument: &str) -> Result<Process, String> {
    let (name, pid) = argument.split_once('=').ok_or("not of the form NAME=PID")?;
    let pid = pid.parse().map_err(|_| "PID is not a number")?;
    Ok(Process { name: name.to_owned(), pid })
}

#[tokio::main]
async fn main() -> ExitCode {
    let measured = match &Arguments::parse().command {
        &Command::History { messages, conversations, asks, plans } => {
            history(HistoryLoad { messages, conversations, asks }, plans).await
        }
        &Command::Contexts { contexts, turns, at_once } => {
            measure_contexts(ContextLoad { contexts, turns, at_once }).await
        }
        &Command::Soak { minutes, writers, calls } => soak(minutes, writers, calls).await,
        Command::Replay { file, steps } => replay(file, *steps),
        Command::Understand { file } => understand(file),
        Command::Turn(arguments) => match &arguments.at {
            Some(simulator) => turn(simulator, arguments).await,
            None => on_a_mesh_of_its_own(own_arguments()).await,
        },
        Command::Interrupt(arguments) => match &arguments.at {
            Some(simulator) => interrupt(simulator, arguments).await,
            None => on_a_mesh_of_its_own(own_arguments()).await,
        },
        Command::Calls(arguments) => match &arguments.at {
            Some(simulator) => calls(simulator, arguments).await,
            None => on_a_mesh_of_its_own(own_arguments()).await,
        },
        Command::Booking(arguments) => match &arguments.at {
            Some(simulator) => booking(simulator, arguments).await,
            None => on_a_mesh_of_its_own(own_arguments()).await,
        },
        Command::Webhook(arguments) => match &arguments.at {
            Some(_) => webhook(arguments).await,
            None => border_then_whole().await,
        },
        Command::Chats(arguments) => match &arguments.at {
            Some(simulator) => chats(simulator, arguments).await,
            None => on_a_mesh_of_its_own(own_arguments()).await,
        },
    };
    measured.unwrap_or_else(|error| {
        eprintln!("bench: {error:#}");
        ExitCode::FAILURE
    })
}

async fn history(load: HistoryLoad, plans: bool) -> anyhow::Result<ExitCode> {
    let report = bench::history(load).await?;
    print!("{report}");
    if plans {
        print!("{}", report.plans());
    }
    let is_met = report.questions.iter().all(|question| question.p99_ms < HISTORY_P99_MS);
    Ok(if is_met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure_contexts(load: ContextLoad) -> anyhow::Result<ExitCode> {
    let report = bench::contexts(load).await?;
    print!("{report}");
    let is_met = report.read_p99_ms < CONTEXT_P99_MS;
    Ok(if is_met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn soak(minutes: f64, writers: usize, calls: usize) -> anyhow::Result<ExitCode> {
    let lasting = Duration::try_from_secs_f64(60.0 * minutes).context("read --minutes")?;
    let logs = std::env::temp_dir().join(format!("switchboard-soak-{}", std::process::id()));
    println!("logs in {}", logs.display());
    let log = Log::open(&logs, Echo::Off).context("open the logs")?;
    let verdict = chaos::soak(SoakLoad { lasting, writers, calls }, &log).await?;
    print!("{verdict}");
    Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What comes with every frame or sentence and tells nothing of the talk.
fn is_sound(action: &Action) -> bool {
    matches!(
        action,
        Action::SendAudio(_)
            | Action::SendMark(_)
            | Action::HeardProgress { .. }
            | Action::RecordingPart { .. }
            | Action::RecordingBlock { .. }
    )
}

fn replay(file: &std::path::Path, steps: bool) -> anyhow::Result<ExitCode> {
    let log = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let started = std::time::Instant::now();
    let mut shown = String::new();
    let replayed = event_log::replay(&log, |at, input, actions| {
        let mut told = actions.iter().filter(|action| !is_sound(action)).peekable();
        if steps && told.peek().is_some() {
            shown += &format!("{:>9.3} s  {input:?}\n", at.as_secs_f64());
            shown.extend(told.map(|action| format!("{:13}{action:?}\n", "")));
        }
    });
    // Whoever reads it may have seen enough.
    let _ = std::io::stdout().write_all(shown.as_bytes());
    let replayed = replayed?;
    let event_log::Replayed { inputs, actions, lasted, is_cut } = replayed;
    println!(
        "{inputs} inputs led to the same {actions} actions as logged; {:.1} s of the call in {:.2} s{}",
        lasted.as_secs_f64(),
        started.elapsed().as_secs_f64(),
        if is_cut { "; the log stops in the middle of the call" } else { "" },
    );
    Ok(ExitCode::SUCCESS)
}

fn understand(file: &std::path::Path) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let cases: Vec<Case> = lines
        .map(|(n, line)| {
            serde_json::from_str(line).with_context(|| format!("read line {} of the corpus", n + 1))
        })
        .collect::<anyhow::Result<_>>()?;
    let score = score(&cases);
    print!("{score}");
    Ok(if score.share() >= UNDERSTOOD_MIN { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn turn(simulator: &str, arguments: &TurnArguments) -> anyhow::Result<ExitCode> {
    let &TurnArguments { calls, at_once, chats, .. } = arguments;
    let load = Load { calls, at_once: at_once.max(1), chats };
    let report = bench::turn(simulator, &boot::Environment::of_process(), load).await?;
    print(&report, arguments.json)?;
    let agrees = report.waveform.as_ref().is_none_or(bench::Waveform::agrees);
    Ok(if report.lost_turns == 0 && agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn interrupt(simulator: &str, arguments: &InterruptArguments) -> anyhow::Result<ExitCode> {
    let environment = boot::Environment::of_process();
    let report = bench::interrupt(simulator, &environment, arguments.calls.max(1)).await?;
    print(&report, arguments.json)?;
    let is_good = report.not_as_heard == 0 && report.listening.false_interruptions().0 == 0;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn calls(simulator: &str, arguments: &CallsArguments) -> anyhow::Result<ExitCode> {
    let watched =
        Duration::try_from_secs_f64(60.0 * arguments.minutes).context("read --minutes")?;
    let load = CallLoad { calls: arguments.calls.max(1), watched };
    let environment = boot::Environment::of_process();
    let report = bench::calls(simulator, &environment, &arguments.processes, load).await?;
    print(&report, arguments.json)?;
    Ok(if report.faulty_turns == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn booking(simulator: &str, arguments: &BookingArguments) -> anyhow::Result<ExitCode> {
    let &BookingArguments { callers, at_once, seed, mode, .. } = arguments;
    let way = match mode {
        Mode::Stream => Some(Way::Stream),
        Mode::Gather => Some(Way::Gather),
        Mode::Chat => Some(Way::Chat),
        Mode::Mixed => None,
    };
    let load = BookingLoad { callers, at_once: at_once.max(1), seed, way };
    let report = bench::booking(simulator, &boot::Environment::of_process(), load).await?;
    print(&report, arguments.json)?;
    let is_met = report.succeeded() as f64 >= BOOKED_MIN * callers as f64
        && report.call_median_s.is_none_or(|median| median < CALL_MEDIAN_S);
    Ok(if is_met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn webhook(arguments: &RampArguments) -> anyhow::Result<ExitCode> {
    let each = Duration::try_from_secs_f64(arguments.seconds).context("read --seconds")?;
    let environment = boot::Environment::of_process();
    let report = bench::webhook(&environment, &arguments.processes, each).await?;
    print(&report, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

async fn chats(simulator: &str, arguments: &RampArguments) -> anyhow::Result<ExitCode> {
    let each = Duration::try_from_secs_f64(arguments.seconds).context("read --seconds")?;
    let environment = boot::Environment::of_process();
    let report = bench::chats(simulator, &environment, &arguments.processes, each).await?;
    print(&report, arguments.json)?;
    Ok(if report.lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// For people, or as one JSON object.
fn print(report: &(impl Serialize + Display), as_json: bool) -> anyhow::Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(report).context("write the report")?);
    } else {
        print!("{report}");
    }
    Ok(())
}

/// What this program was called with.
fn own_arguments() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}

/// The border by itself, and the mesh behind it on one whose services all work.
async fn border_then_whole() -> anyhow::Result<ExitCode> {
    let border = on_a_mesh_of_its_own(own_arguments()).await?;
    println!();
    let whole = std::iter::once("chats".into()).chain(std::env::args_os().skip(2));
    let whole = on_a_mesh_of_its_own(whole.collect()).await?;
    Ok(if border == ExitCode::SUCCESS { whole } else { border })
}

/// Runs this program once more with the variables of a fresh mesh: a process of its own is the one way to have the AWS
/// client take them. The first of the arguments is the command, which alone knows what it needs.
async fn on_a_mesh_of_its_own(arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let logs = tempfile::tempdir().context("create a log folder")?;
    let log = Log::open(logs.path(), Echo::Off)?;
    eprintln!("starting a mesh");
    let command = arguments.first().and_then(|command| command.to_str()).unwrap_or_default();
    let mut given: std::collections::BTreeMap<_, _> = std::env::vars().collect();
    let needed = match command {
        "interrupt" => Some(("SB_LLM", "openai,rules".to_owned())),
        "webhook" => Some(("SB_EDGE_CONSUMES", "none".to_owned())),
        "chats" => Some(("WHATSAPP_MESSAGES_PER_SECOND", bench::RAISED_RATE.to_string())),
        _ => None,
    };
    if let Some((name, value)) = needed {
        given.entry(name.to_owned()).or_insert(value);
    }
    let options = Options { given, ..Options::new()? };
    let mesh = Mesh::start(options, &log).await?;
    let program = std::env::current_exe().context("find this program")?;
    let processes = mesh.processes().map(|(name, pid)| format!("--process={name}={pid}"));
    let is_watched = matches!(command, "calls" | "webhook" | "chats");
    let mut child = tokio::process::Command::new(program)
        .args(&arguments)
        .args(["--at", &mesh.endpoints().simulator])
        .args(processes.filter(|_| is_watched))
        .envs(mesh.environment())
        .kill_on_drop(true)
        .spawn()
        .context("start the measurement")?;
    // Interrupted, this process ends with it and takes the mesh along.
    let status = tokio::select! {
        status = child.wait() => Some(status.context("wait for the measurement")?),
        _ = tokio::signal::ctrl_c() => None,
    };
    mesh.stop().await?;
    let succeeded = status.is_some_and(|status| status.success());
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
