//! The tenants.

use anyhow::Context as _;
use domain::TenantId;
use serde_json::json;
use store::Store;
use store::tenants::AllSettings;

use super::Sight;
use crate::ended::{AskedWrongly, Ended};
use crate::print;

/// The tenants that are meant by a name or an id, or all that have an address: id and name.
///
/// # Errors
/// [`AskedWrongly`] when none is meant.
pub(crate) async fn meant(
    store: &Store,
    tenant: Option<&str>,
) -> anyhow::Result<Vec<(TenantId, String)>> {
    let all = settings(store).await?;
    let mut known: Vec<_> = all.good.into_iter().map(|s| (s.tenant, s.slug)).collect();
    for (id, _) in all.refused {
        known.push((id, slug_of(store, id).await?));
    }
    let Some(wanted) = tenant else { return Ok(known) };
    let meant: Vec<_> = known
        .iter()
        .filter(|(id, slug)| slug == wanted || id.to_string() == wanted)
        .cloned()
        .collect();
    if meant.is_empty() {
        let names: Vec<_> = known.iter().map(|(_, slug)| slug.as_str()).collect();
        let names = names.join(", ");
        return Err(AskedWrongly(format!(
            "--tenant {wanted}: no such tenant with an address; there are {names}"
        ))
        .into());
    }
    Ok(meant)
}

/// The one tenant that is meant.
///
/// # Errors
/// [`AskedWrongly`] when none is meant, or several are.
pub(crate) async fn one(store: &Store, tenant: &str) -> anyhow::Result<TenantId> {
    match meant(store, Some(tenant)).await?[..] {
        [(tenant, _)] => Ok(tenant),
        _ => Err(AskedWrongly(format!("--tenant {tenant}: several tenants have this name")).into()),
    }
}

async fn settings(store: &Store) -> anyhow::Result<AllSettings> {
    store::tenants::settings(store).await.context("read the tenants")
}

/// The name of a tenant whose settings are refused: what is wrong with them is not the name.
async fn slug_of(store: &Store, tenant: TenantId) -> anyhow::Result<String> {
    let tx = store.tenant(tenant).await.context("enter a tenant")?;
    Ok(store::tenants::own(&tx).await.context("read a tenant's name")?.slug)
}

pub(super) async fn show(sight: &Sight, json: bool) -> anyhow::Result<Ended> {
    let all = settings(&sight.store).await?;
    let mut refused = Vec::with_capacity(all.refused.len());
    for (tenant, fault) in &all.refused {
        refused.push((*tenant, slug_of(&sight.store, *tenant).await?, fault));
    }
    let addresses = store::addresses::all(&sight.store).await.context("read the addresses")?;
    let addresses_of = |tenant: TenantId| {
        let own = addresses.iter().filter(|address| address.tenant == tenant);
        let name =
            |a: &domain::Address| format!("{} {} ({})", a.channel, a.address, a.mode.as_str());
        own.map(name).collect::<Vec<_>>()
    };
    if print::is_for_programs(json) {
        let good = all.good.iter().map(|settings| {
            json!({
                "tenant": settings.tenant.as_uuid(),
                "slug": settings.slug,
                "business": settings.business,
                "timezone": settings.timezone,
                "addresses": addresses_of(settings.tenant),
                "fault": null,
            })
        });
        let refused = refused.iter().map(|(tenant, slug, fault)| {
            json!({
                "tenant": tenant.as_uuid(),
                "slug": slug,
                "addresses": addresses_of(*tenant),
                "fault": fault,
            })
        });
        print::json(&good.chain(refused).collect::<Vec<_>>().into())?;
    } else {
        let row = |tenant: TenantId, slug: &str, business: &str, settings: &str| {
            let addresses = addresses_of(tenant).len().to_string();
            [tenant.to_string(), slug.into(), business.into(), addresses, settings.into()]
        };
        let good = all.good.iter().map(|s| row(s.tenant, &s.slug, &s.business, "good"));
        let refused = refused.iter().map(|(tenant, slug, fault)| row(*tenant, slug, "", fault));
        let rows: Vec<_> = good.chain(refused).collect();
        let header = ["TENANT", "SLUG", "BUSINESS", "ADDRESSES", "SETTINGS"];
        print::say(&print::table(header, &rows))?;
    }
    Ok(match (all.good.is_empty(), refused.is_empty()) {
        (true, true) => Ended::Nothing,
        (_, true) => Ended::Done,
        (_, false) => Ended::Ailing,
    })
}
