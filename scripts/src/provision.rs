//! What the services expect to find on AWS, made where it is missing. Terraform makes the same in a real account; here it
//! serves the stand-ins, tests and containers.

use anyhow::Context as _;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use boot::{CommonSettings, ConfigError, Environment};
use bus::Topology;

/// What a service looks for in Secrets Manager where its environment does not have it (DESIGN section 9).
pub const CREDENTIALS: [&str; 9] = [
    "DATABASE_URL",
    "REDIS_URL",
    "TWILIO_AUTH_TOKEN",
    "WHATSAPP_ACCESS_TOKEN",
    "WHATSAPP_APP_SECRET",
    "WHATSAPP_VERIFY_TOKEN",
    "DEEPGRAM_API_KEY",
    "OPENAI_API_KEY",
    "SB_JWT_KEYS",
];

/// What to make.
#[derive(Debug)]
pub struct Wanted {
    settings: CommonSettings,
    /// The alias of the KMS key that wraps the tenants' data keys (`SB_KMS_KEY`).
    kms_key: String,
    /// Name and value of each credential in the environment.
    credentials: Vec<(&'static str, vault::Secret)>,
}

impl Wanted {
    /// Reads the same variables as the services.
    ///
    /// # Errors
    /// All faults, in one message.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut reader = environment.reader();
        let wanted = Self {
            settings: CommonSettings::read(&mut reader, "switchboardctl"),
            kms_key: reader
                .optional("SB_KMS_KEY")
                .unwrap_or_else(|| "alias/switchboard".to_owned()),
            credentials: CREDENTIALS
                .into_iter()
                .filter_map(|name| Some((name, vault::Secret::new(environment.get(name)?))))
                .collect(),
        };
        reader.finish(wanted)
    }
}

/// Creates queues, topic, subscriptions, bucket and key, and puts the credentials of this environment into Secrets
/// Manager. Safe to run again.
///
/// # Errors
/// When AWS or a stand-in refuses or cannot be reached; what was made stays.
pub async fn provision(wanted: &Wanted) -> anyhow::Result<()> {
    let settings = &wanted.settings;
    let aws = boot::aws_config().await;
    vault::ensure_key(&aws_sdk_kms::Client::new(&aws), &wanted.kms_key).await?;
    let secrets = aws_sdk_secretsmanager::Client::new(&aws);
    for (name, value) in &wanted.credentials {
        put_secret(&secrets, &vault::secret_id(&settings.secrets_prefix, name), value).await?;
    }
    Topology::new(&settings.queue_prefix, settings.high_throughput)
        .provision(&aws_sdk_sqs::Client::new(&aws), &aws_sdk_sns::Client::new(&aws))
        .await?;
    create_bucket(&aws, &settings.s3_bucket).await
}

/// A new value makes a new version of the secret, as a rotation does; the same value changes nothing.
async fn put_secret(
    secrets: &aws_sdk_secretsmanager::Client,
    id: &str,
    value: &vault::Secret,
) -> anyhow::Result<()> {
    let held = secrets.get_secret_value().secret_id(id).send().await;
    match held {
        Ok(held) if held.secret_string() == Some(value.reveal()) => Ok(()),
        Ok(_) => secrets
            .put_secret_value()
            .secret_id(id)
            .secret_string(value.reveal())
            .send()
            .await
            .map(drop)
            .with_context(|| format!("put a value into the secret {id}")),
        Err(error)
            if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) =>
        {
            secrets
                .create_secret()
                .name(id)
                .secret_string(value.reveal())
                .send()
                .await
                .map(drop)
                .with_context(|| format!("create the secret {id}"))
        }
        Err(error) => Err(error).with_context(|| format!("look for the secret {id}")),
    }
}

async fn create_bucket(aws: &aws_config::SdkConfig, bucket: &str) -> anyhow::Result<()> {
    // The stand-in answers under one host name for all buckets.
    let s3 = aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::config::Builder::from(aws).force_path_style(true).build(),
    );
    // Without a place a bucket goes to us-east-1, whose name for itself is none.
    let place = aws.region().filter(|region| region.as_ref() != "us-east-1").map(|region| {
        CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(region.as_ref()))
            .build()
    });
    let created =
        s3.create_bucket().bucket(bucket).set_create_bucket_configuration(place).send().await;
    match created {
        Err(error)
            if !error.as_service_error().is_some_and(|e| e.is_bucket_already_owned_by_you()) =>
        {
            Err(error).with_context(|| format!("create the bucket {bucket}"))
        }
        _ => Ok(()),
    }
}
