//! Whatever order events come in, and however often, the history is the same.

use std::time::Duration;

use domain::{
    Channel, ConversationId, DeliveryStatus, Envelope, EventId, Keyword, Location, MessageKind,
    Payload, Personal, TenantId, Timestamp, Turn,
};
use store::{
    Store, deliveries, history,
    messages::{self, Speaker},
    opt_outs::{self, OptOut},
};
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

/// The first message of a chat, and what the person did to it later.
fn of_first(chat: &[Envelope], name: &str, kind: MessageKind, text: &str) -> Envelope {
    let mut event = chat[0].clone();
    event.event_id = event.event_id.child(name);
    event.occurred_at = chat[1].occurred_at.plus(Duration::from_secs(60));
    if let Payload::MessageReceived(message) = &mut event.payload {
        (message.kind, message.text) = (kind, text.into());
        message.external_id = format!("{}.{name}", message.external_id);
    }
    event
}

/// What stands in a chat for agents, and how its first message is shown.
async fn stands(store: &Store, of: &Envelope) -> (Vec<String>, history::Message) {
    let tx = store.tenant(of.tenant).await.unwrap();
    let lines = messages::transcript(&tx, of.conversation, 100).await.unwrap();
    let lines = lines.into_iter().filter(|line| !line.is_withdrawn);
    let lines = lines.map(|line| line.text.into_revealed()).collect();
    let shown = history::messages(&tx, of.conversation, None, false, 100).await.unwrap();
    let first = shown.into_iter().find(|m| m.id == *of.event_id.as_uuid()).unwrap();
    (lines, first)
}

#[tokio::test]
async fn a_message_that_was_changed_says_what_it_says_now() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    // The message itself may have to be replayed, long after its change.
    for (n, is_late) in [false, true].into_iter().enumerate() {
        let mut chat = events::chat(tenant, n);
        let kind = || MessageKind::Edited { original: format!("wamid.in.{n}") };
        let once = of_first(&chat, "once", kind(), "Are you open today?");
        let twice = of_first(&chat, "twice", kind(), "Are you open on Sunday?");
        if is_late {
            chat[0].replays = 1;
            record(&store, tenant, [&chat[1], &once, &twice, &chat[0]]).await;
        } else {
            record(&store, tenant, [&chat[0], &chat[1], &once, &twice]).await;
        }
        let (lines, shown) = stands(&store, &chat[0]).await;
        assert_eq!(lines, ["Are you open on Sunday?", "Until five."], "late: {is_late}");
        assert_eq!(shown.text.reveal(), "Are you open on Sunday?");
        assert_eq!(shown.edited_at, Some(twice.occurred_at));
        assert_eq!(shown.revoked_at, None);
    }
}

#[tokio::test]
async fn a_change_of_a_message_that_nobody_has_stands_by_itself() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let chat = events::chat(tenant, 0);
    let kind = MessageKind::Edited { original: "wamid.before-us".into() };
    let changed = of_first(&chat, "changed", kind, "At three then.");
    record(&store, tenant, [&chat[0], &changed]).await;
    let (lines, _) = stands(&store, &chat[0]).await;
    assert_eq!(lines, ["Are you open?", "At three then."]);
}

#[tokio::test]
async fn of_a_message_that_was_taken_back_no_word_is_left() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    for (n, is_late) in [false, true].into_iter().enumerate() {
        let mut chat = events::chat(tenant, n);
        let original = format!("wamid.in.{n}");
        if let Payload::MessageReceived(message) = &mut chat[0].payload {
            message.text = "My PIN is quokka".into();
        }
        let kind = MessageKind::Edited { original: original.clone() };
        let changed = of_first(&chat, "changed", kind, "My PIN is quokka2");
        let gone = of_first(&chat, "gone", MessageKind::Revoked { original }, "");
        if is_late {
            chat[0].replays = 1;
            record(&store, tenant, [&chat[1], &changed, &gone, &chat[0]]).await;
        } else {
            record(&store, tenant, [&chat[0], &chat[1], &changed, &gone]).await;
        }
        let (lines, shown) = stands(&store, &chat[0]).await;
        assert_eq!(lines, ["Until five."], "late: {is_late}");
        assert_eq!((shown.text.reveal(), shown.revoked_at), ("", Some(gone.occurred_at)));
        let sql = "SELECT count(*) FROM messages WHERE messages::text LIKE '%quokka%'";
        let left: i64 = db.owner().await.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(left, 0, "late: {is_late}");
    }
}

#[tokio::test]
async fn who_has_another_number_from_now_on_stays_one_person() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let (mut before, mut after) = (events::chat(tenant, 0), events::chat(tenant, 1));
    for (event, number) in [(&mut before[0], "15551234567"), (&mut after[0], "15557654321")] {
        if let Payload::MessageReceived(message) = &mut event.payload {
            (message.from, message.bsuid) = (number.into(), None);
        }
    }
    let kind = MessageKind::NumberChanged { to: "15557654321".into() };
    let moved = of_first(&before, "moved", kind, "");
    record(&store, tenant, [&before[0], &moved, &after[0]]).await;
    let sql = "SELECT count(DISTINCT user_id), count(*) FROM conversations";
    let row = db.owner().await.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 2));
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

#[tokio::test]
async fn who_says_stop_has_opted_out_until_they_say_start() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    let said = |second: u64, word: Keyword| {
        let mut event = events::chat(tenant, 1).swap_remove(0);
        event.event_id = event.event_id.child(word.as_str());
        event.occurred_at = events::at(second);
        let Payload::MessageReceived(message) = &mut event.payload else { unreachable!() };
        message.kind = MessageKind::Keyword(word);
        event
    };
    let is_out = async || {
        let tx = store.tenant(tenant).await.unwrap();
        let (ours, person) = ("106540352242922", "+15551234567".into());
        opt_outs::is_out(&tx, &OptOut::of(&Channel::WHATSAPP, ours, &person)).await.unwrap()
    };
    assert!(!is_out().await);
    let (stop, help, start) =
        (said(10, Keyword::Stop), said(20, Keyword::Help), said(30, Keyword::Start));
    record(&store, tenant, [&stop, &help]).await;
    assert!(is_out().await);
    let tx = store.tenant(tenant).await.unwrap();
    let lines = messages::transcript(&tx, stop.conversation, 10).await.unwrap();
    drop(tx);
    let kinds: Vec<_> = lines.iter().map(|l| (l.kind.as_str(), l.is_withdrawn)).collect();
    assert_eq!(kinds, [("keyword", true), ("keyword", true)], "kept, and nothing for agents");
    record(&store, tenant, [&start]).await;
    assert!(!is_out().await);
    // Told again, and late, it is still the earlier word.
    let late = Envelope { event_id: EventId::random(), ..stop };
    record(&store, tenant, [&late]).await;
    assert!(!is_out().await);
}

#[tokio::test]
async fn a_message_keeps_what_it_replies_to_where_it_came_from_and_the_place_it_names() {
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let store = db.store().await;
    // What points back may be here before the message that it points at.
    for (n, order) in [[0, 1, 2, 3], [0, 1, 3, 2], [1, 2, 0, 3]].into_iter().enumerate() {
        let first = events::chat(tenant, n);
        let mut talk = talk_of_wrong_clocks(tenant, n, [0; 4]);
        let Payload::MessageReceived(message) = &mut talk[2].payload else { panic!() };
        message.quotes = Some(format!("wamid.in.{n}"));
        message.referral = Some("Spring offer".into());
        message.kind = MessageKind::Location(Location { latitude: 43.65, longitude: -79.38 });
        message.text = "City Hall".into();
        record(&store, tenant, order.iter().map(|place| &talk[*place])).await;
        // The vendor's word of the first answer.
        record(&store, tenant, &first[2..]).await;

        let tx = store.tenant(tenant).await.unwrap();
        let conversation = talk[0].conversation;
        let shown = history::messages(&tx, conversation, None, false, 10).await.unwrap();
        let texts: Vec<_> = shown.iter().map(|m| (m.turn, m.text.reveal())).collect();
        let place = "City Hall (43.65, -79.38)";
        let expected = [
            (Some(1), "Are you open?"),
            (Some(1), "Until five."),
            (Some(2), place),
            (Some(2), "No."),
        ];
        assert_eq!(texts, expected, "a message that points back answers nothing");
        assert_eq!(shown[2].in_reply_to.as_deref(), Some(format!("wamid.in.{n}").as_str()));
        assert_eq!(shown[2].referral.as_ref().map(Personal::reveal), Some("Spring offer"));
        assert_eq!((&shown[0].referral, &shown[0].in_reply_to), (&None, &None));

        let quoted = async |id: &str| messages::quoted(&tx, &[conversation], id).await.unwrap();
        let theirs = quoted(&format!("wamid.in.{n}")).await;
        assert_eq!(theirs, Some((Speaker::User, "Are you open?".into())));
        let ours = quoted(&format!("wamid.out.{n}")).await;
        assert_eq!(ours, Some((Speaker::Agent, "Until five.".into())));
        assert_eq!(quoted("wamid.of-nobody").await, None);
        let other = ConversationId::of_chat(tenant, "whatsapp", "1065", "another");
        let found = messages::quoted(&tx, &[other], &format!("wamid.in.{n}")).await.unwrap();
        assert_eq!(found, None, "nobody points into another's talk");
    }
}
