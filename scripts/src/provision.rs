//! What the services expect to find on AWS, made where it is missing. Terraform makes the same in a real account; here it
//! serves the stand-ins, tests and containers.

use anyhow::Context as _;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use boot::CommonSettings;
use bus::Topology;

/// Creates queues, topic, subscriptions and the bucket. Safe to run again.
///
/// # Errors
/// When AWS or a stand-in refuses or cannot be reached; what was made stays.
pub async fn provision(settings: &CommonSettings) -> anyhow::Result<()> {
    let aws = boot::aws_config().await;
    Topology::new(&settings.queue_prefix, settings.high_throughput)
        .provision(&aws_sdk_sqs::Client::new(&aws), &aws_sdk_sns::Client::new(&aws))
        .await?;
    create_bucket(&aws, &settings.s3_bucket).await
}

async fn create_bucket(aws: &aws_config::SdkConfig, bucket: &str) -> anyhow::Result<()> {
    let s3 = aws_sdk_s3::Client::new(aws);
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
