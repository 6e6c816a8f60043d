//! What becomes of a reply under each kind of Meta's errors (PROTOCOLS 2.4), with the simulator as Meta.

use std::net::TcpListener;

use actix_web::web;
use domain::{
    Channel, DeliveryStatus, DeliveryUpdated, Envelope, EventId, MessageSent, Payload, SentForm,
    Stage, Timestamp, TurnAccount,
};
use simulator::{World, config::Config, meta::Failure};

use crate::edge_task::{EdgeTask, OUR_WHATSAPP, anas_chat, start_with};

const ANA: &str = "15551234567";

async fn start() -> Option<(EdgeTask, web::Data<World>)> {
    let world = web::Data::new(World::new(Config::default()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/graph", listener.local_addr().unwrap());
    tokio::spawn(simulator::serve(listener, world.clone(), false).unwrap());
    let edge = start_with(&[("WHATSAPP_API_BASE_URL", &base)]).await?;
    Some((edge, world))
}

fn reply(text: &str) -> Envelope {
    let sent = MessageSent {
        to: ANA.into(),
        from: OUR_WHATSAPP.into(),
        text: text.into(),
        in_reply_to: "wamid.asked".into(),
        attempt: 1,
        account: TurnAccount::default(),
        choices: Vec::new(),
        form: SentForm::Text,
    };
    let now = Timestamp::now();
    let (id, tenant) = (EventId::random(), store::seed::DEMO);
    let mut reply = Envelope::new(id, tenant, anas_chat(), Channel::WHATSAPP, now, sent);
    reply.stamp(Stage::WEBHOOK_RECEIVED, now);
    reply
}

async fn fate(edge: &EdgeTask) -> DeliveryUpdated {
    match edge.published_kind("DeliveryUpdated").await.payload {
        Payload::DeliveryUpdated(update) => update,
        other => panic!("{}", other.name()),
    }
}

fn fail(world: &World, code: u32) {
    world.meta.fail(Failure { code, later: false, times: 1 });
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again_and_arrives_once() {
    let Some((edge, world)) = start().await else { return };
    for code in [131_000, 131_016, 1, 2, 4, 80_007, 130_429, 131_056, 131_057] {
        fail(&world, code);
        let text = format!("after {code}");
        edge.bus.publish(&[reply(&text)]).await.unwrap();
        assert_eq!(fate(&edge).await.status, DeliveryStatus::Accepted, "{code}");
        let chat = world.meta.chat(ANA).unwrap();
        let times = chat.replies().iter().filter(|reply| **reply == text).count();
        assert_eq!(times, 1, "{code}");
    }
}

#[tokio::test]
async fn what_never_will_is_given_up_at_once_and_told() {
    let Some((edge, world)) = start().await else { return };
    let codes = [
        0, 190, 10, 200, 100, 131_008, 131_009, 131_026, 131_030, 131_031, 368, 131_037, 131_042,
        131_045, 131_049, 131_050, 131_051, 131_053, 132_000, 132_001, 132_015, 130_472,
    ];
    for code in codes {
        fail(&world, code);
        edge.bus.publish(&[reply("lost")]).await.unwrap();
        let fate = fate(&edge).await;
        assert_eq!(fate.status, DeliveryStatus::Failed, "{code}");
        assert_eq!(fate.error.map(|(code, _)| code), Some(i64::from(code)));
    }
    assert!(world.meta.chat(ANA).is_none_or(|chat| chat.replies().is_empty()));
    // The chat is not stopped by what was given up.
    edge.bus.publish(&[reply("and on")]).await.unwrap();
    assert_eq!(fate(&edge).await.status, DeliveryStatus::Accepted);
}

#[tokio::test]
async fn a_message_outside_the_window_waits_whoever_knew_it_first() {
    let Some((edge, world)) = start().await else { return };
    fail(&world, 131_047);
    edge.bus.publish(&[reply("too late")]).await.unwrap();
    assert_eq!(fate(&edge).await.status, DeliveryStatus::Held);
    assert!(world.meta.chat(ANA).is_none_or(|chat| chat.replies().is_empty()));
}
