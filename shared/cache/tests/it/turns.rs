//! The fence, where a call's audio goes, context, and the turns of a chat.

use cache::{Standing, Written};
use domain::{Timestamp, Turn};
use futures::future::join_all;

use crate::{cache, call, conversation, event};

#[tokio::test]
async fn a_fence_never_comes_down_whatever_order_its_setters_arrive_in() {
    let (cache, call) = (cache(), call());
    assert_eq!(cache.fence(&call).await.unwrap(), Turn(0));
    assert_eq!(cache.set_fence(&call, Turn(3)).await.unwrap(), Turn(3));
    assert_eq!(cache.set_fence(&call, Turn(2)).await.unwrap(), Turn(3));
    join_all((0..50).map(|n| {
        let (cache, call) = (&cache, &call);
        async move { cache.set_fence(call, Turn((n * 7) % 50)).await.unwrap() }
    }))
    .await;
    assert_eq!(cache.fence(&call).await.unwrap(), Turn(49));
}

#[tokio::test]
async fn a_turn_in_doubt_goes_on_or_is_passed() {
    let (cache, call) = (cache(), call());
    let standing = async |turn| cache.standing(&call, Turn(turn)).await.unwrap();
    assert_eq!(standing(2).await, Standing::Wanted);
    cache.doubt_turn(&call, Turn(2)).await.unwrap();
    assert_eq!(standing(2).await, Standing::Doubted);
    assert_eq!(standing(3).await, Standing::Wanted, "no other turn is meant");
    cache.end_doubt(&call).await.unwrap();
    assert_eq!(standing(2).await, Standing::Wanted);
    cache.doubt_turn(&call, Turn(2)).await.unwrap();
    cache.set_fence(&call, Turn(3)).await.unwrap();
    assert_eq!(standing(2).await, Standing::Passed);
    assert_eq!(standing(3).await, Standing::Wanted);
}

#[tokio::test]
async fn answers_follow_a_call_to_the_task_that_took_it_over() {
    let (cache, call) = (cache(), call());
    assert_eq!(cache.edge_of(&call).await.unwrap(), None);
    for (attempt, queue) in (0..).zip(["sb-edge-1-a.fifo", "sb-edge-2-b.fifo"]) {
        cache.attach_call(&call, attempt, queue, queue, Timestamp::now()).await.unwrap();
        assert_eq!(cache.edge_of(&call).await.unwrap().as_deref(), Some(queue));
    }
}

#[tokio::test]
async fn the_fence_and_the_way_to_a_call_are_one_question() {
    let (cache, call) = (cache(), call());
    assert_eq!(cache.way_to(&call).await.unwrap(), (Turn(0), None));
    cache.set_fence(&call, Turn(4)).await.unwrap();
    cache.attach_call(&call, 0, "a:1", "sb-edge-1-a.fifo", Timestamp::now()).await.unwrap();
    let there = (Turn(4), Some("sb-edge-1-a.fifo".to_owned()));
    assert_eq!(cache.way_to(&call).await.unwrap(), there);
}

#[tokio::test]
async fn of_two_who_read_the_same_context_only_the_first_writes() {
    let (cache, conversation) = (cache(), conversation());
    assert_eq!(cache.context(conversation).await.unwrap(), None);
    assert_eq!(cache.put_context(conversation, 0, "one").await.unwrap(), Written::Stored(1));
    let seen = cache.context(conversation).await.unwrap().unwrap();
    assert_eq!((seen.version, seen.body.as_str()), (1, "one"));
    assert_eq!(cache.put_context(conversation, 1, "two").await.unwrap(), Written::Stored(2));
    assert_eq!(cache.put_context(conversation, 1, "late").await.unwrap(), Written::Conflict);
    assert_eq!(cache.context(conversation).await.unwrap().unwrap().body, "two");
}

#[tokio::test]
async fn a_context_that_expired_between_read_and_write_is_written_anew() {
    let (cache, conversation) = (cache(), conversation());
    assert_eq!(cache.put_context(conversation, 7, "body").await.unwrap(), Written::Stored(8));
}

#[tokio::test]
async fn what_is_remembered_never_shows_in_a_debug_print() {
    let (cache, conversation) = (cache(), conversation());
    cache.put_context(conversation, 0, "my name is Ada").await.unwrap();
    let context = cache.context(conversation).await.unwrap().unwrap();
    assert!(!format!("{context:?}").contains("Ada"));
}

#[tokio::test]
async fn a_message_handled_twice_keeps_its_turn_and_no_two_messages_share_one() {
    let (cache, conversation) = (cache(), conversation());
    let events: Vec<_> = (0..20).map(|_| event()).collect();
    let give = |e| cache.next_turn(conversation, e, Turn(0));
    let first: Vec<_> = join_all(events.iter().map(|e| give(*e))).await;
    let again: Vec<_> = join_all(events.iter().map(|e| give(*e))).await;
    let turns = |given: Vec<Result<Turn, _>>| given.into_iter().map(Result::unwrap).collect();
    let (first, again): (Vec<Turn>, Vec<Turn>) = (turns(first), turns(again));
    assert_eq!(first, again);
    let mut sorted = first;
    sorted.sort();
    assert_eq!(sorted, (1..=20).map(Turn).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_counter_that_was_lost_goes_on_above_what_the_history_knows() {
    let (cache, conversation) = (cache(), conversation());
    assert_eq!(cache.next_turn(conversation, event(), Turn(41)).await.unwrap(), Turn(42));
    assert_eq!(cache.next_turn(conversation, event(), Turn(3)).await.unwrap(), Turn(43));
}
