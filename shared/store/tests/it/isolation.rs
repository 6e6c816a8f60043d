use domain::Dependency as _;
use store::{Store, StoreError};
use testkit::TestDb;
use tokio_postgres::Client;

/// What lies outside row-level security: our addresses (DESIGN 5), which migrations were applied, and the operators' dead
/// letters, which the services cannot read at all.
const OUTSIDE: [&str; 5] =
    ["addresses", "dead_letter_acts", "dead_letters", "parked_groups", "schema_migrations"];

/// The owner's connection, under the role of the services.
async fn as_service(db: &TestDb) -> Client {
    let client = db.owner().await;
    client.batch_execute("SET ROLE switchboard_service").await.unwrap();
    client
}

async fn tables(owner: &Client) -> Vec<String> {
    let rows = owner
        .query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1", &[])
        .await
        .unwrap();
    rows.iter().map(|r| r.get(0)).filter(|t: &String| !OUTSIDE.contains(&t.as_str())).collect()
}

/// One row in every table, for a tenant.
async fn fill(db: &TestDb, slug: &str) -> domain::TenantId {
    let tenant = db.add_tenant(slug).await;
    let sql = include_str!("one_row_in_every_table.sql").replace("$tenant", &tenant.to_string());
    db.owner().await.batch_execute(&sql).await.unwrap();
    tenant
}

#[tokio::test]
async fn a_tenant_sees_and_writes_its_own_rows_only_in_every_table() {
    let Some(db) = TestDb::create().await else { return };
    let (ours, theirs) = (fill(&db, "ours").await, fill(&db, "theirs").await);
    let owner = db.owner().await;
    let service = as_service(&db).await;

    for table in tables(&owner).await {
        let all: i64 =
            owner.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
        assert_eq!(all, 2, "{table}: one_row_in_every_table.sql must fill it for each tenant");

        let key = if table == "tenants" { "id" } else { "tenant" };
        service
            .batch_execute(&format!("SELECT set_config('app.tenant', '{ours}', false)"))
            .await
            .unwrap();
        let seen = service.query(&format!("SELECT {key} FROM {table}"), &[]).await.unwrap();
        let seen: Vec<uuid::Uuid> = seen.iter().map(|r| r.get(0)).collect();
        assert_eq!(seen, [*ours.as_uuid()], "{table}: what a tenant sees");

        // A foreign row can be neither changed, nor removed, nor made by handing a row over.
        for attempt in [
            format!("UPDATE {table} SET {key} = {key} WHERE {key} = '{theirs}'"),
            format!("DELETE FROM {table} WHERE {key} = '{theirs}'"),
        ] {
            match service.execute(&attempt, &[]).await {
                Ok(changed) => assert_eq!(changed, 0, "{attempt}"),
                Err(e) => assert_eq!(e.code().unwrap().code(), "42501", "{attempt}: {e}"),
            }
        }
        let handed_over =
            service.execute(&format!("UPDATE {table} SET {key} = '{theirs}'"), &[]).await;
        assert_eq!(handed_over.unwrap_err().code().unwrap().code(), "42501", "{table}");

        service.batch_execute("RESET app.tenant").await.unwrap();
        let outside = service.query(&format!("SELECT FROM {table}"), &[]).await.unwrap();
        assert!(outside.is_empty(), "{table}: seen outside a tenant's transaction");
    }
}

#[tokio::test]
async fn a_row_of_another_tenant_cannot_be_inserted() {
    let Some(db) = TestDb::create().await else { return };
    let (ours, theirs) = (db.add_tenant("ours").await, db.add_tenant("theirs").await);
    let service = as_service(&db).await;
    let rows = include_str!("one_row_in_every_table.sql").replace("$tenant", &theirs.to_string());
    let mut tried = 0;
    for insert in rows.split_inclusive(";\n").filter(|s| s.contains("INSERT INTO")) {
        service
            .batch_execute(&format!("SELECT set_config('app.tenant', '{ours}', false)"))
            .await
            .unwrap();
        let refused = service.batch_execute(insert).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501", "{insert}: {refused}");
        tried += 1;
    }
    // Every table but tenants, and addresses.
    assert_eq!(tried, tables(&db.owner().await).await.len());
}

#[tokio::test]
async fn every_table_is_kept_apart_for_its_owner_too_and_the_role_owns_nothing() {
    let Some(db) = TestDb::create().await else { return };
    let owner = db.owner().await;
    let open = owner
        .query(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
             AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)
             ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let open: Vec<String> = open.iter().map(|r| r.get(0)).collect();
    assert_eq!(open, OUTSIDE);

    let role = owner
        .query_one(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolcanlogin,
                EXISTS (SELECT FROM pg_class WHERE relowner = r.oid)
             FROM pg_roles r WHERE rolname = 'switchboard_service'",
            &[],
        )
        .await
        .unwrap();
    assert!(!role.get::<_, bool>(0) && !role.get::<_, bool>(1));
}

#[tokio::test]
async fn a_store_that_logs_in_as_superuser_is_still_kept_apart() {
    let Some(db) = TestDb::create().await else { return };
    let (ours, theirs) = (fill(&db, "ours").await, fill(&db, "theirs").await);
    let store = db.store().await;
    for (tenant, name) in [(ours, "dentist"), (theirs, "dentist")] {
        let tx = store.tenant(tenant).await.unwrap();
        let agents = store::agents::enabled(&tx).await.unwrap();
        assert_eq!(agents.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), [name]);
    }
}

#[tokio::test]
async fn an_unmigrated_or_absent_database_says_so() {
    let Some(db) = TestDb::unmigrated().await else { return };
    let store = db.store().await;
    let Err(e) = store.tenant(store::seed::DEMO).await else { panic!("no schema, yet it began") };
    assert!(e.to_string().contains("not migrated"), "{e}");

    let keys = testkit::key_ring().await.unwrap();
    let away = Store::connect("postgres://nobody@127.0.0.1:1/none", 2, keys).unwrap();
    assert!(!away.is_up().await);
    let Err(e) = away.tenant(store::seed::DEMO).await else { panic!("nobody listens there") };
    assert!(matches!(e, StoreError::Unavailable(_)), "{e}");
    assert!(e.is_transient() && !e.may_have_happened());
}
