//! A task whose host is gone without a word: its lease lapses, and its calls are another's (DESIGN 5).

use std::time::Duration;

use domain::{CallSid, Timestamp};

use crate::{
    edge_task::{PATIENCE, PUBLIC_BASE, start_with},
    vendors::{new_call_sid, twilio_api},
};

const GONE: &str = "edge-of-a-host-that-is-gone.fifo";

#[tokio::test]
async fn the_calls_of_a_lapsed_task_are_asked_to_come_back_those_that_are_elsewhere_are_not() {
    let (base, mut asked) = twilio_api().await;
    let variables = [("TWILIO_API_BASE_URL", base.as_str()), ("TWILIO_ACCOUNT_SID", "AC1")];
    let Some(edge) = start_with(&variables).await else { return };
    let cache = &edge.cache;
    let (call, moved) = (new_call_sid(), new_call_sid());
    let (call, moved) = (CallSid::parse(&call).unwrap(), CallSid::parse(&moved).unwrap());
    for held in [&call, &moved] {
        let now = Timestamp::now();
        cache.attach_call(held, 0, "gone:1", GONE, now).await.unwrap();
        cache.add_call_of_edge(GONE, held).await.unwrap();
    }
    // That one has come back by itself.
    cache.attach_call(&moved, 1, "other:1", "edge-other.fifo", Timestamp::now()).await.unwrap();
    cache.renew_edge_lease(GONE, Duration::from_millis(1)).await.unwrap();

    let update = tokio::time::timeout(PATIENCE, asked.recv()).await;
    let (path, form) = update.expect("the call is taken over").unwrap();
    assert_eq!(path, format!("/2010-04-01/Accounts/AC1/Calls/{call}.json"));
    let form: Vec<(String, String)> = serde_urlencoded::from_str(&form).unwrap();
    let [(name, document)] = &form[..] else { panic!("{form:?}") };
    assert_eq!(name, "Twiml");
    let back = format!("{PUBLIC_BASE}/twilio/voice?attempt=1&amp;turn=0");
    assert!(
        document.contains(&format!("<Redirect method=\"POST\">{back}</Redirect>")),
        "{document}"
    );
    // What the task that is gone still says does not count.
    let stale = cache.note_speaking(&call, "gone:1", domain::Turn(9)).await.unwrap();
    assert!(!stale);

    let forgotten = async {
        while !cache.calls_of_edge(GONE).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("nothing is left to take over");
    assert!(asked.try_recv().is_err(), "a call that is elsewhere is left alone");
    edge.stop().await;
}

#[tokio::test]
async fn a_task_that_an_operator_asks_to_hand_over_ends_by_itself() {
    let Some(edge) = start_with(&[]).await else { return };
    let mut alive = edge.cache.edges().await.unwrap();
    let until = tokio::time::Instant::now() + PATIENCE;
    while alive.is_empty() && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
        alive = edge.cache.edges().await.unwrap();
    }
    let [(queue, true)] = &alive[..] else { panic!("{alive:?}") };
    edge.cache.ask_edge_to_stop(queue).await.unwrap();
    while !edge.cache.edges().await.unwrap().is_empty() {
        assert!(tokio::time::Instant::now() < until, "it goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    edge.stop().await;
}
