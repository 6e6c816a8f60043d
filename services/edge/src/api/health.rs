//! How the service is.

use actix_web::{http::StatusCode, web};
use futures::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    answer::{Answer, ApiError, Reply},
};

/// How the service is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// What it needs, by name; `false` is away.
    #[schema(example = json!([{"name": "redis", "up": true}]))]
    pub dependencies: Vec<DependencyHealth>,
}

/// How one thing it needs is.
#[derive(Serialize, ToSchema)]
pub struct DependencyHealth {
    /// Its name.
    #[schema(example = "redis")]
    pub name: String,
    /// Whether it answers.
    pub up: bool,
}

/// Whether the service is ready
///
/// Needs no credential. 503 while something it needs is away.
#[utoipa::path(get, path = "/api/v1/health", tag = "health", security(()),
    responses((status = 200, description = "It is ready", body = inline(super::answer::Success<Health>))))]
pub async fn show(api: web::Data<Api>) -> Answer<Health> {
    let asked = api.dependencies.iter().map(async |dependency| DependencyHealth {
        name: dependency.name().to_owned(),
        up: dependency.is_up().await,
    });
    let dependencies = join_all(asked).await;
    let away: Vec<&str> = dependencies.iter().filter(|d| !d.up).map(|d| d.name.as_str()).collect();
    if !away.is_empty() {
        let message = format!("not ready: {}", away.join(", "));
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message));
    }
    Ok(Reply::ok(Health { dependencies }))
}
