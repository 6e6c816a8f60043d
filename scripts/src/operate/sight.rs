//! What the commands look at.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use boot::{CommonSettings, Environment};
use cache::Cache;
use domain::TenantId;
use store::Store;
use store::dead_letters::DeadLetters;
use store::tenants::AllSettings;
use vault::FieldKeys;

/// One to look with, one for health.
const CONNECTIONS: usize = 2;

/// The stores, under the role of the services: row-level security applies to operators as well.
pub(super) struct Sight {
    pub(super) store: Store,
    pub(super) cache: Cache,
}

impl Sight {
    pub(super) async fn open(environment: &Environment) -> anyhow::Result<Self> {
        let mut reader = environment.reader();
        let database_url = reader.required("DATABASE_URL");
        let kms_key =
            reader.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".to_owned());
        let database_url = reader.finish(database_url)?;
        let kms = aws_sdk_kms::Client::new(&boot::aws_config().await);
        let store =
            Store::connect(&database_url, CONNECTIONS, Arc::new(FieldKeys::new(kms, kms_key)))
                .context("prepare PostgreSQL")?;
        Ok(Self { store, cache: open_cache(environment)?.0 })
    }

    pub(super) async fn tenants(&self) -> anyhow::Result<AllSettings> {
        store::tenants::settings(&self.store).await.context("read the tenants")
    }

    /// The tenants that are meant by a name or an id, or all that have an address: id and name.
    pub(super) async fn meant(
        &self,
        tenant: Option<&str>,
    ) -> anyhow::Result<Vec<(TenantId, String)>> {
        let all = self.tenants().await?;
        let known = all.good.into_iter().map(|settings| (settings.tenant, settings.slug));
        // What is wrong with their settings does not matter here.
        let refused = all.refused.into_iter().map(|(id, _)| (id, id.to_string()));
        let known: Vec<_> = known.chain(refused).collect();
        let Some(wanted) = tenant else { return Ok(known) };
        let meant: Vec<_> = known
            .iter()
            .filter(|(id, slug)| slug == wanted || id.to_string() == wanted)
            .cloned()
            .collect();
        if meant.is_empty() {
            let names: Vec<_> = known.iter().map(|(_, slug)| slug.as_str()).collect();
            bail!(
                "--tenant {wanted}: no such tenant with an address; there are {}",
                names.join(", ")
            );
        }
        Ok(meant)
    }
}

/// The dead letters, for which the login must be a member of `switchboard_operator`.
pub(super) async fn open_letters(environment: &Environment) -> anyhow::Result<DeadLetters> {
    let mut reader = environment.reader();
    let database_url = reader.required("DATABASE_URL");
    let kms_key = reader.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".to_owned());
    let database_url = reader.finish(database_url)?;
    let kms = aws_sdk_kms::Client::new(&boot::aws_config().await);
    DeadLetters::open(&database_url, Arc::new(FieldKeys::new(kms, kms_key))).await
}

/// Redis, and the prefix of this environment.
pub(super) fn open_cache(environment: &Environment) -> anyhow::Result<(Cache, String)> {
    let mut reader = environment.reader();
    let common = CommonSettings::read(&mut reader, "switchboardctl");
    let redis_url = reader.required("REDIS_URL");
    let (common, redis_url) = reader.finish((common, redis_url))?;
    let cache = Cache::connect(&redis_url, &common.queue_prefix).context("prepare Redis")?;
    Ok((cache, common.queue_prefix))
}
