//! AWS as the processes of a mesh find it.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;
use boot::Environment;

/// AWS as `environment` names it, which need not be the environment of this process: an endpoint given to the loader
/// wins over the variables here, one set later would not.
pub async fn config(environment: &Environment) -> SdkConfig {
    let ours = boot::aws_config().await;
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(http) = ours.http_client() {
        loader = loader.http_client(http);
    }
    if let Some(endpoint) = environment.get("AWS_ENDPOINT_URL") {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(region) = environment.get("AWS_REGION") {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let key = environment.get("AWS_ACCESS_KEY_ID").zip(environment.get("AWS_SECRET_ACCESS_KEY"));
    if let Some((id, secret)) = key {
        let credentials = Credentials::new(id, secret, None, None, "the mesh's environment");
        loader = loader.credentials_provider(credentials);
    }
    loader.load().await
}
