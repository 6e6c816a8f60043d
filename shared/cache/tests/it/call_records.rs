//! What outlives the task that holds a call.

use std::time::Duration;

use cache::{CallPhase, Ended, HeardSoFar};
use domain::{Timestamp, Turn};

use crate::{cache, call};

const QUEUE: &str = "sb-edge-a.fifo";
const OTHER_QUEUE: &str = "sb-edge-b.fifo";
const LEASE: Duration = Duration::from_secs(60);

fn heard(turn: u32, text: &str) -> HeardSoFar {
    HeardSoFar {
        turn: Turn(turn),
        attempt: 77,
        sentence: 1,
        text: text.to_owned(),
        complete: false,
    }
}

#[tokio::test]
async fn a_call_without_a_stream_begins_once() {
    let (cache, call) = (cache(), call());
    let (first, later) = (Timestamp::from_micros(5), Timestamp::from_micros(9));
    assert_eq!(cache.begin_call(&call, first).await.unwrap(), first);
    assert_eq!(cache.begin_call(&call, later).await.unwrap(), first);
    assert_eq!(cache.call_record(&call).await.unwrap().began_at, Some(first));
}

#[tokio::test]
async fn whoever_goes_on_with_a_call_finds_what_was_noted_of_it() {
    let (cache, call) = (cache(), call());
    let began = Timestamp::from_micros(1_000);
    let fresh = cache.attach_call(&call, 0, "a:1", QUEUE, began).await.unwrap().unwrap();
    assert_eq!((fresh.taken, fresh.heard, fresh.began_at), (Turn(0), None, Some(began)));
    assert!(cache.note_turn(&call, "a:1", Turn(1), "event").await.unwrap());
    assert!(cache.note_heard(&call, "a:1", &heard(1, "Sure. What")).await.unwrap());
    assert!(cache.note_speaking(&call, "a:1", Turn(2)).await.unwrap());

    let later = Timestamp::from_micros(9_000);
    let found = cache.attach_call(&call, 1, "b:1", OTHER_QUEUE, later).await.unwrap().unwrap();
    assert_eq!((found.taken, found.speaking), (Turn(1), Turn(2)));
    assert_eq!(found.turn_event.as_deref(), Some("event"));
    assert_eq!(found.heard, Some(heard(1, "Sure. What")));
    assert_eq!(found.began_at, Some(began), "the call began with its first stream");
    assert_eq!(cache.edge_of(&call).await.unwrap().as_deref(), Some(OTHER_QUEUE));
}

#[tokio::test]
async fn who_lost_a_call_can_neither_note_nor_end_it() {
    let (cache, call) = (cache(), call());
    cache.attach_call(&call, 0, "a:1", QUEUE, Timestamp::now()).await.unwrap();
    cache.attach_call(&call, 1, "b:1", OTHER_QUEUE, Timestamp::now()).await.unwrap();
    assert!(!cache.note_turn(&call, "a:1", Turn(5), "event").await.unwrap());
    assert!(!cache.note_heard(&call, "a:1", &heard(5, "x")).await.unwrap());
    assert_eq!(cache.end_call(&call, Some("a:1")).await.unwrap(), Ended::Elsewhere);
    cache.detach_call(&call, "a:1").await.unwrap();
    let record = cache.call_record(&call).await.unwrap();
    assert!(record.is_held && record.taken == Turn(0) && record.phase == CallPhase::Live);
    let stale = cache.attach_call(&call, 0, "a:2", QUEUE, Timestamp::now()).await.unwrap();
    assert_eq!(stale, None, "a socket of an earlier return comes too late");
}

#[tokio::test]
async fn a_call_that_is_over_stays_over() {
    let (cache, call) = (cache(), call());
    cache.attach_call(&call, 0, "a:1", QUEUE, Timestamp::now()).await.unwrap();
    assert_eq!(cache.end_call(&call, Some("a:1")).await.unwrap(), Ended::Now);
    assert_eq!(cache.end_call(&call, None).await.unwrap(), Ended::Before);
    assert!(!cache.set_transferring(&call, Some("+15550001111")).await.unwrap());
    assert_eq!(cache.attach_call(&call, 1, "b:1", QUEUE, Timestamp::now()).await.unwrap(), None);
    assert_eq!(cache.take_over_call(&call, QUEUE).await.unwrap(), None);
    assert_eq!(cache.call_record(&call).await.unwrap().phase, CallPhase::Ended);
}

#[tokio::test]
async fn a_call_on_its_way_to_a_human_is_ended_by_the_vendor_alone() {
    let (cache, call) = (cache(), call());
    let party = "+15550001111".to_owned();
    cache.attach_call(&call, 0, "a:1", QUEUE, Timestamp::now()).await.unwrap();
    assert!(cache.set_transferring(&call, Some(&party)).await.unwrap());
    let ended = cache.end_call(&call, Some("a:1")).await.unwrap();
    assert_eq!(ended, Ended::Transferring(party.clone()));
    assert_eq!(cache.call_record(&call).await.unwrap().phase, CallPhase::Transferring(party));
    assert_eq!(cache.take_over_call(&call, QUEUE).await.unwrap(), None);
    // Nobody picked up: the call is ours again.
    assert!(cache.set_transferring(&call, None).await.unwrap());
    assert!(cache.attach_call(&call, 1, "b:1", QUEUE, Timestamp::now()).await.unwrap().is_some());
    assert!(cache.set_transferring(&call, Some("sip:a@b")).await.unwrap());
    assert_eq!(cache.end_call(&call, None).await.unwrap(), Ended::Now);
}

#[tokio::test]
async fn a_lapsed_tasks_call_is_taken_once_and_its_old_holder_is_not_heard_any_more() {
    let (cache, call) = (cache(), call());
    cache.attach_call(&call, 2, "a:1", QUEUE, Timestamp::now()).await.unwrap();
    assert_eq!(cache.take_over_call(&call, OTHER_QUEUE).await.unwrap(), None, "not its call");
    assert_eq!(cache.take_over_call(&call, QUEUE).await.unwrap(), Some(3));
    assert_eq!(cache.take_over_call(&call, QUEUE).await.unwrap(), Some(3), "asked for again");
    assert!(!cache.note_turn(&call, "a:1", Turn(9), "event").await.unwrap());
    assert_eq!(cache.end_call(&call, Some("a:1")).await.unwrap(), Ended::Elsewhere);
    let back = cache.attach_call(&call, 3, "b:1", OTHER_QUEUE, Timestamp::now()).await.unwrap();
    assert!(back.is_some());
    assert_eq!(cache.take_over_call(&call, QUEUE).await.unwrap(), None, "it came back");
    // The same task may lose it again later.
    cache.attach_call(&call, 4, "a:2", QUEUE, Timestamp::now()).await.unwrap();
    assert_eq!(cache.take_over_call(&call, QUEUE).await.unwrap(), Some(5));
}

#[tokio::test]
async fn a_record_that_was_lost_is_begun_anew_by_who_holds_the_call() {
    let (cache, call) = (cache(), call());
    assert!(cache.note_turn(&call, "a:1", Turn(4), "event").await.unwrap());
    assert!(!cache.note_turn(&call, "b:1", Turn(2), "event").await.unwrap());
    assert_eq!(cache.call_record(&call).await.unwrap().taken, Turn(4));
}

#[tokio::test]
async fn a_task_that_stops_renewing_is_seen_by_the_others_with_its_calls() {
    let (cache, call) = (cache(), call());
    let soon = Duration::from_millis(50);
    assert!(!cache.renew_edge_lease(QUEUE, soon).await.unwrap().held, "it has just begun");
    cache.add_call_of_edge(QUEUE, &call).await.unwrap();
    let lapsed = loop {
        let renewal = cache.renew_edge_lease(OTHER_QUEUE, LEASE).await.unwrap();
        if !renewal.lapsed.is_empty() {
            break renewal.lapsed;
        }
    };
    assert_eq!(lapsed, [QUEUE]);
    assert!(!cache.edge_is_alive(QUEUE).await.unwrap());
    assert!(cache.edge_is_alive(OTHER_QUEUE).await.unwrap());
    assert_eq!(cache.calls_of_edge(QUEUE).await.unwrap(), std::slice::from_ref(&call));

    assert!(!cache.renew_edge_lease(QUEUE, LEASE).await.unwrap().held, "it stood still too long");
    assert!(cache.renew_edge_lease(QUEUE, LEASE).await.unwrap().held);
    cache.forget_edge(QUEUE).await.unwrap();
    assert!(cache.edge_is_alive(QUEUE).await.unwrap(), "one that lives again is not forgotten");
    cache.remove_call_of_edge(QUEUE, &call).await.unwrap();
    assert!(cache.calls_of_edge(QUEUE).await.unwrap().is_empty());
    cache.end_edge_lease(QUEUE).await.unwrap();
    assert!(cache.renew_edge_lease(OTHER_QUEUE, LEASE).await.unwrap().lapsed.is_empty());
}
