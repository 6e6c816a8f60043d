//! The backing stores, as `scripts/install` left them on this machine.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use scripts::log::{Echo, Log};
use scripts::stores::{Broker, Environment, Options, Stores};

/// The host and port of a store's URL.
fn address(environment: &Environment, name: &str) -> SocketAddr {
    let url = &environment[name];
    let rest = url.rsplit(['@', '/']).find(|part| part.contains(':')).unwrap();
    rest.parse().unwrap()
}

#[tokio::test]
async fn stores_answer_on_loopback_only_and_leave_nothing_behind() {
    let logs = tempfile::tempdir().unwrap();
    let log = Log::open(logs.path(), Echo::Off).unwrap();
    let stores = Stores::start(&Options::default(), &log).await.unwrap();
    let environment = stores.environment().clone();
    let names = ["DATABASE_URL", "REDIS_URL", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"];
    let addresses = names.map(|name| address(&environment, name));
    let listening = Command::new("ss").args(["-Hltn"]).output();
    for address in addresses {
        assert!(address.ip().is_loopback(), "{address}");
        assert!(TcpStream::connect(address).is_ok(), "{address} answers");
        if let Ok(listening) = &listening {
            let listening = String::from_utf8_lossy(&listening.stdout);
            assert!(!listening.contains(&format!("0.0.0.0:{} ", address.port())), "{listening}");
        }
    }
    stores.stop().await.unwrap();
    for address in addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} is closed");
    }
}

#[tokio::test]
async fn a_store_that_is_given_is_not_started() {
    let logs = tempfile::tempdir().unwrap();
    let log = Log::open(logs.path(), Echo::Off).unwrap();
    let given = ["DATABASE_URL", "REDIS_URL"].map(|name| (name.to_owned(), "theirs".to_owned()));
    let options = Options { given: Environment::from(given), ..Options::default() };
    let stores = Stores::start(&options, &log).await.unwrap();
    let started: Vec<_> = stores.started().map(|(name, ..)| name).collect();
    assert_eq!(started, ["ministack", "fauxqs"]);
    assert_eq!(stores.environment()["DATABASE_URL"], "theirs");
    stores.stop().await.unwrap();
}

#[tokio::test]
async fn the_queues_lie_on_the_stand_in_that_was_asked_for() {
    let logs = tempfile::tempdir().unwrap();
    let log = Log::open(logs.path(), Echo::Off).unwrap();
    let given = ["DATABASE_URL", "REDIS_URL"].map(|name| (name.to_owned(), "theirs".to_owned()));
    let options = Options {
        given: Environment::from(given),
        broker: Broker::Ministack,
        ..Options::default()
    };
    let stores = Stores::start(&options, &log).await.unwrap();
    let environment = stores.environment();
    assert_eq!(environment["AWS_ENDPOINT_URL_SQS"], environment["SB_TEST_MINISTACK_URL"]);
    assert_ne!(environment["SB_TEST_FAUXQS_URL"], environment["SB_TEST_MINISTACK_URL"]);
    stores.stop().await.unwrap();
}
