//! From the topic to the rows, through the queue.

use std::{sync::Arc, time::Duration};

use bus::{Bus, BusSettings, Consumer, Queue, Source, Topology};
use cache::Cache;
use testkit::TestDb;
use tokio_util::sync::CancellationToken;
use writer::{Batches, handlers::Recorder};

use crate::events;

#[tokio::test]
async fn what_is_published_twice_and_by_two_tasks_is_recorded_once() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(db) = TestDb::create().await else { return };
    let tenant = db.add_tenant("demo").await;
    let aws = boot::aws_config().await;
    let (sqs, sns) = (aws_sdk_sqs::Client::new(&aws), aws_sdk_sns::Client::new(&aws));
    let prefix = testkit::unique_prefix();
    Topology::new(&prefix, false).provision(&sqs, &sns).await.unwrap();
    let long_poll = Duration::from_secs(1);
    let bus = Bus::new(&aws, BusSettings { long_poll, ..BusSettings::new(&prefix, "unused") });

    let mut wanted = 0;
    for n in 0..8 {
        let call = events::call(tenant, n);
        bus.publish(&call).await.unwrap();
        // A publisher that crashed after publishing does it again, past the broker's own memory.
        let again: Vec<_> =
            call.iter().map(|e| domain::Envelope { replays: 1, ..e.clone() }).collect();
        bus.publish(&again).await.unwrap();
        wanted += call.len();
    }

    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let store = db.store().await;
        let cache = Cache::connect(&stores.redis_url, &prefix).unwrap();
        let consumer = Consumer::new(
            bus.clone(),
            Source::Shared(Queue::Writer),
            Arc::new(Recorder::new(Batches::start(store.clone(), 4))),
            Arc::new(cache),
        );
        tasks.spawn(consumer.depends_on(Arc::new(store)).run(stop.clone()));
    }
    let owner = db.owner().await;
    let count = async |table: &str| -> i64 {
        owner.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
    };
    while count("claims").await < i64::try_from(wanted).unwrap() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    tasks.join_all().await;

    assert_eq!(count("call_logs").await, 8);
    assert_eq!(count("messages").await, 8 * 5);
    assert_eq!(count("turn_timings").await, 8);
    assert_eq!(count("users").await, 1);
}
