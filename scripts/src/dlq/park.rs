//! Groups that are left alone while somebody looks into them.

use anyhow::ensure;
use domain::Timestamp;
use serde_json::json;

use super::{Desk, Ended};
use crate::print;

pub(super) async fn park(desk: &Desk, group: &str, reason: &str) -> anyhow::Result<Ended> {
    ensure!(!reason.trim().is_empty(), "--reason: say why, for the record");
    match desk.letters.park(group, &desk.actor, reason).await? {
        Some(letters) => {
            eprintln!("parked: no replay takes its {letters} letters");
            Ok(Ended::Done)
        }
        None => {
            eprintln!("it is parked already");
            Ok(Ended::Nothing)
        }
    }
}

pub(super) async fn release(desk: &Desk, group: &str) -> anyhow::Result<Ended> {
    match desk.letters.release(group, &desk.actor).await? {
        Some(letters) => {
            eprintln!("released with its {letters} letters");
            Ok(Ended::Done)
        }
        None => {
            eprintln!("it is not parked");
            Ok(Ended::Nothing)
        }
    }
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
        eprintln!("no group is parked");
        return Ok(Ended::Nothing);
    }
    Ok(Ended::Done)
}
