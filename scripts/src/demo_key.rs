//! The key that opens the API to the tenant `demo` on one machine, made up for each mesh.

use std::sync::Arc;

use anyhow::Context as _;
use boot::Environment;
use domain::TenantId;
use store::{Store, api_keys};
use uuid::Uuid;
use vault::FieldKeys;

/// Which variable has the key. Only `scripts/mesh` sets it.
pub const VARIABLE: &str = "SB_DEMO_API_KEY";

/// Characters of a key's id.
const ID_CHARS: usize = 12;

/// A new key, as it is handed out.
pub fn made_up() -> String {
    let id = &Uuid::new_v4().simple().to_string()[..ID_CHARS];
    let secret = Uuid::new_v4().simple();
    format!("sbk_{}_{id}_{secret}{secret}", store::seed::DEMO.as_uuid().simple())
}

/// Lets the key of [`VARIABLE`] open the API, as an admin. Without the variable nothing is done; outside of development
/// it is refused, for whoever reads the environment has the key.
///
/// # Errors
/// When the key has not the form of one, or the stores refuse.
pub async fn put_in_place(environment: &Environment) -> anyhow::Result<()> {
    let Some(key) = environment.get(VARIABLE) else { return Ok(()) };
    anyhow::ensure!(
        environment.get("SB_ENV") == Some("development"),
        "{VARIABLE} is for SB_ENV=development alone"
    );
    let (tenant, id, secret) = parts(key).with_context(|| format!("read {VARIABLE}"))?;
    let mut reader = environment.reader();
    let url = reader.required("DATABASE_URL");
    let kms_key = reader.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".to_owned());
    let url = reader.finish(url)?;
    let kms = aws_sdk_kms::Client::new(&boot::aws_config().await);
    let store = Store::connect(&url, 2, Arc::new(FieldKeys::new(kms, kms_key)))?;
    let tx = store.tenant(tenant).await.context("enter the tenant demo")?;
    let new = api_keys::NewApiKey {
        id,
        name: "mesh",
        role: "admin",
        created_by: "scripts/mesh",
        expires_at: None,
    };
    api_keys::add(&tx, &new, secret).await.context("keep the key of the tenant demo")?;
    tx.commit().await.context("keep the key of the tenant demo")
}

fn parts(key: &str) -> Option<(TenantId, &str, &str)> {
    let mut parts = key.strip_prefix("sbk_")?.splitn(3, '_');
    let (tenant, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
    Some((TenantId::from_uuid(Uuid::try_parse(tenant).ok()?), id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_key_is_the_demos_and_no_two_are_alike() {
        let key = made_up();
        let (tenant, id, secret) = parts(&key).unwrap();
        assert_eq!((tenant, id.len()), (store::seed::DEMO, ID_CHARS));
        assert!(secret.len() >= 43 && key != made_up());
    }
}
