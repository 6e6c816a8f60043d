//! What runs and what does not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use boot::Environment;
use bus::{Depth, Queue};
use domain::Timestamp;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use store::dead_letters::{Filter, State};

use super::exposition::{Sample, samples};
use crate::access::Access;
use crate::ended::Ended;
use crate::{instance, print};

/// A task that does not answer within this is not well.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const TARGETS: &str = "SB_OPS_TARGETS";
/// What waits longer than this in any queue, s, is late: a caller has long been apologised to.
const OLD_SECONDS: f64 = 60.0;

/// What one task says of itself.
struct Task {
    address: String,
    name: String,
    service: String,
    version: String,
    state: TaskState,
    dependencies: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TaskState {
    Ready,
    NotReady,
    Away,
}

impl TaskState {
    const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not ready",
            Self::Away => "away",
        }
    }
}

impl Task {
    fn is_v6(&self) -> bool {
        self.address.parse().is_ok_and(|address: SocketAddr| address.is_ipv6())
    }
}

struct QueueState {
    name: &'static str,
    /// What lies in it and in its dead letters, or why that cannot be counted.
    depths: Result<(Depth, Depth), String>,
    /// s; nothing where no task tells.
    oldest: Option<f64>,
}

#[derive(Deserialize)]
struct Health {
    dependencies: BTreeMap<String, String>,
}

pub(super) async fn show(
    environment: &Environment,
    targets: &[String],
    quiet: bool,
    json: bool,
) -> anyhow::Result<Ended> {
    let targets = addresses(environment, targets).await?;
    let access = Access::read(environment).await?;
    let (tasks, queues, letters) =
        tokio::join!(ask_all(&targets), queues(&access), waiting_letters(&access));
    let queues = with_ages(queues, &tasks);
    let letters = letters.map_err(|error| format!("{error:#}"));
    let ailments = ailments_of(&tasks, &queues, &letters);
    let ended = if ailments.is_empty() { Ended::Done } else { Ended::Ailing };
    if quiet {
        for ailment in &ailments {
            print::say(ailment)?;
        }
    } else if print::is_for_programs(json) {
        print::json(&as_json(&tasks, &queues, &letters, &ailments))?;
    } else {
        print_tables(&tasks, &queues, &letters)?;
        for ailment in &ailments {
            print::say(&format!("! {ailment}"))?;
        }
        if ailments.is_empty() {
            print::say("\nall is well")?;
        }
    }
    Ok(ended)
}

/// Where the tasks' operators' ports are: the addresses of each name, which may stand for several tasks.
async fn addresses(
    environment: &Environment,
    given: &[String],
) -> anyhow::Result<Vec<Vec<String>>> {
    let named: Vec<String> = match environment.get(TARGETS) {
        _ if !given.is_empty() => given.to_vec(),
        Some(list) => list.split(',').map(|part| part.trim().to_owned()).collect(),
        None => {
            let running = instance::running(&instance::folder()?)?;
            let running = running.with_context(|| {
                format!("{TARGETS} is not set, and no mesh is up on this machine")
            })?;
            running.endpoints.tasks.iter().map(|task| task.ops.to_string()).collect()
        }
    };
    let mut found = Vec::new();
    for target in named.iter().filter(|target| !target.is_empty()) {
        found.push(match tokio::net::lookup_host(target).await {
            Ok(addresses) => addresses.map(|address| address.to_string()).collect(),
            // It is told as a task that is away.
            Err(_) => vec![target.clone()],
        });
    }
    Ok(found)
}

async fn ask_all(targets: &[Vec<String>]) -> Vec<Task> {
    boot::install_tls();
    let http = reqwest::Client::builder().timeout(ANSWER_LIMIT).build().unwrap_or_default();
    let of_names = targets.iter().map(|addresses| {
        let http = &http;
        join_all(addresses.iter().map(move |address| ask(http, address)))
    });
    let mut tasks: Vec<_> = join_all(of_names).await.into_iter().flat_map(reached).collect();
    tasks.sort_by(|a, b| (&a.service, &a.name, &a.address).cmp(&(&b.service, &b.name, &b.address)));
    tasks.dedup_by(|a, b| a.address == b.address);
    tasks
}

/// The tasks behind one name. It may have addresses of IPv4 and IPv6 for tasks that listen on one of them, as
/// `localhost` has: where a whole family is away and the other answers, nobody is missing.
fn reached(mut tasks: Vec<Task>) -> Vec<Task> {
    let answers =
        |tasks: &[Task], v6| tasks.iter().any(|t| t.is_v6() == v6 && t.state != TaskState::Away);
    for away in [true, false] {
        if !answers(&tasks, away) && answers(&tasks, !away) {
            tasks.retain(|task| task.is_v6() != away);
        }
    }
    tasks
}

async fn ask(http: &reqwest::Client, address: &str) -> Task {
    let get = |path: &str| http.get(format!("http://{address}{path}")).send();
    let (health, metrics) = tokio::join!(get("/health"), get("/metrics"));
    let mut state = TaskState::Away;
    let mut dependencies = BTreeMap::new();
    if let Ok(answer) = health {
        state = if answer.status().is_success() { TaskState::Ready } else { TaskState::NotReady };
        if let Ok(health) = answer.json::<Health>().await {
            dependencies = health.dependencies;
        }
    }
    let text = match metrics {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(_) => String::new(),
    };
    let samples = samples(&text);
    let info = samples.iter().find(|sample| sample.name == "target_info");
    let told = |label: &str| info.map(|info| info.label(label).to_owned()).unwrap_or_default();
    Task {
        address: address.to_owned(),
        name: told("service_instance_id"),
        service: told("service_name"),
        version: told("service_version"),
        state,
        dependencies,
        samples,
    }
}

async fn queues(access: &Access) -> Vec<QueueState> {
    let bus = access.bus();
    let asked = Queue::ALL.iter().map(|queue| {
        let bus = &bus;
        async move {
            let depths = bus.depth(*queue).await.map_err(|error| format!("{error:#}"));
            QueueState { name: queue.name(), depths, oldest: None }
        }
    });
    join_all(asked).await
}

/// How long the oldest message has waited, as the tasks that read its queue tell.
fn with_ages(mut queues: Vec<QueueState>, tasks: &[Task]) -> Vec<QueueState> {
    for queue in &mut queues {
        queue.oldest = samples_of(tasks, "messaging_queue_oldest_message_age_seconds")
            .filter(|(_, sample)| sample.label("messaging_destination_name") == queue.name)
            .map(|(_, sample)| sample.value)
            .max_by(f64::total_cmp);
    }
    queues
}

fn samples_of<'a>(tasks: &'a [Task], name: &str) -> impl Iterator<Item = (&'a Task, &'a Sample)> {
    tasks.iter().flat_map(move |task| {
        let of_name = task.samples.iter().filter(move |sample| sample.name == name);
        of_name.map(move |sample| (task, sample))
    })
}

/// Letters in PostgreSQL that nobody has done anything about.
async fn waiting_letters(access: &Access) -> anyhow::Result<i64> {
    let letters = access.letters().await?;
    let filter = Filter { states: Some(vec![State::Waiting]), ..Filter::default() };
    Ok(letters.counts(&filter).await?.iter().map(|count| count.letters).sum())
}

fn ailments_of(
    tasks: &[Task],
    queues: &[QueueState],
    letters: &Result<i64, String>,
) -> Vec<String> {
    let mut ailments = Vec::new();
    if tasks.is_empty() {
        ailments.push("no task is known".to_owned());
    }
    for task in tasks {
        let name = if task.name.is_empty() { &task.address } else { &task.name };
        match task.state {
            TaskState::Ready => {}
            TaskState::NotReady => {
                let down: Vec<_> = task
                    .dependencies
                    .iter()
                    .filter(|(_, state)| *state != "up")
                    .map(|(name, _)| name.as_str())
                    .collect();
                ailments.push(format!("{name} is not ready: {}", down.join(", ")));
            }
            TaskState::Away => ailments.push(format!("{name} does not answer")),
        }
    }
    for (task, open) in samples_of(tasks, BREAKER).filter(|(_, sample)| sample.value > 0.0) {
        ailments.push(format!(
            "{} rests {} of {}: it fails",
            task.name,
            open.label("request"),
            open.label("vendor")
        ));
    }
    for queue in queues {
        if let Some(age) = queue.oldest.filter(|age| *age > OLD_SECONDS) {
            ailments.push(format!("a message waits in {} since {age:.0} s", queue.name));
        }
        match &queue.depths {
            Ok((_, dead)) if dead.visible + dead.in_flight > 0 => {
                let dead = dead.visible + dead.in_flight;
                ailments.push(format!("{dead} dead letters of {} are not kept yet", queue.name));
            }
            Ok(_) => {}
            Err(why) => ailments.push(format!("{} cannot be counted: {why}", queue.name)),
        }
    }
    match letters {
        Ok(0) => {}
        Ok(letters) => {
            ailments.push(format!("{letters} dead letters wait: switchboardctl dlq list"));
        }
        Err(why) => ailments.push(format!("dead letters cannot be counted: {why}")),
    }
    ailments
}

const BREAKER: &str = "vendor_breaker_open";

fn live_calls(task: &Task) -> Option<f64> {
    let live = task.samples.iter().find(|sample| sample.name == "edge_live_calls");
    live.map(|sample| sample.value)
}

fn as_json(
    tasks: &[Task],
    queues: &[QueueState],
    letters: &Result<i64, String>,
    ailments: &[String],
) -> Value {
    let task = |task: &Task| {
        json!({
            "task": task.name,
            "service": task.service,
            "version": task.version,
            "address": task.address,
            "state": task.state.name(),
            "dependencies": task.dependencies,
            "live_calls": live_calls(task),
        })
    };
    let queue = |queue: &QueueState| {
        let depths = queue.depths.as_ref().ok();
        json!({
            "queue": queue.name,
            "waiting": depths.map(|(live, _)| live.visible),
            "in_flight": depths.map(|(live, _)| live.in_flight),
            "oldest_seconds": queue.oldest,
            "dead_letters": depths.map(|(_, dead)| dead.visible + dead.in_flight),
        })
    };
    let vendor = |(task, sample): (&Task, &Sample)| {
        json!({
            "task": task.name,
            "vendor": sample.label("vendor"),
            "request": sample.label("request"),
            "breaker": if sample.value > 0.0 { "open" } else { "closed" },
        })
    };
    json!({
        "at": print::time(Timestamp::now()),
        "tasks": tasks.iter().map(task).collect::<Vec<_>>(),
        "queues": queues.iter().map(queue).collect::<Vec<_>>(),
        "vendors": samples_of(tasks, BREAKER).map(vendor).collect::<Vec<_>>(),
        "dead_letters_waiting": letters.as_ref().ok(),
        "ailments": ailments,
    })
}

fn print_tables(
    tasks: &[Task],
    queues: &[QueueState],
    letters: &Result<i64, String>,
) -> anyhow::Result<()> {
    let rows: Vec<_> = tasks
        .iter()
        .map(|task| {
            let down = |(name, state): (&String, &String)| format!("{name} {state}");
            [
                if task.name.is_empty() { task.address.clone() } else { task.name.clone() },
                task.state.name().to_owned(),
                task.version.clone(),
                live_calls(task).map(|calls| format!("{calls:.0}")).unwrap_or_default(),
                task.dependencies.iter().map(down).collect::<Vec<_>>().join(", "),
            ]
        })
        .collect();
    print::say(&print::table(["TASK", "STATE", "VERSION", "CALLS", "DEPENDENCIES"], &rows))?;
    let rows: Vec<_> = queues
        .iter()
        .map(|queue| {
            let counted = |count: fn(&(Depth, Depth)) -> u64| match &queue.depths {
                Ok(depths) => count(depths).to_string(),
                Err(_) => "?".to_owned(),
            };
            [
                queue.name.to_owned(),
                counted(|(live, _)| live.visible),
                counted(|(live, _)| live.in_flight),
                queue.oldest.map(|age| print::seconds(age as u64)).unwrap_or_default(),
                counted(|(_, dead)| dead.visible + dead.in_flight),
            ]
        })
        .collect();
    print::say("")?;
    print::say(&print::table(["QUEUE", "WAITING", "IN FLIGHT", "OLDEST", "DEAD"], &rows))?;
    let rows: Vec<_> = samples_of(tasks, BREAKER)
        .map(|(task, sample)| {
            let state = if sample.value > 0.0 { "open" } else { "closed" };
            [
                sample.label("vendor").to_owned(),
                sample.label("request").to_owned(),
                task.name.clone(),
                state.to_owned(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        print::say("")?;
        print::say(&print::table(["VENDOR", "REQUEST", "TASK", "BREAKER"], &rows))?;
    }
    print::say("")?;
    let letters = letters.as_ref().map_or_else(|_| "?".to_owned(), i64::to_string);
    print::say(&format!("dead letters that wait: {letters}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, state: TaskState, metrics: &str) -> Task {
        Task {
            address: "10.0.0.1:9100".to_owned(),
            name: name.to_owned(),
            service: "voice".to_owned(),
            version: String::new(),
            state,
            dependencies: BTreeMap::from([("redis".to_owned(), "down".to_owned())]),
            samples: samples(metrics),
        }
    }

    #[test]
    fn all_that_is_not_well_is_named_and_nothing_else() {
        let well = "vendor_breaker_open{vendor=\"polly\",request=\"tts\"} 0";
        let metrics = "vendor_breaker_open{vendor=\"deepgram\",request=\"stt\"} 1
messaging_queue_oldest_message_age_seconds{messaging_destination_name=\"speak\"} 90";
        let tasks = [
            task("voice-1", TaskState::Ready, metrics),
            task("voice-2", TaskState::Ready, well),
            task("writer-1", TaskState::NotReady, ""),
            task("", TaskState::Away, ""),
        ];
        let queue = |name| QueueState {
            name,
            depths: Ok((Depth::default(), Depth::default())),
            oldest: None,
        };
        let queues = with_ages(vec![queue("speak"), queue("writer")], &tasks);
        assert_eq!(
            ailments_of(&tasks, &queues, &Ok(2)),
            [
                "writer-1 is not ready: redis",
                "10.0.0.1:9100 does not answer",
                "voice-1 rests stt of deepgram: it fails",
                "a message waits in speak since 90 s",
                "2 dead letters wait: switchboardctl dlq list",
            ]
        );
        let tasks = [task("voice-2", TaskState::Ready, well)];
        assert_eq!(ailments_of(&tasks, &[queue("speak")], &Ok(0)), [""; 0]);
    }

    #[test]
    fn what_cannot_be_counted_is_not_well_and_hides_nothing_else() {
        let tasks = [task("voice-2", TaskState::Ready, "")];
        let of = |name, depths| QueueState { name, depths, oldest: None };
        let dead = Depth { visible: 1, in_flight: 0 };
        let queues =
            [of("speak", Err("no route".to_owned())), of("jobs", Ok((Depth::default(), dead)))];
        let letters = Err("no login".to_owned());
        let ailments = ailments_of(&tasks, &queues, &letters);
        assert_eq!(
            ailments,
            [
                "speak cannot be counted: no route",
                "1 dead letters of jobs are not kept yet",
                "dead letters cannot be counted: no login",
            ]
        );
        let told = as_json(&tasks, &queues, &letters, &ailments);
        assert_eq!(told["dead_letters_waiting"], Value::Null);
        assert_eq!(
            (&told["queues"][0]["waiting"], &told["queues"][1]["waiting"]),
            (&Value::Null, &json!(0))
        );
    }

    #[test]
    fn a_family_of_addresses_nobody_listens_on_is_no_task_but_a_task_that_is_away_is() {
        let at = |address: &str, state| {
            let task = task("", state, "");
            Task { address: address.to_owned(), ..task }
        };
        let addresses = |tasks: Vec<Task>| -> Vec<String> {
            reached(tasks).into_iter().map(|task| task.address).collect()
        };
        let (away, ready) = (TaskState::Away, TaskState::Ready);
        let localhost = vec![at("[::1]:9101", away), at("127.0.0.1:9101", ready)];
        assert_eq!(addresses(localhost), ["127.0.0.1:9101"]);
        let service = vec![at("10.0.0.1:9100", away), at("10.0.0.2:9100", ready)];
        assert_eq!(addresses(service).len(), 2, "one of two tasks is away");
        let nobody = vec![at("[::1]:9101", away), at("127.0.0.1:9101", away)];
        assert_eq!(addresses(nobody).len(), 2);
        assert_eq!(addresses(vec![at("edge.nowhere:9100", away)]), ["edge.nowhere:9100"]);
    }
}
