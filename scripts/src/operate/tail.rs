//! What happens, as it happens: the tenants' live events (F2).

use std::time::Duration;

use anyhow::Context as _;
use boot::Environment;
use domain::{TenantId, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Sight, tenants};
use crate::ended::{AskedWrongly, Ended};
use crate::print;

/// How often it is looked for what is new.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const BATCH: usize = 100;
/// What of an event's data speaks of no person.
const OPEN: [&str; 8] =
    ["call", "reason", "agent", "status", "duration_ms", "message", "escalation", "model"];
const MASKED: &str = "***";

/// What is to be told.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Only of this tenant, by name or id.
    #[arg(long)]
    tenant: Option<String>,
    /// Begin so long ago, such as `10m`; an hour is kept.
    #[arg(long, value_parser = crate::dlq::seconds)]
    since: Option<u64>,
    /// End when all there is has been told.
    #[arg(long)]
    no_follow: bool,
    /// End after so many events.
    #[arg(long)]
    count: Option<usize>,
    /// Show texts too. It is put on record.
    #[arg(long)]
    reveal: bool,
    /// Who asks, for the record [default: $USER].
    #[arg(long = "as")]
    actor: Option<String>,
    /// Print JSON, also on a terminal.
    #[arg(long)]
    json: bool,
}

struct Followed {
    tenant: TenantId,
    slug: String,
    last: String,
}

pub(super) async fn follow(
    environment: &Environment,
    arguments: &Arguments,
) -> anyhow::Result<Ended> {
    let sight = Sight::open(environment).await?;
    let mut followed = Vec::new();
    for (tenant, slug) in meant(&sight, arguments.tenant.as_deref()).await? {
        let last = match arguments.since {
            Some(seconds) => {
                let now_ms = Timestamp::now().as_micros() / 1_000;
                let ago_ms = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
                format!("{}-0", now_ms.saturating_sub(ago_ms).max(0))
            }
            None if arguments.no_follow => "0-0".to_owned(),
            None => sight.cache.last_live(tenant).await.context("ask for live events")?,
        };
        followed.push(Followed { tenant, slug, last });
    }
    if arguments.reveal {
        put_on_record(&sight, environment, arguments, &followed).await?;
    }
    let as_json = print::is_for_programs(arguments.json);
    let mut left = arguments.count.unwrap_or(usize::MAX);
    let mut told = 0_usize;
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let mut found = 0;
        for of in &mut followed {
            let events = sight.cache.live_after(of.tenant, &of.last, BATCH.min(left)).await;
            for entry in events.context("read live events")? {
                let event: Value = serde_json::from_str(&entry.body).unwrap_or_default();
                let event = if arguments.reveal { event } else { masked(event) };
                let line = match as_json {
                    true => json!({"tenant": of.slug, "id": entry.id, "event": event}).to_string(),
                    false => line(&of.slug, &event),
                };
                print::say(&line)?;
                of.last = entry.id;
                found += 1;
                left -= 1;
            }
            if left == 0 {
                return Ok(Ended::Done);
            }
        }
        told += found;
        if found > 0 {
            continue;
        }
        if arguments.no_follow {
            return Ok(if told == 0 { Ended::Nothing } else { Ended::Done });
        }
        tokio::select! {
            _ = &mut stop => return Ok(Ended::Done),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// The tenants to follow. One that is named by its id needs no database.
async fn meant(sight: &Sight, tenant: Option<&str>) -> anyhow::Result<Vec<(TenantId, String)>> {
    let id = tenant.and_then(|tenant| Uuid::try_parse(tenant).ok());
    match (tenants::meant(&sight.store, tenant).await, id) {
        (Err(error), Some(id)) if !error.is::<AskedWrongly>() => {
            print::note(&format!("whether there is such a tenant is not known: {error:#}"));
            Ok(vec![(TenantId::from_uuid(id), id.to_string())])
        }
        (meant, _) => meant,
    }
}

/// Before anything is shown: nobody reads what is not on record.
async fn put_on_record(
    sight: &Sight,
    environment: &Environment,
    arguments: &Arguments,
    followed: &[Followed],
) -> anyhow::Result<()> {
    let user = arguments.actor.as_deref().or_else(|| environment.get("USER"));
    let actor = user.unwrap_or_default().trim();
    if actor.is_empty() {
        return Err(AskedWrongly("--as: say who asks, for the record".to_owned()).into());
    }
    for of in followed {
        let tx = sight.store.tenant(of.tenant).await.context("enter a tenant")?;
        let actor = format!("operator:{actor}");
        store::audit::note(&tx, &actor, "live_events.reveal", &of.slug, &json!({}))
            .await
            .context("put it on record")?;
        tx.commit().await.context("put it on record")?;
    }
    Ok(())
}

fn masked(mut event: Value) -> Value {
    if let Some(data) = event.get_mut("data").and_then(Value::as_object_mut) {
        for (name, value) in data.iter_mut() {
            if !OPEN.contains(&name.as_str()) {
                *value = MASKED.into();
            }
        }
    }
    event
}

fn line(slug: &str, event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let data = event["data"].as_object().into_iter().flatten().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let plain: String = value.chars().filter(|c| !c.is_control()).collect();
        format!("{name}={plain}")
    });
    format!(
        "{}  {slug:<10}  {:<20}  {:<9} {} {:>3}  {}",
        text("at"),
        text("kind"),
        text("channel"),
        text("conversation"),
        event["turn"].as_u64().unwrap_or_default(),
        data.collect::<Vec<_>>().join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_of_no_person_is_shown() {
        let event = json!({"kind": "message_sent", "data": {"text": "it hurts", "agent": "task"}});
        let shown = line("demo", &masked(event));
        assert!(shown.contains("agent=task") && shown.contains("text=***"), "{shown}");
        assert!(!shown.contains("hurts"), "{shown}");
    }
}
