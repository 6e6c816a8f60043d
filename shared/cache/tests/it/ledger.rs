//! The turn ledger and the records of sends.

use cache::{CacheError, Record, Refusal, SendState, Sequel, UploadOf};
use domain::{Handover, Turn};
use futures::future::join_all;

use crate::{cache, conversation, event};

#[tokio::test]
async fn of_two_runs_of_a_turn_both_speak_what_the_first_recorded() {
    let (cache, conversation) = (cache(), conversation());
    let ledgers = join_all((0..2).map(|_| cache.begin_turn(conversation, Turn(1)))).await;
    let attempts: Vec<_> = ledgers.into_iter().map(|l| l.unwrap().attempt).collect();
    assert_eq!(attempts[0], attempts[1], "one attempt for both");
    for index in 0..20 {
        let texts = [format!("first {index}"), format!("second {index}")];
        let standing = join_all(texts.iter().map(async |text| {
            let record = [Record::Sentence(index, text)];
            cache.record(conversation, Turn(1), attempts[0], &record).await.unwrap()
        }))
        .await;
        assert_eq!(standing[0], standing[1]);
        assert!(texts.contains(&standing[0][0]));
    }
}

#[tokio::test]
async fn a_second_run_finds_all_that_the_first_said_and_did() {
    let (cache, conversation) = (cache(), conversation());
    let attempt = cache.begin_turn(conversation, Turn(4)).await.unwrap().attempt;
    assert!(attempt > 0 && i32::try_from(attempt).is_ok());
    for (index, text) in ["One.", "Two.", "Three."].into_iter().enumerate() {
        let record = [Record::Sentence(index, text)];
        cache.record(conversation, Turn(4), attempt, &record).await.unwrap();
    }
    let tool = async |value| {
        let record = [Record::Value("tool:0", value)];
        cache.record(conversation, Turn(4), attempt, &record).await.unwrap()
    };
    assert_eq!(tool("booked").await, ["booked"]);
    assert_eq!(tool("refused").await, ["booked"]);
    let handover = Handover { to: "+15550009999".into(), summary: "Ada".into() };
    let sequel = Sequel { hang_up: true, transfer: Some(handover) };
    let nothing = Sequel::default();
    let end = |meta, sequel| cache.finish_turn(conversation, Turn(4), attempt, meta, sequel);
    assert_eq!(end("first end", &sequel).await.unwrap(), "first end");
    assert_eq!(end("second end", &nothing).await.unwrap(), "first end");

    let ledger = cache.begin_turn(conversation, Turn(4)).await.unwrap();
    assert_eq!(ledger.attempt, attempt);
    assert_eq!(ledger.sentences, ["One.", "Two.", "Three."]);
    assert_eq!(ledger.values.get("tool:0").map(String::as_str), Some("booked"));
    assert_eq!(ledger.finished.as_deref(), Some("first end"));
    assert!(ledger.sequel == sequel, "of the end that stands");
    assert!(!format!("{ledger:?}").contains("One."));
}

#[tokio::test]
async fn of_two_first_sentences_one_stands_with_the_model_that_made_it() {
    let (cache, conversation) = (cache(), conversation());
    let attempt = cache.begin_turn(conversation, Turn(1)).await.unwrap().attempt;
    let first = async |model, text| {
        let records = [Record::Sentence(0, text), Record::Value("model", model)];
        cache.record(conversation, Turn(1), attempt, &records).await.unwrap()
    };
    let (one, two) = tokio::join!(first("one", "By one."), first("two", "By two."));
    assert_eq!(one, two);
    assert!(one == ["By one.", "one"] || one == ["By two.", "two"], "never of both: {one:?}");

    let ledger = cache.begin_turn(conversation, Turn(1)).await.unwrap();
    assert_eq!(ledger.sentences, [one[0].as_str()]);
    assert_eq!(ledger.values.get("model"), Some(&one[1]));
}

#[tokio::test]
async fn turns_of_one_conversation_have_ledgers_of_their_own() {
    let (cache, conversation) = (cache(), conversation());
    let first = cache.begin_turn(conversation, Turn(1)).await.unwrap();
    let said = [Record::Sentence(0, "One.")];
    cache.record(conversation, Turn(1), first.attempt, &said).await.unwrap();
    let second = cache.begin_turn(conversation, Turn(2)).await.unwrap();
    assert!(second.sentences.is_empty());
    assert_ne!(first.attempt, second.attempt);
}

#[tokio::test]
async fn a_run_whose_ledger_was_lost_is_told_before_it_speaks() {
    let (cache, conversation) = (cache(), conversation());
    let own = cache.begin_turn(conversation, Turn(1)).await.unwrap().attempt;
    let other = own.wrapping_add(1);
    let said = [Record::Sentence(0, "One.")];
    let recorded = cache.record(conversation, Turn(1), other, &said).await;
    assert!(matches!(recorded, Err(CacheError::LedgerLost)), "{recorded:?}");
    let unopened = cache.record(conversation, Turn(9), own, &said).await;
    assert!(matches!(unopened, Err(CacheError::LedgerLost)), "{unopened:?}");
    assert!(cache.begin_turn(conversation, Turn(1)).await.unwrap().sentences.is_empty());
}

#[tokio::test]
async fn of_many_who_want_to_send_one_message_exactly_one_may() {
    let (cache, event) = (cache(), event());
    let states = join_all((0..10).map(|_| cache.begin_send(event))).await;
    let new = states.into_iter().filter(|s| matches!(s, Ok(SendState::New))).count();
    assert_eq!(new, 1);
}

#[tokio::test]
async fn a_send_that_was_begun_and_never_recorded_is_in_doubt_until_a_status_settles_it() {
    let (cache, event) = (cache(), event());
    let before = domain::Timestamp::now();
    assert_eq!(cache.begin_send(event).await.unwrap(), SendState::New);
    match cache.begin_send(event).await.unwrap() {
        SendState::InDoubt { since } => assert!(since >= before),
        other => panic!("{other:?}"),
    }
    assert_eq!(cache.finish_send(event, "wamid.1").await.unwrap(), "wamid.1");
    let done = SendState::Done { external_id: "wamid.1".into() };
    assert_eq!(cache.begin_send(event).await.unwrap(), done);
    assert_eq!(cache.finish_send(event, "wamid.2").await.unwrap(), "wamid.1");
    cache.fail_send(event).await.unwrap();
    assert_eq!(cache.begin_send(event).await.unwrap(), done, "done is not taken back");
}

#[tokio::test]
async fn a_send_that_was_refused_late_is_sent_again_once() {
    let (cache, event) = (cache(), event());
    cache.begin_send(event).await.unwrap();
    cache.finish_send(event, "wamid.1").await.unwrap();
    cache.keep_sent(event, "what was sent").await.unwrap();
    assert_eq!(cache.refuse_send(event, "wamid.1").await.unwrap(), Refusal::SendAgain);
    assert_eq!(cache.kept_sent(event).await.unwrap().as_deref(), Some("what was sent"));
    // A run that died is told the same again, and a late status of the refused one changes nothing.
    assert_eq!(cache.refuse_send(event, "wamid.1").await.unwrap(), Refusal::SendAgain);
    cache.finish_send(event, "wamid.1").await.unwrap();
    assert_eq!(cache.begin_send(event).await.unwrap(), SendState::New);
    cache.fail_send(event).await.unwrap();
    assert_eq!(cache.begin_send(event).await.unwrap(), SendState::New, "it may be throttled");
    cache.finish_send(event, "wamid.2").await.unwrap();
    assert_eq!(cache.refuse_send(event, "wamid.1").await.unwrap(), Refusal::SentAgain);
    assert_eq!(cache.refuse_send(event, "wamid.2").await.unwrap(), Refusal::Again);
    let done = SendState::Done { external_id: "wamid.2".into() };
    assert_eq!(cache.begin_send(event).await.unwrap(), done);
}

#[tokio::test]
async fn an_uploaded_file_is_known_by_whose_and_from_where_it_is() {
    let cache = cache();
    let of = UploadOf {
        tenant: domain::TenantId::from_uuid(uuid::Uuid::new_v4()),
        channel: "whatsapp",
        our_address: "106",
        sha256: "ab",
    };
    assert_eq!(cache.uploaded(&of).await.unwrap(), None);
    cache.note_uploaded(&of, "77", std::time::Duration::from_secs(60)).await.unwrap();
    assert_eq!(cache.uploaded(&of).await.unwrap().as_deref(), Some("77"));
    let elsewhere = UploadOf { our_address: "107", ..of };
    assert_eq!(cache.uploaded(&elsewhere).await.unwrap(), None);
    cache.forget_uploaded(&of).await.unwrap();
    assert_eq!(cache.uploaded(&of).await.unwrap(), None);
}

#[tokio::test]
async fn a_send_the_vendor_surely_refused_may_be_tried_again() {
    let (cache, event) = (cache(), event());
    assert_eq!(cache.begin_send(event).await.unwrap(), SendState::New);
    cache.fail_send(event).await.unwrap();
    assert_eq!(cache.begin_send(event).await.unwrap(), SendState::New);
}

#[tokio::test]
async fn a_send_that_is_put_off_may_be_tried_again_and_each_time_counts() {
    let (cache, event) = (cache(), event());
    for times in 1..4 {
        assert_eq!(cache.begin_send(event).await.unwrap(), SendState::New);
        assert_eq!(cache.put_off_send(event).await.unwrap(), times);
    }
    cache.begin_send(event).await.unwrap();
    cache.finish_send(event, "wamid.1").await.unwrap();
    cache.put_off_send(event).await.unwrap();
    let done = SendState::Done { external_id: "wamid.1".into() };
    assert_eq!(cache.begin_send(event).await.unwrap(), done, "done is not taken back");
}
