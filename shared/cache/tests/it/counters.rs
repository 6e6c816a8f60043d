//! Limits, replays, remembered answers, and how often a handler began a message.

use std::time::Duration;

use cache::{Admission, Rate, SettledFile};
use domain::{
    ConversationId, Dependency as _, EventId, KeptFile, ReplayEnd, StartCounter as _, Starts,
    Timestamp,
};
use futures::future::join_all;
use uuid::Uuid;

use crate::{cache, event};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn exactly_the_limit_is_let_through_and_the_rest_is_told_when_to_come_back() {
    let cache = cache();
    let admissions = join_all((0..130).map(|_| cache.hit("user", MINUTE, 100))).await;
    let mut allowed = 0;
    for admission in admissions {
        match admission.unwrap() {
            Admission::Allowed => allowed += 1,
            Admission::Denied { retry_after } => {
                assert!(retry_after > Duration::ZERO && retry_after <= MINUTE);
            }
        }
    }
    assert_eq!(allowed, 100);
    assert_eq!(cache.hit("another", MINUTE, 100).await.unwrap(), Admission::Allowed);
}

#[tokio::test]
async fn a_denied_user_is_let_in_again_when_the_window_has_moved_on() {
    let cache = cache();
    let window = Duration::from_millis(200);
    let hit = || async { cache.hit("user", window, 2).await.unwrap() };
    while hit().await == Admission::Allowed {}
    while hit().await != Admission::Allowed {}
}

#[tokio::test]
async fn a_limit_of_nothing_lets_nobody_in() {
    let denied = Admission::Denied { retry_after: MINUTE };
    assert_eq!(cache().hit("user", MINUTE, 0).await.unwrap(), denied);
}

#[tokio::test]
async fn a_token_is_good_once() {
    let cache = cache();
    let seen = join_all((0..10).map(|_| cache.seen_before("token", MINUTE))).await;
    assert_eq!(seen.into_iter().filter(|s| !*s.as_ref().unwrap()).count(), 1);
}

#[tokio::test]
async fn a_repeated_request_gets_the_answer_the_first_one_got() {
    let cache = cache();
    assert_eq!(cache.remembered_answer("turn-1").await.unwrap(), None);
    assert_eq!(cache.remember_answer("turn-1", MINUTE, "<A/>").await.unwrap(), "<A/>");
    assert_eq!(cache.remember_answer("turn-1", MINUTE, "<B/>").await.unwrap(), "<A/>");
    assert_eq!(cache.remembered_answer("turn-1").await.unwrap().as_deref(), Some("<A/>"));
}

#[tokio::test]
async fn starts_are_counted_per_queue_and_given_back_ones_are_not() {
    let (cache, event) = (cache(), event());
    assert_eq!(cache.started("speak", event).await, Some(Starts(1)));
    assert_eq!(cache.started("speak", event).await, Some(Starts(2)));
    cache.given_back("speak", event).await;
    assert_eq!(cache.started("speak", event).await, Some(Starts(2)));
    assert_eq!(cache.started("jobs", event).await, Some(Starts(1)));
}

#[tokio::test]
async fn giving_back_what_was_never_started_does_not_make_the_count_negative() {
    let (cache, event) = (cache(), event());
    cache.given_back("speak", event).await;
    assert_eq!(cache.started("speak", event).await, Some(Starts(1)));
}

#[tokio::test]
async fn how_a_replay_ended_is_known_by_its_queue_and_not_before() {
    let (cache, first, second, third) = (cache(), event(), event(), event());
    let failed = ReplayEnd::Failed("overtaken: it has moved on".to_owned());
    cache.replay_ended("jobs", first, &ReplayEnd::Handled).await;
    cache.replay_ended("jobs", second, &failed).await;
    let ends = cache.replays_ended("jobs", &[third, second, first]).await;
    assert_eq!(ends, Some(vec![None, Some(failed), Some(ReplayEnd::Handled)]));
    assert_eq!(cache.replays_ended("speak", &[first]).await, Some(vec![None]));
}

#[tokio::test]
async fn a_cluster_that_serves_its_slots_is_up() {
    assert!(cache().is_up().await);
}

#[tokio::test]
async fn a_line_lets_a_burst_through_and_then_gives_each_send_one_place() {
    let cache = cache();
    let rate = Rate { interval: Duration::from_secs(10), burst: 3 };
    let place = |send| cache.place_in_line("whatsapp", rate, send);
    let sends: Vec<_> = (0..5).map(|_| EventId::random()).collect();
    for send in &sends[..3] {
        assert_eq!(place(*send).await.unwrap(), Duration::ZERO);
    }
    let fourth = place(sends[3]).await.unwrap();
    assert!(fourth > Duration::from_secs(5) && fourth <= rate.interval, "{fourth:?}");
    let fifth = place(sends[4]).await.unwrap();
    assert!(fifth > rate.interval && fifth <= 2 * rate.interval, "{fifth:?}");
    assert!(place(sends[3]).await.unwrap() <= fourth, "asked again, it is the same place");
    assert_eq!(place(sends[0]).await.unwrap(), Duration::ZERO);
}

#[tokio::test]
async fn when_a_person_wrote_last_is_the_latest_whatever_order_it_is_noted_in() {
    let cache = cache();
    let chat = ConversationId::from_uuid(Uuid::new_v4());
    assert_eq!(cache.last_written(chat).await.unwrap(), None);
    let [early, late] = [1_780_000_000_000_000, 1_780_000_001_000_000].map(Timestamp::from_micros);
    for at in [late, early] {
        cache.note_written(chat, at).await.unwrap();
    }
    assert_eq!(cache.last_written(chat).await.unwrap(), Some(late));
}

#[tokio::test]
async fn the_first_words_of_a_voice_note_stand() {
    let cache = cache();
    let (chat, note) = (ConversationId::from_uuid(Uuid::new_v4()), EventId::random());
    assert_eq!(cache.settled_words(chat, note).await.unwrap(), None);
    for words in [Some("see you on Tuesday"), None] {
        cache.settle_words(chat, note, words).await.unwrap();
    }
    let words = cache.settled_words(chat, note).await.unwrap();
    assert_eq!(words.as_deref(), Some("see you on Tuesday"));
}

#[tokio::test]
async fn what_became_of_a_file_first_stands() {
    let cache = cache();
    let chat = ConversationId::from_uuid(Uuid::new_v4());
    let [kept, missing] = [EventId::random(), EventId::random()];
    let file = KeptFile {
        bucket: "b".into(),
        key: "media/7".into(),
        mime_type: "image/jpeg".into(),
        bytes: 9,
    };
    assert_eq!(cache.settled_file(chat, kept).await.unwrap(), None);
    for (message, first, then) in [(kept, Some(&file), None), (missing, None, Some(&file))] {
        cache.settle_file(chat, message, first).await.unwrap();
        cache.settle_file(chat, message, then).await.unwrap();
    }
    let settled = cache.settled_file(chat, kept).await.unwrap();
    assert_eq!(settled, Some(SettledFile::Kept(file)));
    assert_eq!(cache.settled_file(chat, missing).await.unwrap(), Some(SettledFile::Missing));
}
