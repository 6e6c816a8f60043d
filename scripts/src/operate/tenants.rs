//! The tenants.

use anyhow::Context as _;
use domain::TenantId;
use serde_json::json;

use super::Sight;
use crate::ended::Ended;
use crate::print;

pub(super) async fn show(sight: &Sight, json: bool) -> anyhow::Result<Ended> {
    let all = sight.tenants().await?;
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
        let refused = all.refused.iter().map(|(tenant, fault)| {
            json!({
                "tenant": tenant.as_uuid(),
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
        let refused = all.refused.iter().map(|(tenant, fault)| row(*tenant, "", "", fault));
        let rows: Vec<_> = good.chain(refused).collect();
        let header = ["TENANT", "SLUG", "BUSINESS", "ADDRESSES", "SETTINGS"];
        print::say(&print::table(header, &rows))?;
    }
    Ok(match (all.good.is_empty(), all.refused.is_empty()) {
        (true, true) => Ended::Nothing,
        (_, true) => Ended::Done,
        (_, false) => Ended::Ailing,
    })
}
