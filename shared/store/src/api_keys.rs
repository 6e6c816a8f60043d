//! Keys of the API (E5). A key is shown once, when it is made; kept is the keyed hash of its secret.

use domain::Timestamp;
use std::time::SystemTime;
use tokio_postgres::Row;

use crate::{StoreError, TenantTx, moment};

const SECRET: &str = "api_keys.secret";

/// A key as it may be shown.
#[derive(Clone, PartialEq, Debug)]
pub struct ApiKey {
    /// The part that is no secret.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `read_only`, `operator`, `developer`, `admin`.
    pub role: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// After this moment it opens nothing.
    pub expires_at: Option<Timestamp>,
    /// Since when it opens nothing.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A key that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewApiKey<'a> {
    /// 12 characters of `0-9a-z`, made outside.
    pub id: &'a str,
    /// What people call it.
    pub name: &'a str,
    /// One of the roles.
    pub role: &'a str,
    /// Who makes it.
    pub created_by: &'a str,
    /// After this moment it opens nothing.
    pub expires_at: Option<Timestamp>,
}

/// Keeps a key. `None` when there is one with that id already.
pub async fn add(
    tx: &TenantTx,
    new: &NewApiKey<'_>,
    secret: &str,
) -> Result<Option<ApiKey>, StoreError> {
    let hash = tx.cipher().await?.hash(SECRET, secret).to_vec();
    let row = tx
        .query_opt(
            "INSERT INTO api_keys (tenant, id, name, role, secret_hash, created_by, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
             RETURNING id, name, role, created_by, created_at, expires_at, revoked_at, last_used_at",
            &[
                tx.id(),
                &new.id,
                &new.name,
                &new.role,
                &hash,
                &new.created_by,
                &new.expires_at.map(moment),
            ],
        )
        .await?;
    Ok(row.as_ref().map(read))
}

/// The role the key opens the API with; `None` for one that is not this tenant's, whose secret is
/// another, or that is no longer good. The comparison is of keyed hashes, so its timing tells nothing
/// of the secret.
pub async fn role_of(tx: &TenantTx, id: &str, secret: &str) -> Result<Option<String>, StoreError> {
    let hash = tx.cipher().await?.hash(SECRET, secret).to_vec();
    let row = tx
        .query_opt(
            "SELECT role, last_used_at IS NULL OR last_used_at < now() - interval '1 minute'
             FROM api_keys
             WHERE id = $1 AND secret_hash = $2 AND revoked_at IS NULL
                AND (expires_at IS NULL OR expires_at > now())",
            &[&id, &hash],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.get(1) {
        tx.execute("UPDATE api_keys SET last_used_at = now() WHERE id = $1", &[&id]).await?;
    }
    Ok(Some(row.get(0)))
}

/// Whether a key still opens the API.
pub async fn is_good(tx: &TenantTx, id: &str) -> Result<bool, StoreError> {
    let sql = "SELECT FROM api_keys WHERE id = $1 AND revoked_at IS NULL
         AND (expires_at IS NULL OR expires_at > now())";
    Ok(tx.query_opt(sql, &[&id]).await?.is_some())
}

/// Every key of the tenant, the newest first.
pub async fn all(tx: &TenantTx) -> Result<Vec<ApiKey>, StoreError> {
    let rows = tx
        .query(
            "SELECT id, name, role, created_by, created_at, expires_at, revoked_at, last_used_at
             FROM api_keys ORDER BY created_at DESC, id",
            &[],
        )
        .await?;
    Ok(rows.iter().map(read).collect())
}

/// Revokes a key, and shows it; `None` when there is none. One that was revoked before stays as it was.
pub async fn revoke(tx: &TenantTx, id: &str) -> Result<Option<ApiKey>, StoreError> {
    let row = tx
        .query_opt(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1
             RETURNING id, name, role, created_by, created_at, expires_at, revoked_at, last_used_at",
            &[&id],
        )
        .await?;
    Ok(row.as_ref().map(read))
}

fn read(row: &Row) -> ApiKey {
    let at = |column| row.get::<_, Option<SystemTime>>(column).map(Timestamp::from);
    ApiKey {
        id: row.get(0),
        name: row.get(1),
        role: row.get(2),
        created_by: row.get(3),
        created_at: row.get::<_, SystemTime>(4).into(),
        expires_at: at(5),
        revoked_at: at(6),
        last_used_at: at(7),
    }
}
