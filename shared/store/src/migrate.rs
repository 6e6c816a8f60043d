//! Brings a database to this release's schema, from any earlier state (`migrations/`).

use anyhow::{Context, bail};
use tokio_postgres::{Client, NoTls, config::SslMode};

use crate::pool;

/// One step. The steps are plain SQL, embedded, and never change once they have been applied
/// anywhere: what is wrong is mended by the next one.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number and what it brings, such as `0001_tenants`.
    pub name: &'static str,
    /// What is run, in one transaction.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        /// Every step, in the order of application.
        pub const MIGRATIONS: &[Migration] = &[$(Migration {
            name: $name,
            sql: include_str!(concat!("../../../migrations/", $name, ".sql")),
        }),*];
    };
}

migrations![
    "0001_tenants",
    "0002_history",
    "0003_agents",
    "0004_appointments",
    "0005_knowledge",
    "0006_operations",
    "0030_booking",
    "0040_transfers",
    "0060_dead_letters",
    "0070_api",
    "0071_search",
    "0072_recording_paused",
    "0080_agent_versions",
    "0081_knowledge_text",
    "0085_calendar",
    "0090_media",
    "0095_dead_letter_counts",
    "0096_parked_groups",
    "0097_own_dead_letters",
    "0098_document_files",
    "0101_dead_letter_ends",
    "0102_dead_letters_forgotten",
    "0103_own_parked_groups",
    "0105_opt_outs",
    "0107_referrals",
    "0109_chat_handover",
    "0110_changed_messages",
    "0111_trace_ids",
    "0112_dead_letter_error_types",
    "0113_common_words",
];

/// Only one may migrate a database at a time; the others wait here. (`swbd` in ASCII.)
const LOCK: i64 = 0x7377_6264;
/// The oldest server whose SQL we keep to (DESIGN 7).
const OLDEST_SERVER: i32 = 150_000;

/// Applies to the database behind `database_url` what is still missing, and returns the names of
/// what it applied. The login must own the schema, and be able to make a role and an extension.
///
/// # Errors
/// When the server is too old or lacks pgvector, when a step that was applied has changed since or
/// is unknown to this release, or when a step fails; steps before it stand.
pub async fn run(database_url: &str) -> anyhow::Result<Vec<&'static str>> {
    run_steps(database_url, MIGRATIONS).await
}

/// As [`run`], with the first of the steps only: what a database of an earlier release looks like.
pub async fn run_steps(
    database_url: &str,
    steps: &[Migration],
) -> anyhow::Result<Vec<&'static str>> {
    let mut client = owner(database_url).await?;
    check_server(&client).await?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await
        .context("wait for the lock of migrations")?;
    // The lock ends with the connection.
    apply(&mut client, steps).await
}

/// Connects with the URL's own role, outside the pool.
pub(crate) async fn owner(database_url: &str) -> anyhow::Result<Client> {
    let config = pool::read_url(database_url)?;
    let reach = "reach the database";
    if config.get_ssl_mode() == SslMode::Require {
        let (client, connection) = config.connect(pool::tls()?).await.context(reach)?;
        tokio::spawn(connection);
        Ok(client)
    } else {
        let (client, connection) = config.connect(NoTls).await.context(reach)?;
        tokio::spawn(connection);
        Ok(client)
    }
}

async fn check_server(client: &Client) -> anyhow::Result<()> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int4,
                EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')",
            &[],
        )
        .await
        .context("ask the server what it is")?;
    let version: i32 = row.get(0);
    if version < OLDEST_SERVER {
        bail!("the server is PostgreSQL {}, and 15 is the oldest supported", version / 10_000);
    }
    if !row.get::<_, bool>(1) {
        bail!(
            "the server lacks the extension pgvector, which the knowledge base needs: install it \
             (Debian: postgresql-{}-pgvector)",
            version / 10_000
        );
    }
    Ok(())
}

async fn apply(client: &mut Client, steps: &[Migration]) -> anyhow::Result<Vec<&'static str>> {
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                name text PRIMARY KEY,
                checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
             )",
        )
        .await
        .context("make the table of migrations")?;
    let rows = client
        .query("SELECT name, checksum FROM schema_migrations ORDER BY name", &[])
        .await
        .context("read the table of migrations")?;
    let applied: Vec<(String, String)> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();

    for (place, (name, checksum)) in applied.iter().enumerate() {
        let Some(step) = steps.get(place).filter(|s| s.name == name) else {
            bail!("the database has {name}, which this release does not know: it is a later one's");
        };
        if *checksum != self::checksum(client, step.sql).await? {
            bail!("{name} was changed after it had been applied: put it back, and add a new step");
        }
    }

    let mut done = Vec::new();
    for step in steps.iter().skip(applied.len()) {
        let sum = checksum(client, step.sql).await?;
        let tx = client.transaction().await.context("begin a step")?;
        tx.batch_execute(step.sql).await.with_context(|| format!("apply {}", step.name))?;
        tx.execute(
            "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)",
            &[&step.name, &sum],
        )
        .await
        .context("record the step")?;
        tx.commit().await.with_context(|| format!("commit {}", step.name))?;
        done.push(step.name);
    }
    Ok(done)
}

/// SHA-256 of a step, by the server, which has it at hand.
async fn checksum(client: &Client, sql: &str) -> anyhow::Result<String> {
    let row = client
        .query_one("SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')", &[&sql])
        .await
        .context("compute a checksum")?;
    Ok(row.get(0))
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn every_file_of_the_folder_is_a_step_and_they_are_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|f| {
                f.unwrap().file_name().to_str()?.strip_suffix(".sql").map(str::to_owned)
            })
            .collect();
        files.sort();
        let steps: Vec<&str> = MIGRATIONS.iter().map(|m| m.name).collect();
        assert_eq!(files, steps);
    }
}
