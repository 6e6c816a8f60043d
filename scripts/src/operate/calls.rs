//! Live calls, and the edge tasks that hold them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use boot::Environment;
use cache::{CallPhase, CallRecord};
use domain::{CallSid, Timestamp};
use serde_json::json;
use tokio::time::Instant;

use crate::access::Access;
use crate::ended::Ended;
use crate::print;

const POLL: Duration = Duration::from_millis(200);

/// A call that an edge task holds.
struct Live {
    call: CallSid,
    task: String,
    /// Whether the task has been heard of lately.
    task_lives: bool,
    record: CallRecord,
}

pub(super) async fn show(environment: &Environment, json: bool) -> anyhow::Result<Ended> {
    let access = Access::read(environment).await?;
    let (cache, prefix) = (access.cache().await?, &access.settings.queue_prefix);
    let mut live = Vec::new();
    for (queue, task_lives) in cache.edges().await.context("ask for the edge tasks")? {
        for call in cache.calls_of_edge(&queue).await.context("ask for a task's calls")? {
            let record = cache.call_record(&call).await.context("ask for a call")?;
            if record.phase != CallPhase::Ended {
                live.push(Live { call, task: task_of(&queue, prefix), task_lives, record });
            }
        }
    }
    live.sort_by_key(|live| live.record.began_at);
    if print::is_for_programs(json) {
        let calls: Vec<_> = live
            .iter()
            .map(|live| {
                json!({
                    "call": live.call.as_str(),
                    "channel": live.call.channel().as_str(),
                    "task": live.task,
                    "task_lives": live.task_lives,
                    "phase": phase(&live.record),
                    "began_at": live.record.began_at.map(print::time),
                    "turn": live.record.taken.0,
                    "speaking": live.record.speaking.0,
                    "is_held": live.record.is_held,
                })
            })
            .collect();
        print::json(&calls.into())?;
    } else if !live.is_empty() {
        let now = Timestamp::now();
        let rows: Vec<_> = live
            .iter()
            .map(|live| {
                let began = live.record.began_at.map(|at| print::age(at, now));
                [
                    live.call.as_str().to_owned(),
                    live.call.channel().to_string(),
                    live.task.clone() + if live.task_lives { "" } else { " (gone)" },
                    phase(&live.record).to_owned(),
                    began.unwrap_or_default(),
                    live.record.taken.0.to_string(),
                ]
            })
            .collect();
        let header = ["CALL", "CHANNEL", "TASK", "PHASE", "SINCE", "TURN"];
        print::say(&print::table(header, &rows))?;
    }
    if live.is_empty() {
        print::note("no live calls");
        return Ok(Ended::Nothing);
    }
    Ok(Ended::Done)
}

pub(super) async fn drain(
    environment: &Environment,
    task: &str,
    yes: bool,
    wait: Duration,
) -> anyhow::Result<Ended> {
    let access = Access::read(environment).await?;
    let (cache, prefix) = (access.cache().await?, &access.settings.queue_prefix);
    let edges = cache.edges().await.context("ask for the edge tasks")?;
    let alive: Vec<&str> =
        edges.iter().filter(|(_, lives)| *lives).map(|(queue, _)| queue.as_str()).collect();
    let Some(queue) = alive.iter().find(|queue| task_of(queue, prefix) == task) else {
        let names: Vec<_> = alive.iter().map(|queue| task_of(queue, prefix)).collect();
        print::note(&format!("no edge task {task} is alive; there are {}", names.join(", ")));
        return Ok(Ended::Nothing);
    };
    ensure!(
        yes || alive.len() > 1,
        "{task} is the only edge task that is alive: its callers would wait; say --yes"
    );
    let calls = cache.calls_of_edge(queue).await.context("ask for a task's calls")?.len();
    cache.ask_edge_to_stop(queue).await.context("ask the task to hand its calls over")?;
    print::note(&format!("{task} hands over {calls} calls at their next pause, and ends"));
    let give_up_at = Instant::now() + wait;
    while Instant::now() < give_up_at {
        let edges = cache.edges().await.context("ask for the edge tasks")?;
        if !edges.iter().any(|(of, lives)| of == queue && *lives) {
            print::note(&format!("{task} has ended"));
            return Ok(Ended::Done);
        }
        tokio::time::sleep(POLL).await;
    }
    print::note(&format!("{task} has not ended yet; it goes on handing over"));
    Ok(Ended::Stopped)
}

/// The task whose queue this is: `{prefix}-edge-{task}-{start}.fifo`.
fn task_of(queue: &str, prefix: &str) -> String {
    let inner = queue.strip_prefix(prefix).and_then(|rest| rest.strip_prefix("-edge-"));
    let task = inner.and_then(|inner| inner.rsplit_once('-')).map(|(task, _)| task);
    task.unwrap_or(queue).to_owned()
}

/// How far a call has come.
pub(super) fn phase(record: &CallRecord) -> &'static str {
    match record.phase {
        CallPhase::Live => "live",
        // Not to whom: that is somebody's number.
        CallPhase::Transferring(_) => "transferring",
        CallPhase::Ended => "ended",
    }
}

#[cfg(test)]
mod tests {
    use super::task_of;

    #[test]
    fn a_task_is_known_by_its_queue() {
        let queue = bus::Topology::new("sb-dev", false).task_queue_name("edge-2", "0a1b2c3d");
        assert_eq!(task_of(&queue, "sb-dev"), "edge-2");
        assert_eq!(task_of("another.fifo", "sb-dev"), "another.fifo");
    }
}
