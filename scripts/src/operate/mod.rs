//! `switchboardctl status|calls|trace|tail|tenants|agents`: what runs, who is hurt, what may be done (F3, F4).

mod agents;
mod calls;
mod exposition;
mod knowledge;
mod sight;
mod status;
mod tail;
pub(crate) mod tenants;
mod trace;

use std::time::Duration;

use boot::Environment;
use clap::{Args, Subcommand};

use crate::ended::Ended;
use sight::Sight;

/// What an operator may ask.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what runs and what does not: tasks, queues, dead letters, dependencies, vendors.
    ///
    /// Ends with 5 when something is not well. Tasks are found by SB_OPS_TARGETS, a list of addresses such as
    /// `edge.switchboard.local:9100`; a name that stands for several addresses means all of them. Without it, those of
    /// the mesh that is up on this machine.
    #[command(after_help = "Examples:
  switchboardctl status
  switchboardctl status --json | jq -r '.ailments[]'
  switchboardctl status --quiet || page-somebody")]
    Status {
        /// Addresses of tasks, instead of those of SB_OPS_TARGETS.
        #[arg(long, value_delimiter = ',')]
        targets: Vec<String>,
        /// Say only what is not well.
        #[arg(long)]
        quiet: bool,
        /// How it is to look.
        #[command(flatten)]
        form: Form,
    },
    /// Show the calls that are live, and who holds them.
    ///
    /// `calls drain TASK` has an edge task hand its calls to the others, as a deploy does. Ends with 3 when there is none.
    #[command(
        after_help = "Examples:
  switchboardctl calls
  switchboardctl calls drain edge-2",
        args_conflicts_with_subcommands = true
    )]
    Calls {
        /// What to do, instead of showing them.
        #[command(subcommand)]
        act: Option<CallsAct>,
        /// How it is to look.
        #[command(flatten)]
        form: Form,
    },
    /// Show what became of a call, a chat or one turn of it, hop by hop.
    ///
    /// From the history in PostgreSQL, and from Redis where it is live; from Redis alone while PostgreSQL is away. No
    /// words of anybody are shown. Ends with 3 when it is not known.
    #[command(after_help = "Examples:
  switchboardctl trace CA0123456789abcdef0123456789abcdef
  switchboardctl trace 5f0c2a7e-5a4f-5a6b-9b1e-8f3f6a1d2c3b --tenant demo
  switchboardctl trace CA0123456789abcdef0123456789abcdef:3 --json")]
    Trace {
        /// A call's SID, a conversation's id, or either with `:` and the number of a turn.
        what: String,
        /// Only of this tenant, by name or id.
        #[arg(long)]
        tenant: Option<String>,
        /// How it is to look.
        #[command(flatten)]
        form: Form,
    },
    /// Show what happens, as it happens.
    ///
    /// One line an event, JSON where a program reads it. Texts are masked.
    #[command(after_help = "Examples:
  switchboardctl tail --tenant demo
  switchboardctl tail --since 10m --no-follow --json | jq -r .event.kind
  switchboardctl tail --tenant demo --reveal --as ann")]
    Tail(tail::Arguments),
    /// Show the tenants, their addresses, and whether their settings can be used.
    ///
    /// Ends with 5 when a tenant's settings cannot.
    #[command(after_help = "Example:\n  switchboardctl tenants --json | jq -r '.[].slug'")]
    Tenants {
        /// How it is to look.
        #[command(flatten)]
        form: Form,
    },
    /// Put, list and remove the documents that the agents answer from.
    #[command(
        subcommand,
        after_help = "Examples:
  switchboardctl knowledge put prices.txt --tenant demo --title Prices --source \"our price list\"
  switchboardctl knowledge list --tenant demo"
    )]
    Knowledge(knowledge::Command),
    /// Show the agents that are switched on.
    #[command(after_help = "Example:\n  switchboardctl agents --tenant demo")]
    Agents {
        /// Only of this tenant, by name or id.
        #[arg(long)]
        tenant: Option<String>,
        /// How it is to look.
        #[command(flatten)]
        form: Form,
    },
}

/// What may be done about live calls.
#[derive(Debug, Subcommand)]
pub enum CallsAct {
    /// Have an edge task hand over its calls at their next pause and end; it is started again by whoever runs it.
    #[command(after_help = "Examples:
  switchboardctl calls drain edge-2
  switchboardctl calls drain edge-2 --wait-seconds 600 && echo it has ended")]
    Drain {
        /// The task's name, such as `edge-2`.
        task: String,
        /// Also the only one that is alive: its callers wait until it is there again.
        #[arg(long)]
        yes: bool,
        /// Wait so many seconds until it has ended.
        #[arg(long, default_value_t = 120)]
        wait_seconds: u64,
    },
}

/// How the answer is to look.
#[derive(Args, Clone, Copy, Debug)]
pub struct Form {
    /// Print JSON, also on a terminal.
    #[arg(long)]
    json: bool,
}

/// Runs a command. What it finds goes to the standard output: as a table for people, as JSON for programs.
///
/// # Errors
/// When a store that it cannot do without cannot be reached, or an argument makes no sense.
pub async fn run(command: Command, environment: &Environment) -> anyhow::Result<Ended> {
    match command {
        Command::Status { targets, quiet, form } => {
            status::show(environment, &targets, quiet, form.json).await
        }
        Command::Calls { act: None, form } => calls::show(environment, form.json).await,
        Command::Calls { act: Some(CallsAct::Drain { task, yes, wait_seconds }), .. } => {
            calls::drain(environment, &task, yes, Duration::from_secs(wait_seconds)).await
        }
        Command::Trace { what, tenant, form } => {
            trace::show(environment, &what, tenant.as_deref(), form.json).await
        }
        Command::Tail(arguments) => tail::follow(environment, &arguments).await,
        Command::Tenants { form } => {
            tenants::show(&Sight::open(environment).await?, form.json).await
        }
        Command::Knowledge(command) => knowledge::run(command, environment).await,
        Command::Agents { tenant, form } => {
            let sight = Sight::open(environment).await?;
            agents::show(&sight, tenant.as_deref(), form.json).await
        }
    }
}
