use store::dead_letters::{DeadLetters, Filter};
use store::migrate::{self, MIGRATIONS, Migration};
use testkit::TestDb;

fn names(steps: &[Migration]) -> Vec<&'static str> {
    steps.iter().map(|m| m.name).collect()
}

#[tokio::test]
async fn every_earlier_state_comes_up_and_a_second_run_does_nothing() {
    for earlier in 0..=MIGRATIONS.len() {
        let Some(db) = TestDb::unmigrated().await else { return };
        migrate::run_steps(&db.url(), &MIGRATIONS[..earlier]).await.unwrap();
        let applied = migrate::run(&db.url()).await.unwrap();
        assert_eq!(applied, names(&MIGRATIONS[earlier..]), "from state {earlier}");
        assert!(migrate::run(&db.url()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn two_at_once_apply_each_step_once() {
    let Some(db) = TestDb::unmigrated().await else { return };
    let url = db.url();
    let (a, b) = tokio::join!(migrate::run(&url), migrate::run(&url));
    let mut applied = [a.unwrap(), b.unwrap()].concat();
    applied.sort_unstable();
    assert_eq!(applied, names(MIGRATIONS));
}

#[tokio::test]
async fn a_step_that_was_changed_after_it_was_applied_is_refused() {
    let Some(db) = TestDb::create().await else { return };
    let mut changed = MIGRATIONS.to_vec();
    changed[1].sql = "SELECT 1";
    let refused = migrate::run_steps(&db.url(), &changed).await.unwrap_err().to_string();
    assert!(refused.contains(changed[1].name), "{refused}");
}

#[tokio::test]
async fn an_older_release_refuses_a_newer_database() {
    let Some(db) = TestDb::create().await else { return };
    let older = &MIGRATIONS[..MIGRATIONS.len() - 1];
    assert!(migrate::run_steps(&db.url(), older).await.is_err());
}

#[tokio::test]
async fn what_a_release_without_error_types_keeps_is_of_an_unknown_one() {
    let Some(db) = TestDb::unmigrated().await else { return };
    let typed = "0112_dead_letter_error_types";
    let before = MIGRATIONS.iter().position(|step| step.name == typed).unwrap();
    migrate::run_steps(&db.url(), &MIGRATIONS[..before]).await.unwrap();
    let owner = db.owner().await;
    let keep = "INSERT INTO dead_letters (queue, message, message_group, reason, starts, receives, died_at, build, body_enc,
            wrapped_key)
        VALUES ('writer', $1, 'a group', 'the sky is green', 5, 5, now(), 'earlier', '', '')";
    owner.execute(keep, &[&"before"]).await.unwrap();
    migrate::run(&db.url()).await.unwrap();
    owner.execute(keep, &[&"while both releases run"]).await.unwrap();
    let keys = testkit::key_ring().await.unwrap();
    let letters = DeadLetters::open(&db.url(), keys).await.unwrap();
    let unknown = Filter { error_type: Some("unknown".to_owned()), ..Filter::default() };
    assert_eq!(letters.list(&unknown, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_owner_who_is_no_superuser_can_migrate_and_serve() {
    let Some(db) = TestDb::unmigrated().await else { return };
    let server = db.owner().await;
    let role = format!("owner_{}", testkit::unique_prefix());
    // The server's administrator makes the extension and the role; see migrations/README.md.
    let name: String =
        server.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
    server
        .batch_execute(&format!(
            "CREATE EXTENSION vector;
             CREATE ROLE {role} LOGIN CREATEROLE PASSWORD 'p';
             DO $$ BEGIN CREATE ROLE switchboard_service NOLOGIN;
                EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             GRANT switchboard_service TO {role};
             ALTER DATABASE {name} OWNER TO {role};
             ALTER SCHEMA public OWNER TO {role}"
        ))
        .await
        .unwrap();
    let url = db.url().replacen("postgres@", &format!("{role}:p@"), 1);
    let outcome = async {
        migrate::run(&url).await?;
        store::seed::demo(&url).await?;
        let store = store::Store::connect(&url, 2, testkit::key_ring().await?)?;
        anyhow::Ok(store::tenants::settings(&store).await?)
    }
    .await;
    server
        .batch_execute(&format!(
            "REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}"
        ))
        .await
        .unwrap();
    assert_eq!(outcome.unwrap().good.len(), 1);
}
