//! Groups that are left alone while somebody looks into them.

use domain::Timestamp;
use serde_json::json;
use store::dead_letters::Filter;

use super::{Desk, Ended};
use crate::print;

pub(super) async fn park(
    desk: &Desk,
    group: &str,
    reason: &str,
    json: bool,
) -> anyhow::Result<Ended> {
    let filter = Filter { group: Some(group.to_owned()), ..Filter::default() };
    if desk.letters.counts(&filter).await?.is_empty() {
        return told(group, None, json, "no letter has this group");
    }
    let parked = desk.letters.park(group, &desk.actor, reason).await?;
    let text = match parked {
        Some(letters) => format!("parked: no replay takes its {letters} letters"),
        None => "it is parked already".to_owned(),
    };
    told(group, parked, json, &text)
}

pub(super) async fn release(desk: &Desk, group: &str, json: bool) -> anyhow::Result<Ended> {
    let released = desk.letters.release(group, &desk.actor).await?;
    let text = match released {
        Some(letters) => format!("released with its {letters} letters"),
        None => "it is not parked".to_owned(),
    };
    told(group, released, json, &text)
}

/// Says what was done to a group of so many letters, if anything.
fn told(group: &str, letters: Option<u64>, json: bool, text: &str) -> anyhow::Result<Ended> {
    print::note(text);
    if print::is_for_programs(json) {
        let changed = letters.is_some();
        print::json(&json!({ "group": group, "changed": changed, "letters": letters }))?;
    }
    Ok(if letters.is_some() { Ended::Done } else { Ended::Nothing })
}

pub(super) async fn list(desk: &Desk, json: bool) -> anyhow::Result<Ended> {
    let parked = desk.letters.parked().await?;
    if print::is_for_programs(json) {
        let groups = parked.iter().map(|parked| {
            json!({
                "group": parked.group,
                "reason": parked.reason,
                "actor": parked.actor,
                "parked_at": print::time(parked.parked_at),
                "waiting": parked.waiting,
            })
        });
        print::json(&groups.collect::<Vec<_>>().into())?;
    } else if !parked.is_empty() {
        let now = Timestamp::now();
        let rows: Vec<_> = parked
            .iter()
            .map(|parked| {
                let age = print::age(parked.parked_at, now);
                let waiting = parked.waiting.to_string();
                [parked.group.clone(), waiting, age, parked.actor.clone(), parked.reason.clone()]
            })
            .collect();
        print::say(&print::table(["GROUP", "WAITING", "SINCE", "BY", "REASON"], &rows))?;
    }
    if parked.is_empty() {
        print::note("no group is parked");
        return Ok(Ended::Nothing);
    }
    Ok(Ended::Done)
}
