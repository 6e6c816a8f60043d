//! Our own addresses. They decide the tenant, so they lie outside row-level security (DESIGN 5).

use domain::{Address, AddressMode, Channel, TenantId};

use crate::{Store, StoreError};

/// Every address of every tenant, for `edge` to hold in memory. One with a mode this release does
/// not know is left out: a later release wrote it.
pub async fn all(store: &Store) -> Result<Vec<Address>, StoreError> {
    let client = store.client().await?;
    let statement = client
        .prepare_cached(
            "SELECT channel, address, display, tenant, mode, credentials FROM addresses",
        )
        .await?;
    let rows = client.query(&statement, &[]).await?;
    let read = |row: &tokio_postgres::Row| {
        Some(Address {
            channel: Channel::named(row.get::<_, String>(0)),
            address: row.get(1),
            display: row.get(2),
            tenant: TenantId::from_uuid(row.get(3)),
            mode: AddressMode::parse(row.get(4))?,
            credentials: row.get(5),
        })
    };
    Ok(rows.iter().filter_map(read).collect())
}
