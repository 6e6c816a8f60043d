//! Redis whose password is changed while it is in use (E4).

use std::sync::{Arc, Mutex};

use cache::Cache;
use deadpool_redis::redis::{self, cluster::ClusterClient};
use domain::Turn;
use uuid::Uuid;

use crate::{call, redis_url};

/// A user of its own for the test.
struct User {
    name: String,
    admin: redis::cluster_async::ClusterConnection,
    urls: Arc<Mutex<Vec<String>>>,
}

impl User {
    async fn make() -> Self {
        let admin =
            ClusterClient::new([redis_url()]).unwrap().get_async_connection().await.unwrap();
        let name = format!("u{}", Uuid::new_v4().simple());
        let mut user = Self { name, admin, urls: Arc::default() };
        user.set(&["on", ">first", "~*", "&*", "+@all"]).await;
        user.give(&["first"]);
        user
    }

    async fn set(&mut self, rules: &[&str]) {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg(&self.name).arg(rules);
        let () = command.query_async(&mut self.admin).await.unwrap();
    }

    fn give(&self, passwords: &[&str]) {
        let url = redis_url();
        let behind = url.split_once("://").unwrap().1;
        let behind = behind.rsplit_once('@').map_or(behind, |(_, behind)| behind);
        let with = |password: &&str| format!("redis://{}:{password}@{behind}", self.name);
        *self.urls.lock().unwrap() = passwords.iter().map(with).collect();
    }

    fn cache(&self) -> Cache {
        let urls = self.urls.clone();
        let prefix = format!("test-{}", Uuid::new_v4());
        Cache::following(move || urls.lock().unwrap().clone(), &prefix).unwrap()
    }

    /// Ends every connection of the user.
    async fn end_connections(&mut self) {
        let mut command = redis::cmd("CLIENT");
        command.arg("KILL").arg("USER").arg(&self.name);
        let _: i64 = command.query_async(&mut self.admin).await.unwrap();
    }

    async fn remove(mut self) {
        let _: i64 = redis::cmd("ACL")
            .arg("DELUSER")
            .arg(&self.name)
            .query_async(&mut self.admin)
            .await
            .unwrap();
    }
}

/// Whether it works within a few tries: a connection that was ended is noticed when it is used.
async fn works(cache: &Cache) -> bool {
    let call = call();
    for _ in 0..40 {
        if cache.set_fence(&call, Turn(1)).await.is_ok() {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    false
}

#[tokio::test]
async fn a_rotated_password_is_followed_while_the_old_one_goes_away() {
    let mut user = User::make().await;
    let cache = user.cache();
    assert!(works(&cache).await);

    // Both are accepted for a while; then the old one is not, and its connections end.
    user.set(&[">second"]).await;
    user.give(&["second", "first"]);
    assert!(cache.set_fence(&call(), Turn(1)).await.is_ok(), "not one operation fails");
    assert!(cache.set_fence(&call(), Turn(1)).await.is_ok());
    user.set(&["<first"]).await;
    user.end_connections().await;
    assert!(works(&cache).await, "the new password is used");
    user.remove().await;
}

#[tokio::test]
async fn a_password_that_redis_does_not_know_yet_does_no_harm() {
    let user = User::make().await;
    let cache = user.cache();
    assert!(works(&cache).await);
    user.give(&["not-yet", "first"]);
    assert!(cache.set_fence(&call(), Turn(1)).await.is_ok(), "the open connection serves");
    user.remove().await;
}
