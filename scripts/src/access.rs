//! How the operators' tools get at the stores: with the variables and the secrets of the services (DESIGN section 9, E4).

use std::sync::Arc;

use anyhow::Context as _;
use aws_config::SdkConfig;
use boot::{CommonSettings, Environment};
use bus::{Bus, BusSettings};
use cache::Cache;
use store::Store;
use store::dead_letters::DeadLetters;
use vault::{FieldKeys, RotatingSecret, Secret, Secrets};

/// One to look with, one for health.
const CONNECTIONS: usize = 2;

/// What stores are to be had, and by which credentials.
pub struct Access {
    pub(crate) settings: CommonSettings,
    kms_key: String,
    aws: SdkConfig,
    secrets: Secrets,
}

impl Access {
    /// Reads the same variables as the services.
    ///
    /// # Errors
    /// All faults, in one message.
    pub async fn read(environment: &Environment) -> anyhow::Result<Self> {
        let mut reader = environment.reader();
        let settings = CommonSettings::read(&mut reader, "switchboardctl");
        let kms_key =
            reader.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".to_owned());
        let (settings, kms_key) = reader.finish((settings, kms_key))?;
        let aws = boot::aws_config().await;
        let variables = environment.clone();
        let secrets = Secrets::new(
            move |name| variables.get(name).map(str::to_owned),
            aws_sdk_secretsmanager::Client::new(&aws),
            &settings.secrets_prefix,
        );
        Ok(Self { settings, kms_key, aws, secrets })
    }

    /// The URL of the database.
    ///
    /// # Errors
    /// When neither the environment nor Secrets Manager has it.
    pub async fn database_url(&self) -> anyhow::Result<Secret> {
        Ok(self.credential("DATABASE_URL").await?.current())
    }

    /// The database under the role of the services: row-level security applies to operators as well.
    pub(crate) async fn store(&self) -> anyhow::Result<Store> {
        let url = self.credential("DATABASE_URL").await?;
        Store::following(url.follow(), CONNECTIONS, self.keys()).context("prepare PostgreSQL")
    }

    /// The dead letters, for which the login must be a member of `switchboard_operator`.
    pub(crate) async fn letters(&self) -> anyhow::Result<DeadLetters> {
        let url = self.credential("DATABASE_URL").await?;
        let mut opened = DeadLetters::open(url.current().reveal(), self.keys()).await;
        // While the password is rotated the one before may still be the right one.
        for before in url.accepted().iter().skip(1) {
            if let Err(error) = opened {
                opened = DeadLetters::open(before.reveal(), self.keys()).await.or(Err(error));
            }
        }
        opened
    }

    pub(crate) async fn cache(&self) -> anyhow::Result<Cache> {
        let url = self.credential("REDIS_URL").await?;
        Cache::following(url.follow(), &self.settings.queue_prefix).context("prepare Redis")
    }

    pub(crate) fn bus(&self) -> Bus {
        let settings = &self.settings;
        Bus::new(
            &self.aws,
            BusSettings {
                high_throughput: settings.high_throughput,
                ..BusSettings::new(&settings.queue_prefix, &settings.s3_bucket)
            },
        )
    }

    fn keys(&self) -> Arc<FieldKeys> {
        Arc::new(FieldKeys::new(aws_sdk_kms::Client::new(&self.aws), &self.kms_key))
    }

    async fn credential(&self, name: &'static str) -> anyhow::Result<Arc<RotatingSecret>> {
        self.secrets
            .get(name)
            .await
            .with_context(|| format!("find {name} in the environment or in Secrets Manager"))
    }
}
