//! Who may read, and what they get.

use std::time::Duration;

use domain::{
    CallEndReason, CallEnded, CallSid, CallStarted, Channel, ConversationId, Envelope, EventId,
    KeptFile, Media, MediaKind, MediaSettled, MessageKind, MessageReceived, MessageSent, Payload,
    SentForm, Timestamp, Turn, TurnAccount,
};
use reqwest::Method;
use serde_json::Value;
use store::{
    TenantTx, conversations, messages,
    seed::DEMO,
    users::{self, Identity},
};

use super::{CONSOLE_ORIGIN, token};
use crate::edge_task::{EdgeTask, OUR_WHATSAPP, start, start_with};

/// What a person sends.
pub fn received(from: &str, text: &str, kind: MessageKind, external_id: &str) -> MessageReceived {
    MessageReceived {
        from: from.into(),
        to: OUR_WHATSAPP.into(),
        text: text.into(),
        kind,
        external_id: external_id.to_owned(),
        profile_name: None,
        bsuid: None,
        heard: None,
        call: None,
        quotes: None,
        referral: None,
        gathered: false,
        speech: None,
    }
}

/// A chat of `words`, each answered, as the writer keeps it.
pub async fn chat(tx: &TenantTx, number: &str, words: &[&str], at: Timestamp) -> ConversationId {
    let tenant = tx.tenant();
    // WhatsApp names numbers without the sign.
    let contact = number.trim_start_matches('+');
    let conversation = ConversationId::of_chat(tenant, "whatsapp", OUR_WHATSAPP, contact);
    let known_by = Identity::phone(&number.into()).unwrap();
    let user = users::note(tx, &[known_by], Some(&"Ana".into()), at).await.unwrap();
    for (turn, text) in (1_u32..).zip(words) {
        let said_at = at.plus(Duration::from_secs(u64::from(turn)));
        let envelope = |payload: Payload| {
            Envelope::new(
                EventId::random(),
                tenant,
                conversation,
                Channel::WHATSAPP,
                said_at,
                payload,
            )
            .with_turn(Turn(turn))
        };
        let said = received(number, text, MessageKind::Text, &format!("wamid.{number}.{turn}"));
        let event = envelope(said.clone().into());
        conversations::note(tx, &event, Some(OUR_WHATSAPP), user).await.unwrap();
        messages::received(tx, &event, &said).await.unwrap();
        let reply = MessageSent {
            to: number.into(),
            from: OUR_WHATSAPP.into(),
            text: format!("You said: {text}").as_str().into(),
            in_reply_to: said.external_id.clone(),
            attempt: 1,
            account: TurnAccount { agent: "reception".into(), ..TurnAccount::default() },
            choices: Vec::new(),
            form: SentForm::Text,
        };
        let mut event = envelope(reply.clone().into());
        event.occurred_at = said_at.plus(Duration::from_millis(1));
        messages::sent(tx, &event, &reply).await.unwrap();
    }
    conversation
}

/// Three chats, a minute apart.
async fn three_chats(edge: &EdgeTask) -> Vec<ConversationId> {
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let mut chats = Vec::new();
    for (minute, (number, words)) in (0_u64..).zip([
        ("+15551230001", &["Hello", "Is there a Parking lot?"][..]),
        ("+15551230002", &["Bonjour"][..]),
        ("+15551230003", &["Hi", "100% sure_thing"][..]),
    ]) {
        let at =
            Timestamp::from_micros(1_800_000_000_000_000).plus(Duration::from_secs(60 * minute));
        chats.push(chat(&tx, number, words, at).await);
    }
    tx.commit().await.unwrap();
    chats
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn conversations_are_found_by_person_agent_channel_time_and_words_page_by_page() {
    let Some(edge) = start().await else { return };
    let chats = three_chats(&edge).await;
    let [first, second, third] = [0, 1, 2].map(|n| chats[n].to_string());
    let key = edge.api_key(DEMO, "read_only").await;
    let list = async |query: &str| {
        let page = edge.read(&key, &format!("/api/v1/conversations?{query}")).await;
        ids(&page.data())
    };
    assert_eq!(list("").await, [&*third, &*second, &*first], "the last active first");
    assert_eq!(list("person=%2B15551230002").await, [&*second]);
    assert_eq!(list("person=15551230002").await, [&*second], "as WhatsApp writes numbers");
    assert_eq!(list("person=nobody@example.com").await, [""; 0]);
    assert_eq!(list("channel=whatsapp&agent=reception").await.len(), 3);
    assert_eq!(list("channel=voice").await, [""; 0]);
    assert_eq!(list("agent=nobody").await, [""; 0]);
    assert_eq!(list("from=2027-01-15T08:01:00Z").await, [&*third, &*second]);
    assert_eq!(list("to=2027-01-15T08:01:00Z").await, [&*first]);
    assert_eq!(list("text=parking%20LOT&from=2027-01-01T00:00:00Z").await, [&*first]);
    assert_eq!(list("text=lot%20par&from=2027-01-01T00:00:00Z").await, [&*first], "beginnings");
    assert_eq!(list("text=ark&from=2027-01-01T00:00:00Z").await, [""; 0], "no ends of words");
    assert_eq!(list("text=%25&from=2027-01-01T00:00:00Z").await, [""; 0], "no wildcards");

    let mut seen = Vec::new();
    let mut path = "/api/v1/conversations?limit=2".to_owned();
    loop {
        let page = edge.read(&key, &path).await.data();
        seen.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/conversations?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [third, second, first], "every one once");

    let said =
        edge.read(&key, &format!("/api/v1/conversations/{}/messages", chats[0])).await.data();
    let texts: Vec<_> = said["items"].as_array().unwrap().iter().map(|m| &m["text"]).collect();
    assert_eq!(texts[0], "Hello");
    assert_eq!(texts[3], "You said: Is there a Parking lot?");
    assert_eq!(said["items"][3]["answered_by"]["agent"], "reception");
    let newest = format!("/api/v1/conversations/{}/messages?order=newest_first&limit=1", chats[0]);
    assert_eq!(edge.read(&key, &newest).await.data()["items"][0]["text"], *texts[3]);

    let one = edge.read(&key, &format!("/api/v1/conversations/{}", chats[0])).await;
    let tag = one.header("etag").to_owned();
    let one = one.data();
    assert_eq!(
        (&one["person"]["name"], &one["person"]["contact"]),
        (&"Ana".into(), &"+15551230001".into())
    );
    assert_eq!(one["agent"], "reception");
    let bearer = format!("Bearer {key}");
    let held = [("authorization", bearer.as_str()), ("if-none-match", tag.as_str())];
    let path = format!("/api/v1/conversations/{}", chats[0]);
    assert_eq!(edge.api(Method::GET, &path, &held, None).await.status, 304);
}

#[tokio::test]
async fn words_are_looked_for_in_the_last_thirty_days_where_nobody_says_how_far_back() {
    let Some(edge) = start().await else { return };
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let ago =
        |days: i64| Timestamp::from_micros(Timestamp::now().as_micros() - days * 86_400_000_000);
    let old = chat(&tx, "+15551230001", &["Is there parking?"], ago(40)).await.to_string();
    let new = chat(&tx, "+15551230002", &["Is there parking?"], ago(20)).await.to_string();
    tx.commit().await.unwrap();
    let key = edge.api_key(DEMO, "read_only").await;
    let list = async |query: &str| {
        ids(&edge.read(&key, &format!("/api/v1/conversations?{query}")).await.data())
    };
    assert_eq!(list("text=parking").await, [&*new]);
    let before = jiff::Timestamp::from_microsecond(ago(30).as_micros()).unwrap();
    assert_eq!(list(&format!("text=parking&to={before}")).await, [&*old], "the 30 days before");
}

#[tokio::test]
async fn calls_and_people_are_found_by_what_is_asked_for() {
    let Some(edge) = start().await else { return };
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let now = Timestamp::now();
    let mut calls = Vec::new();
    for (number, ours) in [("+15551230001", "+15550100001"), ("+15551230002", "+15550100003")] {
        let call = CallSid::of_browser(uuid::Uuid::new_v4());
        let known_by = Identity::phone(&number.into()).unwrap();
        let user = users::note(&tx, &[known_by], None, now).await.unwrap();
        let started = CallStarted {
            call: call.clone(),
            from: number.into(),
            to: ours.into(),
            greeting: String::new(),
        };
        let conversation = ConversationId::of_call(DEMO, &call);
        let event = Envelope::new(
            EventId::random(),
            DEMO,
            conversation,
            Channel::BROWSER,
            now,
            started.clone(),
        );
        conversations::note(&tx, &event, Some(ours), user).await.unwrap();
        store::calls::started(&tx, &event, &started).await.unwrap();
        calls.push((call, event));
    }
    let (over, of) = &calls[1];
    let ended = CallEnded {
        call: over.clone(),
        reason: CallEndReason::Caller,
        started_at: now,
        heard: None,
    };
    store::calls::ended(&tx, of, &ended).await.unwrap();
    tx.commit().await.unwrap();
    let [first, second] = [0, 1].map(|n| calls[n].0.to_string());
    let key = edge.api_key(DEMO, "read_only").await;
    let list =
        async |query: &str| ids(&edge.read(&key, &format!("/api/v1/calls?{query}")).await.data());
    assert_eq!(list("channel=browser").await.len(), 2);
    assert_eq!(list("channel=voice").await, [""; 0]);
    assert_eq!(list("live=true").await, [&*first]);
    assert_eq!(list("live=false").await, [&*second]);
    assert_eq!(list("person=%2B15551230002").await, [&*second]);
    assert_eq!(list("person=%2B15551239999").await, [""; 0]);
    assert_eq!(list("address=%2B15550100001").await, [&*first]);
    let wrong = edge.read(&key, "/api/v1/calls?live=maybe").await;
    assert_eq!(wrong.refusal(), (400, "invalid_parameter"));

    let people = edge.read(&key, "/api/v1/users?person=15551230001").await.data();
    assert_eq!(people["items"].as_array().unwrap().len(), 1);
    assert_eq!(people["items"][0]["contacts"][0]["value"], "+15551230001");
    let id = people["items"][0]["id"].as_str().unwrap();
    let same = edge.read(&key, &format!("/api/v1/users?person={id}")).await.data();
    assert_eq!(same, people);
    let nobody = edge.read(&key, "/api/v1/users?person=%2B15551239999").await.data();
    assert_eq!(nobody["items"], serde_json::json!([]));
}

#[tokio::test]
async fn a_message_with_a_file_says_what_it_is_or_why_there_is_none() {
    let Some(edge) = start().await else { return };
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    let now = Timestamp::now();
    let conversation = chat(&tx, "+15551230001", &[], now).await;
    let picture = || {
        MessageKind::Media(Media {
            kind: MediaKind::Image,
            id: "1".into(),
            mime_type: "image/jpeg".into(),
            sha256: String::new(),
            filename: None,
        })
    };
    let file = KeptFile {
        bucket: "b".into(),
        key: "k".into(),
        mime_type: "image/jpeg".into(),
        bytes: 48_211,
    };
    for (external_id, file, fault) in [
        ("wamid.1", Some(file), None),
        ("wamid.2", None, Some("not taken: too large".to_owned())),
        ("wamid.3", None, None),
    ] {
        let said = received("+15551230001", "", picture(), external_id);
        let id = EventId::random();
        let event = Envelope::new(id, DEMO, conversation, Channel::WHATSAPP, now, said.clone());
        conversations::note(&tx, &event, Some(OUR_WHATSAPP), None).await.unwrap();
        messages::received(&tx, &event, &said).await.unwrap();
        if file.is_some() || fault.is_some() {
            let settled = MediaSettled { message: id, file, words: None, fault };
            messages::media_settled(&tx, &event, &settled).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
    let key = edge.api_key(DEMO, "read_only").await;
    let path = format!("/api/v1/conversations/{conversation}/messages");
    let said = edge.read(&key, &path).await.data();
    let told = |n: usize| (&said["items"][n]["file"], &said["items"][n]["file_fault"]);
    let kept = serde_json::json!({"media_type": "image/jpeg", "bytes": 48_211});
    assert_eq!(told(0), (&kept, &Value::Null));
    assert_eq!(told(1), (&Value::Null, &"not taken: too large".into()));
    assert_eq!(told(2), (&Value::Null, &Value::Null), "it is still being fetched");
}

#[tokio::test]
async fn who_asks_again_for_a_list_that_is_as_it_was_is_told_just_that() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "read_only").await;
    let bearer = format!("Bearer {key}");
    for list in ["agents", "routing-rules", "services", "resources", "hours"] {
        let path = format!("/api/v1/{list}");
        let shown = edge.read(&key, &path).await;
        let tag = shown.header("etag").to_owned();
        shown.data();
        let held = [("authorization", bearer.as_str()), ("if-none-match", tag.as_str())];
        assert_eq!(edge.api(Method::GET, &path, &held, None).await.status, 304, "{list}");
    }
}

#[tokio::test]
async fn whoever_cannot_say_who_they_are_is_told_so_in_the_one_shape() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "read_only").await;
    let path = "/api/v1/conversations";
    let none = edge.api(Method::GET, path, &[], None).await;
    assert_eq!(none.refusal(), (401, "unauthorized"));
    assert_eq!(none.header("www-authenticate"), "Bearer");
    let (head, _) = key.rsplit_once('_').unwrap();
    let nobodys = key.replace("de30", "de31");
    for bad in [
        &format!("{head}_guessed"),
        &nobodys,
        "sbk_x",
        "a.b.c",
        "x",
        &format!("{}x", token(DEMO, "admin")),
    ] {
        assert_eq!(edge.read(bad, path).await.refusal(), (401, "unauthorized"), "{bad}");
    }
    assert_eq!(edge.api(Method::GET, path, &[("x-api-key", &key)], None).await.status, 200);
    for role in ["read_only", "read-only"] {
        assert_eq!(edge.read(&token(DEMO, role), path).await.status, 200, "{role}");
    }
    let nobody = domain::TenantId::from_uuid(uuid::Uuid::new_v4());
    assert_eq!(edge.read(&token(nobody, "admin"), path).await.refusal(), (401, "unauthorized"));

    let id = key.split('_').nth(2).unwrap();
    let store = edge.db.store().await;
    let tx = store.tenant(DEMO).await.unwrap();
    store::api_keys::revoke(&tx, id).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_eq!(edge.read(&key, path).await.refusal(), (401, "unauthorized"), "revoked");
}

#[tokio::test]
async fn what_cannot_be_answered_is_told_in_the_one_shape_too() {
    let Some(edge) = start().await else { return };
    let key = edge.api_key(DEMO, "read_only").await;
    let nothing = uuid::Uuid::new_v4();
    for (path, expected) in [
        ("/api/v1/conversatons".to_owned(), (404, "not_found")),
        ("/api/v1".to_owned(), (404, "not_found")),
        (format!("/api/v1/conversations/{nothing}"), (404, "not_found")),
        (format!("/api/v1/conversations/{nothing}/messages"), (404, "not_found")),
        ("/api/v1/conversations/no-id".to_owned(), (404, "not_found")),
        ("/api/v1/calls/..%2F..".to_owned(), (404, "not_found")),
        ("/api/v1/conversations?limit=1000".to_owned(), (400, "invalid_parameter")),
        ("/api/v1/conversations?chanel=voice".to_owned(), (400, "invalid_parameter")),
        ("/api/v1/conversations?channel=%00".to_owned(), (400, "invalid_parameter")),
        ("/api/v1/conversations?channel=%ff".to_owned(), (400, "invalid_parameter")),
        ("/api/v1/escalations?status=lost".to_owned(), (400, "invalid_parameter")),
    ] {
        assert_eq!(edge.read(&key, &path).await.refusal(), expected, "{path}");
    }
    let deleted = edge.api(Method::DELETE, "/api/v1/conversations", &[], None).await;
    assert_eq!(deleted.refusal(), (405, "method_not_allowed"));
    assert_eq!(deleted.header("allow"), "GET");
}

#[tokio::test]
async fn over_the_limit_a_caller_is_told_when_to_come_again_and_nobody_else_is() {
    let Some(edge) = start_with(&[("SB_API_REQUESTS_PER_MINUTE", "3")]).await else { return };
    let (busy, other) =
        (edge.api_key(DEMO, "read_only").await, edge.api_key(DEMO, "read_only").await);
    let path = "/api/v1/calls";
    for _ in 0..3 {
        assert_eq!(edge.read(&busy, path).await.status, 200);
    }
    let over = edge.read(&busy, path).await;
    assert_eq!(over.refusal(), (429, "too_many_requests"));
    assert!((1..=60).contains(&over.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(edge.read(&other, path).await.status, 200);
}

#[tokio::test]
async fn only_pages_of_listed_origins_may_read_in_a_browser() {
    let Some(edge) = start().await else { return };
    let asks = |origin| [("origin", origin), ("access-control-request-method", "POST")];
    let path = "/api/v1/conversations";
    let listed = edge.api(Method::OPTIONS, path, &asks(CONSOLE_ORIGIN), None).await;
    assert_eq!(listed.status, 204);
    assert_eq!(listed.header("access-control-allow-origin"), CONSOLE_ORIGIN);
    assert!(listed.header("access-control-allow-headers").contains("Authorization"));
    let foreign = edge.api(Method::OPTIONS, path, &asks("https://evil.example"), None).await;
    assert_eq!(foreign.refusal(), (403, "forbidden"));
    assert_eq!(foreign.header("access-control-allow-origin"), "");
    let refused = edge.api(Method::GET, path, &[("origin", CONSOLE_ORIGIN)], None).await;
    assert_eq!(refused.refusal().0, 401);
    assert_eq!(
        refused.header("access-control-allow-origin"),
        CONSOLE_ORIGIN,
        "errors are readable"
    );
}

#[tokio::test]
async fn the_description_and_its_page_are_served_and_health_needs_no_credential() {
    let Some(edge) = start().await else { return };
    let document = edge.api(Method::GET, "/api/v1/openapi.json", &[], None).await.body;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert!(document["paths"]["/api/v1/conversations"]["get"]["responses"]["401"].is_object());
    let page = edge.http.get(format!("{}/api/docs", edge.base)).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("/api/v1/conversations"));
    let health = edge.api(Method::GET, "/api/v1/health", &[], None).await.data();
    assert!(health["dependencies"].as_array().unwrap().iter().all(|d| d["up"] == true));
}
