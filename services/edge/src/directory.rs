//! Our addresses and the tenants behind them, held whole in memory so that a call is answered while PostgreSQL is away
//! (DESIGN 5).

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use domain::{Address, BoxFuture, Channel, Dependency, TenantId, TenantSettings};
use store::Store;
use tokio_util::sync::CancellationToken;

/// A change of address or settings is in force that soon (C3).
const REFRESH_EVERY: Duration = Duration::from_secs(5);

/// What is known of our addresses and tenants.
#[derive(Default)]
pub struct Directory {
    snapshot: RwLock<Arc<Snapshot>>,
}

#[derive(Default)]
struct Snapshot {
    loaded: bool,
    addresses: HashMap<(Channel, String), Address>,
    settings: HashMap<TenantId, Arc<TenantSettings>>,
}

impl Directory {
    /// A directory that knows exactly these.
    pub fn holding(addresses: Vec<Address>, settings: Vec<TenantSettings>) -> Self {
        let directory = Self::default();
        directory.replace(addresses, settings);
        directory
    }

    /// Whether the addresses were read: before, nothing is known to be ours.
    pub fn is_loaded(&self) -> bool {
        self.snapshot().loaded
    }

    /// The address of ours that `address` on `channel` is.
    pub fn address(&self, channel: &Channel, address: &str) -> Option<Address> {
        self.snapshot().addresses.get(&(channel.clone(), address.to_owned())).cloned()
    }

    /// Whose it is.
    pub fn tenant_of(&self, channel: &Channel, address: &str) -> Option<TenantId> {
        self.address(channel, address).map(|a| a.tenant)
    }

    /// The address that a tenant writes from on `channel`, where it has one: of several always the same.
    pub fn address_of(&self, tenant: TenantId, channel: &Channel) -> Option<String> {
        let snapshot = self.snapshot();
        let own = snapshot.addresses.values();
        let own = own.filter(|a| a.tenant == tenant && a.channel == *channel);
        own.map(|a| a.address.clone()).min()
    }

    /// A tenant's settings.
    pub fn settings(&self, tenant: TenantId) -> Option<Arc<TenantSettings>> {
        self.snapshot().settings.get(&tenant).cloned()
    }

    /// The tenants that take calls on media streams: whose prompts are to be ready.
    pub fn speaking_tenants(&self) -> Vec<Arc<TenantSettings>> {
        let snapshot = self.snapshot();
        let speaks = |tenant: TenantId| {
            let mut addresses = snapshot.addresses.values();
            addresses.any(|a| a.tenant == tenant && a.mode == domain::AddressMode::MediaStream)
        };
        snapshot.settings.values().filter(|s| speaks(s.tenant)).cloned().collect()
    }

    /// Reads everything again every few seconds until `stop`; keeps what it has while the database is away.
    pub async fn keep_fresh(self: Arc<Self>, store: Store, stop: CancellationToken) {
        let mut failing = false;
        loop {
            match read(&store).await {
                Ok((addresses, settings)) => {
                    self.replace(addresses, settings);
                    failing = false;
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "addresses and settings not refreshed; going on with those in memory");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(REFRESH_EVERY) => {}
            }
        }
    }

    fn replace(&self, addresses: Vec<Address>, settings: Vec<TenantSettings>) {
        let snapshot = Snapshot {
            loaded: true,
            addresses: addresses
                .into_iter()
                .map(|a| ((a.channel.clone(), a.address.clone()), a))
                .collect(),
            settings: settings.into_iter().map(|s| (s.tenant, Arc::new(s))).collect(),
        };
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn read(store: &Store) -> Result<(Vec<Address>, Vec<TenantSettings>), store::StoreError> {
    let addresses = store::addresses::all(store).await?;
    let settings = store::tenants::settings(store).await?;
    for (tenant, reason) in &settings.refused {
        tracing::error!(%tenant, reason, "a tenant's settings are refused");
    }
    Ok((addresses, settings.good))
}

impl Dependency for Directory {
    fn name(&self) -> &'static str {
        "directory"
    }

    /// Ready once the addresses were read; a database that goes away later does not matter.
    fn is_up(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { self.is_loaded() })
    }
}
