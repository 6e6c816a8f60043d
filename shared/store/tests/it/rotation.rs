//! A database whose password is changed while it is in use (E4).

use std::sync::{Arc, Mutex};

use domain::Dependency as _;
use store::{Store, StoreError};
use testkit::TestDb;
use uuid::Uuid;

/// A login of its own for the test, and the URLs that a store is given.
struct Login {
    name: String,
    urls: Arc<Mutex<Vec<String>>>,
}

impl Login {
    async fn make(db: &TestDb) -> Self {
        let name = format!("login_{}", Uuid::new_v4().simple());
        let owner = db.owner().await;
        owner
            .batch_execute(&format!(
                "CREATE ROLE {name} LOGIN PASSWORD 'first'; GRANT switchboard_service TO {name}"
            ))
            .await
            .unwrap();
        let login = Self { name, urls: Arc::default() };
        login.give(db, &["first"]);
        login
    }

    fn url(&self, db: &TestDb, password: &str) -> String {
        let url = db.url();
        let behind = url.rsplit_once('@').expect("a URL with a login").1;
        format!("postgres://{}:{password}@{behind}", self.name)
    }

    /// What Secrets Manager has: the current password first.
    fn give(&self, db: &TestDb, passwords: &[&str]) {
        *self.urls.lock().unwrap() =
            passwords.iter().map(|password| self.url(db, password)).collect();
    }

    async fn store(&self) -> Store {
        let urls = self.urls.clone();
        let keys = testkit::key_ring().await.unwrap();
        Store::following(move || urls.lock().unwrap().clone(), 4, keys).unwrap()
    }

    /// Changes the password, and ends every connection made with the one before.
    async fn change(&self, db: &TestDb, password: &str) {
        let owner = db.owner().await;
        owner
            .batch_execute(&format!("ALTER ROLE {} PASSWORD '{password}'", self.name))
            .await
            .unwrap();
        owner
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1",
                &[&self.name],
            )
            .await
            .unwrap();
    }

    async fn remove(&self, db: &TestDb) {
        let owner = db.owner().await;
        let _ = owner
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1",
                &[&self.name],
            )
            .await;
        owner.batch_execute(&format!("DROP ROLE {}", self.name)).await.unwrap();
    }
}

/// A connection that was ended is noticed when it is used: at most as many tries as there are connections.
async fn works(store: &Store) -> bool {
    for _ in 0..8 {
        if let Ok(tx) = store.tenant(store::seed::DEMO).await
            && tx.commit().await.is_ok()
        {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn connections_are_made_with_the_password_of_the_moment_whoever_changes_first() {
    let Some(db) = TestDb::create().await else { return };
    let login = Login::make(&db).await;
    let store = login.store().await;
    assert!(works(&store).await);

    // Secrets Manager tells of the new password before the database knows it, and after.
    login.give(&db, &["second", "first"]);
    login.change(&db, "first").await;
    assert!(works(&store).await, "the one before still opens");
    login.change(&db, "second").await;
    assert!(works(&store).await && store.is_up().await, "the new one opens");

    // The overlap is over.
    login.give(&db, &["second"]);
    login.change(&db, "third").await;
    assert!(!works(&store).await);
    let Err(error) = store.tenant(store::seed::DEMO).await else { panic!("nobody knows it") };
    let said = format!("{error} {error:?}");
    assert!(!said.contains("second") && !matches!(error, StoreError::NoTenant), "{said}");
    login.give(&db, &["third"]);
    assert!(works(&store).await, "no restart was needed");
    drop(store);
    login.remove(&db).await;
}
