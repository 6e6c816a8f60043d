//! A mesh that is broken on purpose (B5, D6): people call and write while tasks die, stores go away or fall silent, the broker
//! fails, and vendors fail, hang or break off by a seeded plan, and a ledger kept outside the platform is compared with what
//! they got and what the history holds.

mod caller;
mod cut;
mod ledger;
mod plan;
mod site;
mod soak;
mod stand_in;
mod traffic;

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep_until};

use crate::history::History;
use crate::log::Log;

pub use ledger::Verdict;
pub use plan::{Blow, Plan};
use site::Site;
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
    /// Messages of chats begun each second.
    pub chats_a_second: f64,
}

/// Runs a mesh and breaks it.
///
/// # Errors
/// When the mesh or the simulator itself fails; what people lost is the verdict's.
pub async fn run(load: Load, log: &Log) -> anyhow::Result<Verdict> {
    let mut site = Site::open(log).await?;
    let outside = site.outside()?;
    let history = History::open(&site.environment()).await?;
    let plan = Plan::of(load.seed, load.lasting);
    let until = Instant::now() + load.lasting + CALM;
    let (blows, called, written) = tokio::join!(
        strike(&mut site, &plan),
        traffic::calls(&outside, load.calls, until),
        traffic::chats(&outside, load.chats_a_second, until),
    );
    blows.context("break the mesh")?;
    let mut verdict = ledger::judge(&history, called?, written?).await?;
    ledger::judge_letters(&mut verdict, &site.environment()).await?;
    verdict.delivered_again = site.delivered_again();
    site.close().await?;
    Ok(verdict)
}

async fn strike(site: &mut Site, plan: &Plan) -> anyhow::Result<()> {
    let began = Instant::now();
    for (at, blow) in &plan.blows {
        sleep_until(began + *at).await;
        println!("{:>6.1} s  {blow}", began.elapsed().as_secs_f64());
        site.strike(blow).await?;
    }
    site.mend();
    Ok(())
}
