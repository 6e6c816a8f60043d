//! The faults, each made on the mesh of the scene and mended again, but for the last.

use std::time::Duration;

use bus::{Bus, Destination, Queue};
use domain::{Channel, ConversationId, Envelope, EventId, Ping, Timestamp};
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use simulator::caller::{CallReport, CallScript};
use store::seed::{DEMO, DEMO_NUMBER};
use tokio::time::sleep;
use uuid::Uuid;

use crate::promtool::{Case, Course, Sample};
use crate::scene::{SOCKETS, Scene};

/// How long an orchestrator answers nobody: beyond what a turn may take, within the time after which its messages go to another.
const NO_ANSWER: Duration = Duration::from_secs(4);
/// How long PostgreSQL answers nobody: beyond what a request may take, within what is waited for a connection.
const NO_QUERY: Duration = Duration::from_millis(1_500);
/// Requests at once, more than a task has connections.
const LOOKERS: usize = 20;

fn case(name: &'static str, samples: Vec<Sample>, fires: &'static [&'static str]) -> Case {
    Case { name, course: Course::Stays, samples, fires, may_fire: &[] }
}

pub async fn a_task_hangs(scene: &Scene) -> Case {
    let before = scene.sample().await;
    scene.mesh.signal("writer-1", Signal::STOP).unwrap();
    let during = scene.sample().await;
    scene.mesh.signal("writer-1", Signal::CONT).unwrap();
    scene.until("writer that tells again", |sample| sample.sum("up", &[]) == 4.0).await;
    case("a task hangs", vec![before, during], &["TaskDown", "ServiceGone"])
}

pub async fn the_sockets_are_full_and_answers_late(scene: &Scene) -> Case {
    let answers =
        |sample: &Sample| sample.sum("edge_turn_answer_seconds_bucket", &[("le", "+Inf")]);
    let live = |sample: &Sample| sample.sum("edge_live_calls", &[]);
    let before = scene.sample().await;
    let mut calls = Vec::new();
    for number in 1..SOCKETS {
        let from = format!("+1555777095{number}");
        calls.push(scene.outside.place(&staying(&from, &[])).await.unwrap());
    }
    let speaks = staying("+15557770950", &["I would like an appointment"]);
    let speaks = scene.outside.place(&speaks).await.unwrap();
    scene.outside.call_until(&speaks, |call| !call.said.is_empty()).await.unwrap();
    scene.mesh.signal("orchestrator-1", Signal::STOP).unwrap();
    let has_spoken = |call: &CallReport| call.said.iter().any(|said| said.end_ms.is_some());
    scene.outside.call_until(&speaks, has_spoken).await.unwrap();
    sleep(NO_ANSWER).await;
    scene.mesh.signal("orchestrator-1", Signal::CONT).unwrap();
    let is_so =
        |sample: &Sample| answers(sample) > answers(&before) && live(sample) == SOCKETS as f64;
    let during = scene.until("late answer beside as many calls as there may be", is_so).await;
    for sid in calls.iter().chain([&speaks]) {
        scene.outside.tell(&format!("/sim/calls/{sid}/hangup"), &json!({})).await.unwrap();
    }
    scene.until("end of the calls", |sample| live(sample) == 0.0).await;
    let samples = vec![before, during];
    case("the sockets are full and answers late", samples, &["SocketsNearlyFull", "TurnsSlow"])
}

/// A caller who does not hang up.
fn staying(from: &str, texts: &[&str]) -> CallScript {
    let mut script = CallScript::new(from, DEMO_NUMBER, texts.iter().copied());
    script.options.stays = true;
    script
}

pub async fn a_vendor_is_away(scene: &Scene) -> Case {
    let of_vendor = [("vendor", "deepgram"), ("request", "speak")];
    let failures = |sample: &Sample| {
        let failed = [of_vendor[0], of_vendor[1], ("error_type", "unavailable")];
        sample.sum("vendor_request_duration_seconds_count", &failed)
    };
    let missing = |sample: &Sample| sample.sum("edge_prompts_missing", &[]);
    let rests = |sample: &Sample| sample.sum("vendor_breaker_open", &of_vendor) > 0.0;
    let before = scene.sample().await;
    scene.outside.put("/sim/faults/deepgram/speak", &json!({"status": 503})).await.unwrap();
    scene.set(&json!({"greeting": "Good day, what can I do for you?"})).await;
    let begun = |sample: &Sample| missing(sample) > 0.0 && failures(sample) > failures(&before);
    let begun = scene.until("greeting that cannot be spoken", begun).await;
    let resting = |sample: &Sample| {
        rests(sample) && missing(sample) > 0.0 && failures(sample) > failures(&begun) + 2.0
    };
    let resting = scene.until("vendor that is left alone", resting).await;
    scene.outside.put("/sim/faults/deepgram/speak", &json!({})).await.unwrap();
    let is_mended = |sample: &Sample| missing(sample) == 0.0 && !rests(sample);
    scene.until("greeting that is spoken", is_mended).await;
    let fires = &["PromptsMissing", "VendorErrors", "VendorResting"];
    case("a vendor is away", vec![before, begun, resting], fires)
}

pub async fn a_clock_is_ahead(scene: &Scene) -> Case {
    let of_task = [("service", "orchestrator")];
    let ahead = |sample: &Sample| sample.sum("process_clock_ahead_seconds", &of_task).abs();
    let before = scene.sample().await;
    scene.mesh.step_clock("orchestrator-1", 2).unwrap();
    let during = scene.until("clock that is ahead", |sample| ahead(sample) > 1.0).await;
    scene.mesh.step_clock("orchestrator-1", 0).unwrap();
    scene.until("clock that is right", |sample| ahead(sample) < 0.5).await;
    case("a clock is ahead", vec![before, during], &["ClockOff"])
}

/// Its processes are stopped: connections stay, and nothing comes over them.
pub async fn postgres_stands_still(scene: &Scene) -> Case {
    let before = scene.sample().await;
    scene.signal_store("postgres", Signal::STOP);
    let looking = join_all((0..LOOKERS).map(|_| scene.look()));
    let goes_on = async {
        sleep(NO_QUERY).await;
        scene.signal_store("postgres", Signal::CONT);
    };
    let (statuses, ()) = tokio::join!(looking, goes_on);
    assert_eq!(statuses, [200; LOOKERS], "late, and not refused");
    let after = scene.sample().await;
    let fires = &["RequestsSlow", "ConnectionsWaitedFor"];
    case("PostgreSQL stands still", vec![before, after], fires)
}

pub async fn redis_stands_still(scene: &Scene) -> Case {
    let before = scene.sample().await;
    scene.signal_store("redis", Signal::STOP);
    // What failed once is told from then on, and rises from there.
    let failed = async |times: f64| {
        let of_health =
            [("service", "edge"), ("db_operation_name", "health"), ("error_type", "timeout")];
        let seen = async {
            loop {
                assert!(!scene.is_ready("edge-1").await);
                let sample = scene.sample().await;
                if sample.sum("db_client_operation_duration_seconds_count", &of_health) >= times {
                    return sample;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen).await.expect("failures are told")
    };
    let begun = failed(1.0).await;
    let during = failed(6.0).await;
    scene.signal_store("redis", Signal::CONT);
    let ready = async {
        while !scene.is_ready("edge-1").await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ready).await.unwrap();
    case("Redis stands still", vec![before, begun, during], &["StoreErrors"])
}

pub async fn messages_are_given_up(scene: &Scene) -> Case {
    let bus = scene.bus().await;
    let of_queue = [("messaging_destination_name", Queue::Jobs.name())];
    let rejected = |sample: &Sample| {
        let rejected = [of_queue[0], ("error_type", "reject")];
        sample.sum("messaging_process_duration_seconds_count", &rejected)
    };
    let waiting = |sample: &Sample| sample.sum("messaging_dead_letters_waiting", &of_queue);
    let before = scene.sample().await;
    misplace(&bus, 1).await;
    let begun = scene.until("message that is given up", |sample| rejected(sample) >= 1.0).await;
    misplace(&bus, 4).await;
    let is_so =
        |sample: &Sample| rejected(sample) >= 5.0 && waiting(sample) >= 5.0 && left(sample) == 0.0;
    let during = scene.until("dead letters", is_so).await;
    let fires = &["HandlingErrors", "DeadLetters"];
    case("messages are given up", vec![before, begun, during], fires)
}

/// Sends messages to whom they are not for, so that they are given up.
async fn misplace(bus: &Bus, messages: u64) {
    for nonce in 0..messages {
        let conversation = ConversationId::from_uuid(Uuid::new_v4());
        let (id, now) = (EventId::random(), Timestamp::now());
        let ping = Envelope::new(id, DEMO, conversation, Channel::VOICE, now, Ping { nonce });
        bus.send(&Destination::Shared(Queue::Jobs), &[ping]).await.unwrap();
    }
}

/// Dead letters that still lie in the broker.
fn left(sample: &Sample) -> f64 {
    sample.sum("messaging_dead_letters_left", &[])
}

/// The dead letters of before still wait.
pub async fn postgres_is_gone_and_a_send_in_doubt(scene: &Scene) -> Case {
    let before = scene.sample().await;
    scene.edge_dies_in_a_send("15557770943").await;
    scene.signal_store("postgres", Signal::KILL);
    let look = async || {
        let statuses = join_all((0..5).map(|_| scene.look())).await;
        assert_eq!(statuses, [503; 5]);
    };
    look().await;
    scene.write("15557770944").await;
    misplace(&scene.bus().await, 1).await;
    let begun = scene.sample().await;
    look().await;
    let is_so = |sample: &Sample| {
        let of_writer = [("messaging_destination_name", Queue::Writer.name())];
        sample.sum("messaging_queue_oldest_message_age_seconds", &of_writer) > 60.0
            && sample.sum("edge_doubtful_sends_total", &[]) > 0.0
            && left(sample) > 0.0
    };
    let during =
        scene.until("message that waits, reply in doubt and letter in the broker", is_so).await;
    let fires = &[
        "RequestErrors",
        "StoreErrors",
        "MessagesOld",
        "SomethingLost",
        "DeadLetters",
        "DeadLettersLeft",
    ];
    Case {
        may_fire: &["HandlingErrors", "RequestsSlow", "ConnectionsWaitedFor"],
        ..case("PostgreSQL is gone and a send in doubt", vec![before, begun, during], fires)
    }
}
