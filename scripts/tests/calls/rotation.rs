//! Every credential is rotated while people talk and write (E4): nobody notices. As operators do it: a second value is made
//! good beside the first, the tasks are told, and the first is taken back once all have followed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::Signal;
use serde_json::{Value, json};
use simulator::caller::{Account, CallScript};
use store::seed::DEMO;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::desk::{Desk, OUR_NUMBER, OUR_WHATSAPP};

pub const ISSUER: &str = "https://id.example.com";
pub const AUDIENCE: &str = "switchboard";
const NEW: &str = "0123456789abcdef0123456789abcdef";
const FIRST_KEY: &[u8] = b"the-first-secret-of-thirty-two-b";
const SECOND_KEY: &[u8] = b"the-second-secret-of-thirty-two-";
/// All tasks have followed a rotation by then: a minute, and what a slow machine adds.
const FOLLOWED: Duration = Duration::from_secs(75);
/// People go on so long with the new credentials alone.
const AFTERWARDS: Duration = Duration::from_secs(20);
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

pub async fn unnoticed(desk: &Desk) {
    let secrets = Secrets::open(desk).await;
    secrets.put("SB_JWT_KEYS", &keys("first", FIRST_KEY)).await;
    for task in ["edge-1", "edge-2"] {
        let before = desk.signal(task, Signal::KILL);
        desk.restarted(task, before).await;
    }
    let is_over = AtomicBool::new(false);
    let rotated = async {
        rotate(desk, &secrets).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let ((), calls, texts, ()) =
        tokio::join!(rotated, calls(desk, &is_over), chat(desk, &is_over), asks(desk, &is_over));
    assert!(calls >= 4 && texts >= 10, "{calls} calls, {texts} messages");
    let said = i64::try_from(2 * calls + 1 + texts).unwrap();
    let sql = "SELECT count(*) FROM messages WHERE role = 'user'";
    let all = async || (desk.rows(sql, &[]).await[0].get::<_, i64>(0) == said).then_some(());
    desk.until("history of all that was said and written", all).await;
}

async fn rotate(desk: &Desk, secrets: &Secrets) {
    let database = desk.variable("DATABASE_URL");
    desk.rows(&format!("CREATE ROLE second LOGIN SUPERUSER PASSWORD '{NEW}'"), &[]).await;
    let (_, place) = database.split_once('@').unwrap();
    let second = format!("postgres://second:{NEW}@{place}");
    secrets.put("DATABASE_URL", &second).await;

    let redis = desk.variable("REDIS_URL").strip_prefix("redis://").unwrap().to_owned();
    redis_takes(&redis, &format!("ACL SETUSER second on >{NEW} ~* &* +@all")).await;
    secrets.put("REDIS_URL", &format!("redis://second:{NEW}@{redis}")).await;

    secrets.put("TWILIO_AUTH_TOKEN", NEW).await;
    secrets.put("SB_JWT_KEYS", &keys("second", SECOND_KEY)).await;

    // What is promised is a time; nothing else tells that the last task has followed.
    tokio::time::sleep(FOLLOWED).await;
    desk.rows("ALTER ROLE postgres PASSWORD 'taken-back'", &[]).await;
    let connections = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE usename = 'postgres' AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    desk.rows(connections, &[]).await;
    redis_takes(&redis, "ACL SETUSER default off\r\nCLIENT KILL USER default").await;
    tokio::time::sleep(AFTERWARDS).await;
    let logins = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'second'";
    let of_second: i64 = desk.rows(logins, &[]).await[0].get(0);
    assert!(of_second > 0, "the tasks use the new login");
}

/// Calls one after the other; each is answered to its end. The last one is signed with the new token.
async fn calls(desk: &Desk, is_over: &AtomicBool) -> usize {
    let mut placed = 0;
    while !is_over.load(Ordering::Relaxed) {
        let from = format!("+15557776{placed:03}");
        let script = CallScript::new(&from, OUR_NUMBER, ["hello there", "thank you, goodbye"]);
        let report = desk.outside.call(&script).await.unwrap();
        assert!(report.faults.is_empty(), "{report:#?}");
        assert_eq!(report.heard.len(), 3, "greeting, answer, farewell: {report:#?}");
        placed += 1;
    }
    let account = desk.variable("TWILIO_ACCOUNT_SID").to_owned();
    let mut script = CallScript::new("+15557776999", OUR_NUMBER, ["thank you, goodbye"]);
    script.options.account = Some(Account { sid: account, auth_token: NEW.to_owned() });
    let report = desk.outside.call(&script).await.unwrap();
    assert!(report.faults.is_empty(), "signed with the new token: {report:#?}");
    placed
}

async fn chat(desk: &Desk, is_over: &AtomicBool) -> usize {
    const WRITER: &str = "15557776000";
    let path = format!("/sim/chats/{WRITER}");
    let mut written = 0;
    while !is_over.load(Ordering::Relaxed) {
        let message = json!({"from": WRITER, "name": "Ada", "phone_number_id": OUR_WHATSAPP,
            "text": format!("What is {written} and one?")});
        desk.outside.tell("/sim/chats/messages", &message).await.unwrap();
        written += 1;
        let answered = |chat: &simulator::meta::Chat| chat.replies().len() >= written;
        desk.outside.until(ANSWER_LIMIT, &path, answered).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    written
}

/// Front ends with tokens of the key before go on, and so do those of the new one once it is there.
async fn asks(desk: &Desk, is_over: &AtomicBool) {
    let http = reqwest::Client::new();
    let ask = async |kid: &str, key: &[u8]| {
        let url = desk.public("/api/v1/conversations?limit=1");
        let answer = http.get(url).bearer_auth(token(kid, key)).send().await.unwrap();
        answer.status().as_u16()
    };
    while !is_over.load(Ordering::Relaxed) {
        assert_eq!(ask("first", FIRST_KEY).await, 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for _ in 0..10 {
        assert_eq!(ask("second", SECOND_KEY).await, 200, "whichever task answers");
    }
}

/// Secrets Manager, as an operator has it.
struct Secrets {
    client: aws_sdk_secretsmanager::Client,
    prefix: String,
}

impl Secrets {
    async fn open(desk: &Desk) -> Self {
        let aws = scripts::aws::config(&desk.environment()).await;
        let client = aws_sdk_secretsmanager::Client::new(&aws);
        Self { client, prefix: desk.variable("SB_SECRETS_PREFIX").to_owned() }
    }

    async fn put(&self, name: &str, value: &str) {
        let id = vault::secret_id(&self.prefix, name);
        let put = self.client.put_secret_value().secret_id(&id).secret_string(value).send();
        if put.await.is_err() {
            self.client.create_secret().name(&id).secret_string(value).send().await.unwrap();
        }
    }
}

/// Gives Redis orders that it takes, each with `+OK` or a count.
async fn redis_takes(address: &str, orders: &str) {
    let mut redis = TcpStream::connect(address).await.unwrap();
    redis.write_all(format!("{orders}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 256];
    let length = redis.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("+OK"), "{answer}");
}

/// A JWK set of one key.
fn keys(kid: &str, key: &[u8]) -> String {
    let key = json!({"kty": "oct", "kid": kid, "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(key)});
    json!({"keys": [key]}).to_string()
}

/// A token of an operator of the tenant `demo`.
fn token(kid: &str, key: &[u8]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let header = json!({"alg": "HS256", "kid": kid});
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ana", "exp": now + 60,
        "tenant": DEMO.as_uuid(), "role": "operator"});
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encoded(&header), encoded(&claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
