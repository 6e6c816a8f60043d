//! Leases.

use std::time::Duration;

use futures::future::join_all;

use crate::cache;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_lease_has_one_owner_however_many_ask_for_it() {
    let cache = cache();
    let owners: Vec<_> = (0..10).map(|n| format!("edge-{n}")).collect();
    let taken = join_all(owners.iter().map(|o| cache.renew_lease("calls", o, LONG))).await;
    assert_eq!(taken.into_iter().filter(|t| *t.as_ref().unwrap()).count(), 1);
}

#[tokio::test]
async fn a_lease_is_kept_by_its_owner_and_given_back_only_by_it() {
    let cache = cache();
    assert!(cache.renew_lease("task", "a", LONG).await.unwrap());
    assert!(cache.renew_lease("task", "a", LONG).await.unwrap());
    assert!(!cache.renew_lease("task", "b", LONG).await.unwrap());
    cache.release_lease("task", "b").await.unwrap();
    assert_eq!(cache.holder("task").await.unwrap().as_deref(), Some("a"));
    cache.release_lease("task", "a").await.unwrap();
    assert!(cache.renew_lease("task", "b", LONG).await.unwrap());
}

#[tokio::test]
async fn a_lease_falls_to_another_once_it_expired_and_never_before() {
    let cache = cache();
    assert!(cache.renew_lease("task", "a", Duration::from_millis(100)).await.unwrap());
    let mut taken = false;
    while !taken {
        let before = cache.holder("task").await.unwrap();
        taken = cache.renew_lease("task", "b", LONG).await.unwrap();
        assert!(taken || before.as_deref() == Some("a"), "nobody holds what b may not have");
    }
    assert!(!cache.renew_lease("task", "a", LONG).await.unwrap(), "it is b's now");
}
