//! What the commands look at.

use boot::Environment;
use cache::Cache;
use store::Store;

use crate::access::Access;

/// The stores. Nothing is connected yet.
pub(super) struct Sight {
    pub(super) access: Access,
    pub(super) store: Store,
    pub(super) cache: Cache,
}

impl Sight {
    pub(super) async fn open(environment: &Environment) -> anyhow::Result<Self> {
        let access = Access::read(environment).await?;
        let (store, cache) = (access.store().await?, access.cache().await?);
        Ok(Self { access, store, cache })
    }
}
