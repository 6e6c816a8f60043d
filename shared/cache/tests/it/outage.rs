//! Redis away, silent, and back.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process,
    sync::Arc,
    time::Duration,
};

use cache::{Cache, CacheError, OPERATION_TIMEOUT};
use domain::{Dependency as _, StartCounter as _, Turn};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{self, TcpStream},
    process::Command,
    sync::Notify,
    time::timeout,
};

use crate::{cache, call, event};

/// Far more than one operation may take: what is caught here is a hang.
const HANG: Duration = OPERATION_TIMEOUT.saturating_mul(10);

#[tokio::test]
async fn a_redis_that_is_not_there_is_an_error_and_not_a_hang() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cache = Cache::connect(&format!("redis://{free}"), "test").unwrap();
    assert!(timeout(HANG, cache.fence(&call())).await.unwrap().is_err());
    assert!(!timeout(HANG, cache.is_up()).await.unwrap());
    assert_eq!(timeout(HANG, cache.started("speak", event())).await.unwrap(), None);
}

#[tokio::test]
async fn a_redis_that_accepts_and_says_nothing_is_an_error_and_not_a_hang() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", mute.local_addr().unwrap());
    let cache = Cache::connect(&url, "test").unwrap();
    assert!(timeout(HANG, cache.set_fence(&call(), Turn(1))).await.unwrap().is_err());
}

#[tokio::test]
async fn in_an_outage_operations_fail_without_a_wait_and_the_health_page_still_asks() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", mute.local_addr().unwrap());
    let cache = Cache::connect(&url, "test").unwrap();
    let mut errors = Vec::new();
    for _ in 0..4 {
        errors.push(cache.fence(&call()).await.unwrap_err());
    }
    assert!(matches!(errors[0], CacheError::TimedOut), "{errors:?}");
    assert!(matches!(errors[3], CacheError::Away), "{errors:?}");
    assert!(!cache.is_up().await);
}

#[test]
fn a_url_redis_does_not_understand_ends_the_start() {
    assert!(matches!(Cache::connect("http://nowhere", "test"), Err(CacheError::Redis(_))));
}

#[test]
fn tls_and_a_password_in_the_url_are_understood() {
    for url in ["rediss://redis.example:6379", "rediss://user:secret@redis.example:6379"] {
        assert!(Cache::connect(url, "test").is_ok(), "{url}");
    }
}

#[tokio::test]
async fn work_goes_on_by_itself_once_a_lost_redis_is_back() {
    let home = tempfile::tempdir().unwrap();
    let (port, bus) = (free_port(), free_port());
    let mut server = Server::start(port, bus, home.path()).await;
    let cache = Cache::connect(&format!("redis://127.0.0.1:{port}"), "test").unwrap();
    let call = call();
    until_up(&cache).await;
    cache.set_fence(&call, Turn(1)).await.unwrap();

    server.kill().await;
    assert!(timeout(HANG, cache.fence(&call)).await.unwrap().is_err());

    let _back = Server::start(port, bus, home.path()).await;
    until_up(&cache).await;
    assert_eq!(cache.set_fence(&call, Turn(2)).await.unwrap(), Turn(2));
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn until_up(cache: &Cache) {
    timeout(Duration::from_secs(30), async { while !cache.is_up().await {} }).await.unwrap();
}

/// A Redis of the test's own, for it dies in the course of it.
struct Server(tokio::process::Child);

impl Server {
    async fn start(port: u16, bus: u16, home: &Path) -> Self {
        let (port, bus) = (port.to_string(), bus.to_string());
        let child = Command::new("redis-server")
            .args(["--port", &port, "--cluster-port", &bus, "--bind", "127.0.0.1"])
            .args(["--cluster-enabled", "yes", "--save", "", "--appendonly", "no", "--dir"])
            .arg(home)
            .stdout(process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed; scripts/install does it");
        let ask =
            |command: &[&str]| Command::new("redis-cli").args(["-p", &port]).args(command).output();
        let answers = async { while !ask(&["ping"]).await.is_ok_and(|o| o.status.success()) {} };
        timeout(HANG, answers).await.unwrap();
        // On the second start the node remembers its slots, and Redis says so with an error.
        ask(&["cluster", "addslotsrange", "0", "16383"]).await.unwrap();
        Self(child)
    }

    async fn kill(&mut self) {
        self.0.kill().await.unwrap();
    }
}

#[test]
fn a_runtime_that_ended_takes_no_other_s_connection_with_it() {
    let cache = cache();
    for turn in 1..=2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(cache.set_fence(&call(), Turn(turn))).unwrap();
    }
}

/// A cluster of one node, whose connections can fall silent without an end.
struct Node {
    address: SocketAddr,
    hush: Arc<Notify>,
}

impl Node {
    async fn start() -> Self {
        let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hush = Arc::new(Notify::new());
        let of_node = hush.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let hush = of_node.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = hush.notified() => std::future::pending().await,
                        _ = answer(&mut socket, address) => {}
                    }
                });
            }
        });
        Self { address, hush }
    }
}

/// Answers as much as a client of a cluster asks for: all slots are here, and nothing is stored.
async fn answer(socket: &mut TcpStream, address: SocketAddr) -> std::io::Result<()> {
    let (read, mut write) = socket.split();
    let mut lines = BufReader::new(read).lines();
    while let Some(head) = lines.next_line().await? {
        let Some(words) = head.strip_prefix('*').and_then(|n| n.parse().ok()) else { continue };
        let mut command = Vec::<String>::new();
        for _ in 0..words {
            lines.next_line().await?;
            command.extend(lines.next_line().await?);
        }
        let reply = match command[0].to_uppercase().as_str() {
            "CLUSTER" => {
                let port = address.port();
                format!(
                    "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$1\r\na\r\n"
                )
            }
            "GET" => "$-1\r\n".to_owned(),
            "PING" => "+PONG\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        };
        write.write_all(reply.as_bytes()).await?;
    }
    Ok(())
}

/// As where a network swallows what is sent, and where the client itself hangs over a connection.
#[tokio::test]
async fn a_connection_that_has_fallen_silent_is_given_up_for_another() {
    let node = Node::start().await;
    let cache = Cache::connect(&format!("redis://{}", node.address), "test").unwrap();
    assert!(cache.is_up().await);
    node.hush.notify_waiters();
    until_up(&cache).await;
}
