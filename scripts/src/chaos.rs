//! A mesh that is broken on purpose (B5, D6): people call and write while tasks die and vendors fail by a seeded plan, and a
//! ledger kept outside the platform is compared with what they got and what the history holds.

mod ledger;
mod plan;
mod soak;
mod traffic;

use std::time::Duration;

use anyhow::Context as _;
use boot::Environment;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::history::History;
use crate::log::Log;
use crate::mesh::{Mesh, Options};
use crate::outside::Outside;

pub use ledger::Verdict;
pub use plan::{Blow, Plan};
pub use soak::{Memory, SoakLoad, SoakVerdict, soak};

/// Quiet at the end, in which nothing breaks: what is under way comes to its end.
const CALM: Duration = Duration::from_secs(20);

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Decides what breaks when; the same again breaks the same.
    pub seed: u64,
    /// How long things break.
    pub lasting: Duration,
    /// Calls at a time.
    pub calls: usize,
    /// Persons who write at a time, each waiting for the answer.
    pub writers: usize,
}

/// Runs a mesh and breaks it.
///
/// # Errors
/// When the mesh or the simulator itself fails; what people lost is the verdict's.
pub async fn run(load: Load, log: &Log) -> anyhow::Result<Verdict> {
    let given = [("SB_LLM".to_owned(), "openai,rules".to_owned())];
    let given = given.into_iter().chain(std::env::vars()).collect();
    let mesh = Mesh::start(Options { given, ..Options::new()? }, log).await?;
    let outside = Outside::new(&mesh.endpoints().simulator)?;
    outside.put("/sim/model", &json!({"mode": "never_alike"})).await?;
    let environment: Environment = mesh.environment().clone().into_iter().collect();
    let history = History::open(&environment).await?;

    let plan = Plan::of(load.seed, load.lasting);
    let until = Instant::now() + load.lasting + CALM;
    let (blows, called, written) = tokio::join!(
        strike(&mesh, &outside, &plan),
        traffic::calls(&outside, load.calls, until),
        traffic::chats(&outside, load.writers, until),
    );
    blows.context("break the mesh")?;
    let verdict = ledger::judge(&history, called?, written?).await?;
    mesh.stop().await?;
    Ok(verdict)
}

async fn strike(mesh: &Mesh, outside: &Outside, plan: &Plan) -> anyhow::Result<()> {
    let began = Instant::now();
    for (at, blow) in &plan.blows {
        sleep_until(began + *at).await;
        println!("{:>6.1} s  {blow}", began.elapsed().as_secs_f64());
        match blow {
            // One that is starting again is not there to be hit.
            Blow::Kill(task) => drop(mesh.kill(task)),
            Blow::Stop(task) => drop(mesh.signal(task, Signal::TERM)),
            Blow::Slow { vendor, ms, times } => {
                let fault = json!({"latency_ms": ms, "times": times});
                outside.put(&format!("/sim/faults/{vendor}"), &fault).await?;
            }
            Blow::Fail { vendor, times } => {
                let fault = json!({"status": 503, "times": times});
                outside.put(&format!("/sim/faults/{vendor}"), &fault).await?;
            }
        }
    }
    Ok(())
}
