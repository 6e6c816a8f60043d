//! What is logged of whoever is over a limit (E2): a line for each request, and nothing that names them.

use std::{
    io,
    sync::{Arc, Mutex},
};

use domain::Channel;
use edge::channel::UserKey;
use serde_json::{Value, json};
use store::seed::DEMO;

use crate::{
    edge_task::start_with,
    media_socket::{closed_without_audio, connected},
    vendors::{new_call_sid, whatsapp_body},
};

const CALLER: &str = "+15557770941";
const WRITER: &str = "15557770942";
const WORDS: &str = "turquoise pelican";
const SECRET: &str = "the-secret";
/// Ours in detail: what others log there is theirs.
const FILTER: &str = "info,edge=debug,bus=debug,cache=debug,store=debug,call_core=debug";

/// What this process logs, as the services write it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// From now on, for the rest of the process.
    fn start() -> Self {
        let log = Self::default();
        let written = log.clone();
        let lines = tracing_subscriber::fmt().json().flatten_event(true);
        let lines = lines.with_env_filter(FILTER).with_writer(move || written.clone());
        tracing::subscriber::set_global_default(lines.finish()).expect("the only log");
        log
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that say of `user` that they are over a limit.
    fn over_limit(&self, user: UserKey) -> Vec<Value> {
        let user = user.0.to_string();
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "over_limit" && line["user"] == user.as_str()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_over_a_limit_is_logged_once_and_nobody_is_named() {
    let log = Log::start();
    let Some(edge) = start_with(&[("SB_API_REQUESTS_PER_MINUTE", "3")]).await else { return };
    let message = |n: u32| {
        json!({"from": WRITER, "id": format!("wamid.{n}"), "timestamp": "1749416383", "type": "text",
            "text": {"body": WORDS}})
    };
    let many: Vec<_> = (0..101).map(message).collect();
    for body in [whatsapp_body(&many), whatsapp_body(&[message(101)])] {
        assert_eq!(edge.meta(&body).await.0, 200);
    }
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(connected(&edge, &new_call_sid(), CALLER).await);
        edge.published_kind("CallStarted").await;
    }
    let mut fourth = connected(&edge, &new_call_sid(), CALLER).await;
    closed_without_audio(&mut fourth).await;
    let key = edge.api_key(DEMO, "read_only").await;
    for expected in [200, 200, 200, 429] {
        assert_eq!(edge.read(&key, "/api/v1/calls").await.status, expected);
    }

    let key_id = key.split('_').nth(2).unwrap();
    for (user, channel, limit, refused) in [
        (UserKey::of(DEMO, &Channel::WHATSAPP, WRITER, ""), "whatsapp", "requests", 2),
        (UserKey::of(DEMO, &Channel::VOICE, CALLER, ""), "voice", "sockets", 1),
        (UserKey(DEMO.derive(&format!("api:key:{key_id}"))), "api", "requests", 1),
    ] {
        let lines = log.over_limit(user);
        assert_eq!(lines.len(), refused, "{channel}: {lines:?}");
        for line in lines {
            assert_eq!((&line["channel"], &line["limit"]), (&json!(channel), &json!(limit)));
        }
    }
    let text = log.text();
    for telltale in [CALLER.trim_start_matches('+'), WRITER, WORDS, SECRET] {
        let line = text.lines().find(|line| line.contains(telltale));
        assert!(line.is_none(), "it tells of somebody ({telltale}): {line:?}");
    }
}
