//! For tests only: real stores, a part of each for every test, so that tests run side by side.
//!
//! The stores are found by the variables the services use (`DATABASE_URL`, `REDIS_URL`,
//! `AWS_ENDPOINT_URL`). At home, without them, a test that needs them is skipped; in CI
//! (`CI` is set) it fails, for a test that never runs proves nothing.

mod database;
mod refusals;

pub use database::TestDb;
pub use refusals::Refusals;

use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use domain::KeyRing;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The KMS key of all tests, on the stand-in.
pub const KMS_KEY: &str = "alias/sb-test";

/// Where the stores are.
#[derive(Clone, Debug)]
pub struct Stores {
    /// PostgreSQL, with a login that may make databases and roles.
    pub database_url: String,
    /// Redis. Shared with other tests: use a prefix, and flush nothing.
    pub redis_url: String,
}

impl Stores {
    /// Gives Redis one command, arguments parted by spaces, and returns its answer as it came.
    ///
    /// # Panics
    /// When Redis cannot be reached.
    pub async fn redis(&self, command: &str) -> String {
        let url = self.redis_url.trim_start_matches("redis://");
        let address = url.split('/').next().unwrap_or(url);
        let asked = async {
            let mut connection = TcpStream::connect(address).await?;
            connection.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        asked.await.expect("ask Redis")
    }

    /// How often Redis has refused a command because what stands under its key is something else: a test makes reading fail
    /// that way, as in an outage, for its own key alone. Others count along.
    ///
    /// # Panics
    /// When Redis cannot be reached.
    pub async fn type_errors(&self) -> u64 {
        let errors = self.redis("INFO errorstats").await;
        let line = errors.lines().find_map(|line| line.strip_prefix("errorstat_WRONGTYPE:count="));
        line.map_or(0, |count| count.trim().parse().expect("a count"))
    }
}

/// The stores, or `None` where the test is to be skipped:
/// `let Some(stores) = require_stores() else { return };`
///
/// # Panics
/// In CI, when a variable is missing.
pub fn require_stores() -> Option<Stores> {
    let find = |name: &str| {
        let value = std::env::var(name).ok().filter(|v| !v.is_empty());
        assert!(
            value.is_some() || std::env::var_os("CI").is_none(),
            "{name} is not set: CI must bring up the stores"
        );
        if value.is_none() {
            eprintln!("skipped: {name} is not set");
        }
        value
    };
    find("AWS_ENDPOINT_URL")?;
    Some(Stores { database_url: find("DATABASE_URL")?, redis_url: find("REDIS_URL")? })
}

/// A prefix no other test has, for queues and Redis keys: `t` and 12 hex digits, for queue names
/// are short.
pub fn unique_prefix() -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("t{}", &id[..12])
}

/// Makes `bucket` on the stand-in. Gives who can read and write it.
///
/// # Errors
/// When there is such a bucket, or S3 is away.
pub async fn make_bucket(bucket: &str) -> anyhow::Result<aws_sdk_s3::Client> {
    let aws = boot::aws_config().await;
    let s3 = aws_sdk_s3::config::Builder::from(&aws).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    let region = aws.region().map(|region| BucketLocationConstraint::from(region.as_ref()));
    let place = CreateBucketConfiguration::builder().set_location_constraint(region).build();
    let create = s3.create_bucket().bucket(bucket).create_bucket_configuration(place);
    create.send().await.context("make a bucket")?;
    Ok(s3)
}

/// Keys of tenants, wrapped by the stand-in's KMS.
pub async fn key_ring() -> anyhow::Result<Arc<dyn KeyRing>> {
    let kms = aws_sdk_kms::Client::new(&boot::aws_config().await);
    vault::ensure_key(&kms, KMS_KEY).await?;
    Ok(Arc::new(vault::FieldKeys::new(kms, KMS_KEY)))
}
