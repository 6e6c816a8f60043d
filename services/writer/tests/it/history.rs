//! Whatever order events come in, and however often, the history is the same.

use domain::{DeliveryStatus, Envelope, EventId, Payload, Personal, TenantId, Timestamp, Turn};
use store::{Store, deliveries, history, messages};
use testkit::TestDb;

use crate::events;

async fn record(store: &Store, tenant: TenantId, events: impl IntoIterator<Item = &Envelope>) {
    let tx = store.tenant(tenant).await.unwrap();
    for event in events {
        writer::handlers::record(&tx, event).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// The transcript as speaker, turn, text, and whether it was heard whole.
async fn transcript(
    store: &Store,
    of: &Envelope,
) -> Vec<(String, Option<u32>, String, Option<bool>)> {
    let tx = store.tenant(of.tenant).await.unwrap();
    let lines = messages::transcript(&tx, of.conversation, 100).await.unwrap();
    lines
        .into_iter()
        .map(|l| {
            let speaker = format!("{:?}", l.speaker);
            (speaker, l.turn.map(|t| t.0), l.text.into_revealed(), l.heard_whole)
        })
        .collect()
}

fn line(
    speaker: &str,
    turn: u32,
    text: &str,
    heard: Option<bool>,
) -> (String, Option<u32>, String, Option<bool>) {
    (speaker.to_owned(), Some(turn), text.to_owned(), heard)
}

#[tokio::test]
async fn a_call_reads_the_same_whatever_order_its_events_come_in() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let owner = db.owner().await;
    // All orders of what two publishers write of the talk; the rest comes before or after.
    for (n, order) in events::orders(6).into_iter().enumerate() {
        let call = events::call(tenant, n);
        let (talk, rest) = call.split_at(6);
        let talk = order.iter().map(|place| &talk[*place]);
        if n % 2 == 0 {
            record(&store, tenant, talk.chain(rest)).await;
        } else {
            record(&store, tenant, rest.iter().chain(talk)).await;
        }
        assert_eq!(
            transcript(&store, &call[0]).await,
            [
                line("Agent", 0, "Hello, this is the clinic.", Some(true)),
                line("User", 1, "I need a dentist.", None),
                line("Agent", 1, "Of course.", Some(false)),
                line("User", 2, "No, Friday.", None),
                line("Agent", 2, "Friday it is.", Some(false)),
            ],
            "order {order:?}"
        );
        let kept = owner
            .query_one(
                "SELECT m.intended, m.agent, c.started_at < c.ended_at, c.end_reason,
                    c.recording_key LIKE '%.wav', v.ended_at = c.ended_at, v.user_id IS NOT NULL,
                    v.our_address, extract(epoch FROM t.done_at - t.began_at)::int4
                 FROM call_logs c JOIN conversations v ON v.id = c.conversation
                 JOIN messages m ON m.conversation = v.id AND m.role = 'agent' AND m.turn = 1
                 JOIN turn_timings t ON t.conversation = v.id AND t.turn = 1
                 WHERE c.call = $1",
                &[&events::call_sid(n).as_str()],
            )
            .await
            .unwrap();
        assert_eq!(kept.get::<_, &str>(0), "Of course. Is tomorrow good?", "order {order:?}");
        assert_eq!(kept.get::<_, &str>(1), "task");
        assert_eq!(kept.get::<_, &str>(3), "caller");
        for (column, what) in [(2, "times"), (4, "recording"), (5, "end"), (6, "caller")] {
            assert!(kept.get::<_, bool>(column), "{what}, order {order:?}");
        }
        assert_eq!(kept.get::<_, &str>(7), "+15550100001");
        assert_eq!(kept.get::<_, i32>(8), 1);
    }
    let people: i64 = owner.query_one("SELECT count(*) FROM users", &[]).await.unwrap().get(0);
    assert_eq!(people, 1, "every call came from the same person");
}

#[tokio::test]
async fn words_off_the_record_are_kept_without_their_numbers() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let mut call = events::call(tenant, 0);
    for (place, text) in [(3, "It is 4111 1111, Anna."), (4, "I have four one one one, Anna.")] {
        call[place].off_record = true;
        match &mut call[place].payload {
            Payload::MessageReceived(message) => message.text = text.into(),
            Payload::MessageSent(message) => message.text = text.into(),
            other => panic!("{}", other.name()),
        }
    }
    call[5].off_record = true;
    if let Payload::CallEnded(ended) = &mut call[5].payload
        && let Some(heard) = &mut ended.heard
    {
        heard.text = "I have four one".into();
    }
    record(&store, tenant, &call).await;
    let kept = transcript(&store, &call[0]).await;
    let texts: Vec<_> = kept.iter().map(|(_, _, text, _)| text.as_str()).collect();
    let masked = |text: &str| Personal::from(text).without_numbers().into_revealed();
    assert_eq!(texts[3], masked("It is 4111 1111, Anna."));
    assert_eq!(texts[4], masked("I have four one"));
    assert!(texts[3].contains("Anna") && !texts[3].contains('4'), "{}", texts[3]);
    assert!(!texts[4].contains("four"), "{}", texts[4]);
    let sql = "SELECT intended FROM messages WHERE role = 'agent' AND turn = 2";
    let intended: String = db.owner().await.query_one(sql, &[]).await.unwrap().get(0);
    assert!(!intended.contains("four"), "{intended}");
}

#[tokio::test]
async fn a_chat_and_its_statuses_read_the_same_whatever_order_they_come_in() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    for (n, order) in events::orders(5).into_iter().enumerate() {
        let chat = events::chat(tenant, n);
        record(&store, tenant, order.iter().map(|place| &chat[*place])).await;
        assert_eq!(
            transcript(&store, &chat[0]).await,
            [line("User", 1, "Are you open?", None), line("Agent", 1, "Until five.", None)],
            "order {order:?}"
        );
        let tx = store.tenant(tenant).await.unwrap();
        let status = deliveries::of_message(&tx, chat[1].event_id).await.unwrap();
        assert_eq!(status, Some(DeliveryStatus::Read), "order {order:?}");
    }
}

/// Two messages and their answers, in the order of their arrival. They were seen by tasks whose clocks differ by so many
/// seconds from the right time.
fn talk_of_wrong_clocks(tenant: TenantId, n: usize, off_seconds: [i64; 4]) -> Vec<Envelope> {
    let first = events::chat(tenant, n);
    let mut talk = vec![first[0].clone(), first[1].clone(), first[0].clone(), first[1].clone()];
    for (at, event) in talk.iter_mut().enumerate() {
        let right = first[0].occurred_at.as_micros() + 1_000_000 * at as i64;
        event.occurred_at = Timestamp::from_micros(right + 1_000_000 * off_seconds[at]);
    }
    for event in &mut talk[2..] {
        event.event_id = event.event_id.child("again");
    }
    talk[3].turn = Turn(2);
    if let Payload::MessageReceived(message) = &mut talk[2].payload {
        (message.text, message.external_id) = ("And on Sunday?".into(), format!("wamid.2.{n}"));
    }
    if let Payload::MessageSent(message) = &mut talk[3].payload {
        (message.text, message.in_reply_to) = ("No.".into(), format!("wamid.2.{n}"));
    }
    talk
}

#[tokio::test]
async fn a_chat_stands_in_the_order_of_its_arrival_whatever_the_tasks_clocks_show() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let said = ["Are you open?", "Until five.", "And on Sunday?", "No."];
    for (n, off) in
        [[8, 0, 0, 0], [0, 8, 0, 0], [0, 0, -8, 0], [8, 0, 8, -8]].into_iter().enumerate()
    {
        let talk = talk_of_wrong_clocks(tenant, n, off);
        record(&store, tenant, &talk).await;
        let texts: Vec<_> = transcript(&store, &talk[0]).await.into_iter().map(|l| l.2).collect();
        assert_eq!(texts, said, "{off:?}");

        // Pages, of one message each, of those that look back.
        let tx = store.tenant(tenant).await.unwrap();
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = history::messages(&tx, talk[0].conversation, after, true, 1).await.unwrap();
            let Some(message) = page.into_iter().next() else { break };
            after = Some((message.position, message.id));
            let shown = talk.iter().find(|event| *event.event_id.as_uuid() == message.id).unwrap();
            assert_eq!(message.at, shown.occurred_at, "the time is the one its task saw");
            paged.push(message.text.into_revealed());
        }
        paged.reverse();
        assert_eq!(paged, said, "{off:?}");
    }
}

#[tokio::test]
async fn a_message_replayed_late_stands_where_it_was_said() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    // Neither the first message nor its answer could be taken in at the time; one was replayed after the other.
    for (n, late) in [[0, 1], [1, 0]].into_iter().enumerate() {
        let mut talk = talk_of_wrong_clocks(tenant, n, [0; 4]);
        record(&store, tenant, &talk[2..]).await;
        for place in late {
            talk[place].replays = 1;
            record(&store, tenant, [&talk[place]]).await;
        }
        let texts: Vec<_> = transcript(&store, &talk[0]).await.into_iter().map(|l| l.2).collect();
        assert_eq!(texts, ["Are you open?", "Until five.", "And on Sunday?", "No."], "{late:?}");
    }
}

#[tokio::test]
async fn a_second_delivery_of_every_event_changes_nothing() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let all = [events::call(tenant, 1), events::chat(tenant, 1)].concat();
    record(&store, tenant, &all).await;
    let owner = db.owner().await;
    let rows = async || -> Vec<String> {
        let sql = "SELECT m::text FROM messages m UNION ALL SELECT c::text FROM conversations c
            UNION ALL SELECT c::text FROM call_logs c UNION ALL SELECT u::text FROM users u
            UNION ALL SELECT d::text FROM deliveries d UNION ALL SELECT t::text FROM turn_timings t
            ORDER BY 1";
        owner.query(sql, &[]).await.unwrap().iter().map(|r| r.get(0)).collect()
    };
    let once = rows().await;
    record(&store, tenant, &all).await;
    assert_eq!(rows().await, once);
}

#[tokio::test]
async fn of_two_words_about_what_was_heard_the_one_that_heard_more_counts() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let told = [("", false), ("Of course. Is tomorrow", false), ("Of course.", false)];
    for (n, order) in events::orders(3).into_iter().enumerate() {
        let call = events::call(tenant, n);
        record(&store, tenant, [&call[0], &call[2]]).await;
        let tx = store.tenant(tenant).await.unwrap();
        for place in &order {
            let (text, complete) = told[*place];
            let heard = domain::Heard { turn: Turn(1), text: text.into(), complete };
            messages::heard(&tx, &call[3], &heard).await.unwrap();
        }
        tx.commit().await.unwrap();
        let last = transcript(&store, &call[0]).await.pop().unwrap();
        assert_eq!(
            last,
            line("Agent", 1, "Of course. Is tomorrow", Some(false)),
            "order {order:?}"
        );
    }
}

#[tokio::test]
async fn a_reply_of_which_nothing_was_heard_is_not_in_the_transcript() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let mut call = events::call(tenant, 0);
    if let domain::Payload::MessageReceived(e) = &mut call[3].payload {
        e.heard = Some(domain::Heard { turn: Turn(1), text: "".into(), complete: false });
    }
    record(&store, tenant, &call).await;
    let texts: Vec<_> = transcript(&store, &call[0]).await.into_iter().map(|l| l.2).collect();
    assert!(!texts.iter().any(|t| t.contains("Of course")), "{texts:?}");
    assert_eq!(texts.len(), 4);
}

#[tokio::test]
async fn a_nul_character_from_outside_stops_nothing() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let mut chat = events::chat(tenant, 0);
    if let domain::Payload::MessageReceived(e) = &mut chat[0].payload {
        e.text = "a\0b".into();
        e.profile_name = Some("x\0y".into());
    }
    record(&store, tenant, &chat[..1]).await;
    assert_eq!(transcript(&store, &chat[0]).await[0].2, "a\u{fffd}b");
}

#[tokio::test]
async fn a_bad_event_harms_no_other_of_its_batch() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    // One at a time, so that events gather behind the first.
    let batches = std::sync::Arc::new(writer::Batches::start(store.clone(), 1));
    let mut writes = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut event = events::chat(tenant, n).remove(0);
        let bad = n % 5 == 3;
        if let (true, domain::Payload::MessageReceived(e)) = (bad, &mut event.payload) {
            // Longer than an index takes, and too mixed to be compressed.
            e.external_id = (0..400).map(|_| EventId::random().to_string()).collect();
        }
        let batches = batches.clone();
        writes.spawn(async move { (bad, batches.record(event).await) });
    }
    for (bad, outcome) in writes.join_all().await {
        assert_eq!(bad, outcome.is_err(), "{outcome:?}");
        assert!(outcome.err().is_none_or(|e| e.is_of_the_data()));
    }
    let owner = db.owner().await;
    let kept: i64 = owner.query_one("SELECT count(*) FROM messages", &[]).await.unwrap().get(0);
    assert_eq!(kept, 16);
}
