//! What became of a conversation, hop by hop: from the history, and from Redis where it is live.

use std::collections::BTreeMap;

use anyhow::Context as _;
use boot::Environment;
use cache::{CallRecord, Ledger};
use domain::{CallSid, ConversationId, Stage, TenantId, Timestamp, Turn};
use serde_json::{Value, json};
use store::TenantTx;
use store::dead_letters::Filter;
use store::history::{self, Account, Call, Conversation, Message};
use uuid::Uuid;

use super::calls::phase;
use super::{Sight, tenants};
use crate::ended::{AskedWrongly, Ended};
use crate::print;

/// Messages of a conversation that are looked at.
const MESSAGES: i64 = 2_000;
const LETTERS: i64 = 100;
/// Columns of the waterfall.
const WIDTH: usize = 40;

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Wanted {
    of: Of,
    turn: Option<Turn>,
}

#[derive(Debug, PartialEq)]
enum Of {
    Call(CallSid),
    Conversation(Uuid),
}

/// All that is known of it.
struct Found {
    /// Whose it is and which, where that is known without the history.
    slug: Option<String>,
    conversation: Option<Uuid>,
    kept: Option<Conversation>,
    call: Option<Call>,
    record: Option<CallRecord>,
    turns: Vec<TracedTurn>,
    letters: Vec<i64>,
    /// What could not be looked at, and why.
    gaps: Vec<String>,
}

#[derive(Default)]
struct TracedTurn {
    turn: u32,
    stages: Vec<Stage>,
    account: Option<Account>,
    /// How much of a spoken reply was heard: characters, and whether that was all.
    heard: Option<(i32, bool)>,
    delivery: Option<String>,
    ledger: Option<Ledger>,
}

pub(super) async fn show(
    environment: &Environment,
    what: &str,
    tenant: Option<&str>,
    json: bool,
) -> anyhow::Result<Ended> {
    let wanted = read(what)?;
    let sight = Sight::open(environment).await?;
    let Some(found) = find(&sight, &wanted, tenant).await? else {
        print::note(&format!("nothing is known of {what}"));
        return Ok(Ended::Nothing);
    };
    if print::is_for_programs(json) {
        print::json(&as_json(&found))?;
    } else {
        print_found(&found)?;
    }
    for gap in &found.gaps {
        print::note(&format!("not looked at: {gap}"));
    }
    Ok(Ended::Done)
}

fn read(what: &str) -> Result<Wanted, AskedWrongly> {
    let (id, turn) = match what.split_once(':') {
        Some((id, turn)) => {
            let wrong = |_| AskedWrongly(format!("{turn} is not the number of a turn"));
            (id, Some(Turn(turn.parse().map_err(wrong)?)))
        }
        None => (what, None),
    };
    // Twilio's and ours; any other word would pass as the id of a call too.
    let is_call = id.starts_with("CA") || id.starts_with("BR");
    let of = match (Uuid::try_parse(id), CallSid::parse(id).filter(|_| is_call)) {
        (Ok(conversation), _) => Of::Conversation(conversation),
        (Err(_), Some(call)) => Of::Call(call),
        (Err(_), None) => {
            let why = format!("{id} is neither a call's SID nor a conversation's id");
            return Err(AskedWrongly(why));
        }
    };
    Ok(Wanted { of, turn })
}

async fn find(
    sight: &Sight,
    wanted: &Wanted,
    tenant: Option<&str>,
) -> anyhow::Result<Option<Found>> {
    let meant = match tenants::meant(&sight.store, tenant).await {
        Err(error) if !error.is::<AskedWrongly>() => {
            return in_redis(sight, wanted, tenant, error).await.map(Some);
        }
        meant => meant?,
    };
    for (tenant, slug) in meant {
        let tx = sight.store.tenant(tenant).await.context("enter a tenant")?;
        if let Some(mut found) = find_in(sight, &tx, wanted, tenant, &slug).await? {
            drop(tx);
            match dead_letters(sight, &found).await {
                Ok(letters) => found.letters = letters,
                Err(error) => found.gaps.push(format!("dead letters: {error:#}")),
            }
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What Redis has of it while the history cannot be read, and why it cannot; that alone where Redis has nothing.
async fn in_redis(
    sight: &Sight,
    wanted: &Wanted,
    tenant: Option<&str>,
    why: anyhow::Error,
) -> anyhow::Result<Found> {
    let tenant = tenant.and_then(|id| Uuid::try_parse(id).ok()).map(TenantId::from_uuid);
    let (conversation, record) = match &wanted.of {
        Of::Conversation(id) => (Some(ConversationId::from_uuid(*id)), None),
        Of::Call(call) => {
            let record = sight.cache.call_record(call).await.ok();
            let conversation = tenant.map(|tenant| ConversationId::of_call(tenant, call));
            (conversation, record.filter(|record| record.began_at.is_some()))
        }
    };
    let taken = record.as_ref().map(|record| record.taken);
    let turn = wanted.turn.or(taken.filter(|taken| taken.0 > 0));
    let ledger = match conversation.zip(turn) {
        Some((conversation, turn)) => sight.cache.ledger(conversation, turn).await.ok().flatten(),
        None => None,
    };
    if record.is_none() && ledger.is_none() {
        return Err(why);
    }
    let turns = turn.zip(ledger).map(|(turn, ledger)| TracedTurn {
        turn: turn.0,
        ledger: Some(ledger),
        ..TracedTurn::default()
    });
    Ok(Found {
        slug: None,
        conversation: conversation.map(|conversation| *conversation.as_uuid()),
        kept: None,
        call: None,
        record,
        turns: turns.into_iter().collect(),
        letters: Vec::new(),
        gaps: vec![format!("the history and the dead letters: {why:#}")],
    })
}

async fn find_in(
    sight: &Sight,
    tx: &TenantTx,
    wanted: &Wanted,
    tenant: TenantId,
    slug: &str,
) -> anyhow::Result<Option<Found>> {
    let (id, sid) = match &wanted.of {
        Of::Conversation(id) => (*id, None),
        Of::Call(call) => (*ConversationId::of_call(tenant, call).as_uuid(), Some(call.clone())),
    };
    let kept = history::conversation(tx, id).await.context("read a conversation")?;
    let sid = sid.or_else(|| CallSid::parse(kept.as_ref()?.call.as_deref()?));
    let call = match &sid {
        Some(sid) => history::call(tx, sid.as_str()).await.context("read a call")?,
        None => None,
    };
    let mut gaps = Vec::new();
    let record = match &sid {
        Some(sid) => match sight.cache.call_record(sid).await {
            Ok(record) => Some(record).filter(|record| record.began_at.is_some()),
            Err(error) => {
                gaps.push(format!("Redis: {error}"));
                None
            }
        },
        None => None,
    };
    // A call's record names no tenant: where several have an address, only the history tells whose it is.
    if kept.is_none() && call.is_none() && record.is_none() {
        return Ok(None);
    }
    let conversation = ConversationId::from_uuid(id);
    let mut turns = turns(tx, conversation).await?;
    if let Some(taken) = record.as_ref().map(|record| record.taken.0).filter(|taken| *taken > 0) {
        turns.entry(taken).or_default();
    }
    turns.retain(|turn, _| wanted.turn.is_none_or(|wanted| wanted.0 == *turn));
    let mut traced = Vec::with_capacity(turns.len());
    for (number, mut turn) in turns {
        turn.turn = number;
        match sight.cache.ledger(conversation, Turn(number)).await {
            Ok(ledger) => turn.ledger = ledger,
            Err(error) if gaps.is_empty() => gaps.push(format!("Redis: {error}")),
            Err(_) => {}
        }
        traced.push(turn);
    }
    if wanted.turn.is_some() && traced.is_empty() {
        return Ok(None);
    }
    let (slug, conversation) = (Some(slug.to_owned()), Some(id));
    let letters = Vec::new();
    Ok(Some(Found { slug, conversation, kept, call, record, turns: traced, letters, gaps }))
}

async fn turns(
    tx: &TenantTx,
    conversation: ConversationId,
) -> anyhow::Result<BTreeMap<u32, TracedTurn>> {
    let mut turns: BTreeMap<u32, TracedTurn> = BTreeMap::new();
    let timed = store::turn_timings::of_conversation(tx, conversation).await;
    for (turn, mut stages) in timed.context("read the times of turns")? {
        stages.sort_by_key(|stage| stage.at);
        turns.entry(turn.0).or_default().stages = stages;
    }
    let messages = history::messages(tx, conversation, None, false, MESSAGES).await;
    for message in messages.context("read messages")? {
        let Message { turn: Some(turn), account: Some(account), .. } = message else { continue };
        let Ok(turn) = u32::try_from(turn) else { continue };
        let traced = turns.entry(turn).or_default();
        traced.account = Some(account);
        traced.heard = message.heard;
        traced.delivery = message.delivery.map(|delivery| delivery.status);
    }
    Ok(turns)
}

/// Those of this conversation: their numbers.
async fn dead_letters(sight: &Sight, found: &Found) -> anyhow::Result<Vec<i64>> {
    let Some(conversation) = found.conversation else { return Ok(Vec::new()) };
    let letters = sight.access.letters().await?;
    let filter = Filter { group: Some(conversation.to_string()), ..Filter::default() };
    Ok(letters.list(&filter, LETTERS).await?.iter().map(|letter| letter.number).collect())
}

fn as_json(found: &Found) -> Value {
    let call = found.call.as_ref().map(|call| {
        json!({
            "call": call.call,
            "started_at": call.started_at.map(print::time),
            "ended_at": call.ended_at.map(print::time),
            "end_reason": call.end_reason,
            "recording_ms": call.recording.as_ref().map(|recording| recording.duration_ms),
        })
    });
    let live = found.record.as_ref().map(|record| {
        json!({
            "phase": phase(record),
            "turn": record.taken.0,
            "speaking": record.speaking.0,
            "is_held": record.is_held,
        })
    });
    let turn = |turn: &TracedTurn| {
        let began = turn.stages.first().map(|stage| stage.at);
        let stages = turn.stages.iter().map(|stage| {
            let after = began.map_or(0, |began| stage.at.since(began).as_micros());
            json!({
                "stage": stage.name,
                "at": print::time(stage.at),
                "after_ms": after as f64 / 1_000.0,
            })
        });
        let account = turn.account.as_ref().map(|account| {
            json!({
                "agent": account.agent,
                "model": account.model,
                "processing_ms": account.processing_ms,
                "tokens_in": account.tokens_in,
                "tokens_out": account.tokens_out,
                "cost_micros": account.cost_micros,
            })
        });
        let ledger = turn.ledger.as_ref().map(|ledger| {
            json!({
                "attempt": ledger.attempt,
                "sentences": ledger.sentences.len(),
                "recorded": ledger.values.keys().collect::<Vec<_>>(),
                "is_finished": ledger.finished.is_some(),
            })
        });
        json!({
            "turn": turn.turn,
            "total_ms": total_ms(&turn.stages),
            "stages": stages.collect::<Vec<_>>(),
            "account": account,
            "heard_whole": turn.heard.map(|(_, whole)| whole),
            "delivery": turn.delivery,
            "ledger": ledger,
        })
    };
    json!({
        "tenant": found.slug,
        "conversation": found.conversation,
        "channel": found.kept.as_ref().map(|kept| &kept.channel),
        "call": call,
        "live": live,
        "turns": found.turns.iter().map(turn).collect::<Vec<_>>(),
        "dead_letters": found.letters,
        "gaps": found.gaps,
    })
}

fn print_found(found: &Found) -> anyhow::Result<()> {
    let channel = found.kept.as_ref().map_or("", |kept| kept.channel.as_str());
    let slug = found.slug.as_deref().unwrap_or("?");
    let conversation = found.conversation.map_or_else(|| "?".to_owned(), |id| id.to_string());
    print::say(&format!("{slug}  {channel}  conversation {conversation}"))?;
    if let Some(call) = &found.call {
        let at = |at: Option<Timestamp>| at.map_or_else(|| "?".to_owned(), print::time);
        let ended = match (call.ended_at, call.end_reason.as_deref()) {
            (Some(ended), reason) => {
                format!("ended {} ({})", print::time(ended), reason.unwrap_or("?"))
            }
            (None, _) => "goes on".to_owned(),
        };
        print::say(&format!("{}  began {}  {ended}", call.call, at(call.started_at)))?;
    }
    if let Some(record) = &found.record {
        let held = if record.is_held { "held by a task" } else { "held by nobody" };
        print::say(&format!("in Redis: {}, turn {}, {held}", phase(record), record.taken.0))?;
    }
    for turn in &found.turns {
        print::say("")?;
        print::say(&headline(turn))?;
        for line in waterfall(&turn.stages) {
            print::say(&line)?;
        }
    }
    if !found.letters.is_empty() {
        let numbers: Vec<_> = found.letters.iter().map(i64::to_string).collect();
        print::say(&format!("\ndead letters: {}", numbers.join(" ")))?;
    }
    Ok(())
}

fn headline(turn: &TracedTurn) -> String {
    let mut said = vec![format!("turn {}", turn.turn)];
    if let Some(ms) = total_ms(&turn.stages) {
        said.push(format!("{ms:.0} ms"));
    }
    if let Some(account) = &turn.account {
        let model = account.model.as_deref().unwrap_or("no model");
        said.push(format!("{} ({model})", account.agent));
        if let Some((read, written)) = account.tokens_in.zip(account.tokens_out) {
            said.push(format!("{read} tokens in, {written} out"));
        }
    }
    match turn.heard {
        Some((_, true)) => said.push("heard whole".to_owned()),
        Some((chars, false)) => said.push(format!("{chars} characters heard")),
        None => {}
    }
    said.extend(turn.delivery.clone());
    if let Some(ledger) = &turn.ledger {
        let end = if ledger.finished.is_some() { "finished" } else { "not finished" };
        said.push(format!("ledger: {} sentences, {end}", ledger.sentences.len()));
    }
    said.join("  ")
}

/// A line a stage: how long after the one before, and where in the turn.
fn waterfall(stages: &[Stage]) -> Vec<String> {
    let Some((first, last)) = stages.first().zip(stages.last()) else { return Vec::new() };
    let total = last.at.since(first.at).as_micros().max(1);
    let column = |at: Timestamp| {
        let after = at.since(first.at).as_micros();
        usize::try_from(after * WIDTH as u128 / total).unwrap_or(WIDTH).min(WIDTH)
    };
    let mut before = first.at;
    stages
        .iter()
        .map(|stage| {
            let (from, to) = (column(before), column(stage.at));
            let took = stage.at.since(before).as_micros() as f64 / 1_000.0;
            before = stage.at;
            let bar = format!("{}{}", " ".repeat(from), "#".repeat((to - from).max(1)));
            format!("  {:<22} {took:>9.1} ms  |{bar}", stage.name)
        })
        .collect()
}

fn total_ms(stages: &[Stage]) -> Option<f64> {
    let (first, last) = stages.first().zip(stages.last())?;
    Some(last.at.since(first.at).as_micros() as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_a_conversation_and_a_turn_of_either_can_be_meant() {
        let call = "CA0123456789abcdef0123456789abcdef";
        let sid = || CallSid::parse(call).unwrap();
        assert_eq!(read(call).unwrap(), Wanted { of: Of::Call(sid()), turn: None });
        let turn = read(&format!("{call}:3")).unwrap();
        assert_eq!(turn, Wanted { of: Of::Call(sid()), turn: Some(Turn(3)) });
        let chat = Uuid::from_u128(7);
        assert_eq!(read(&chat.to_string()).unwrap().of, Of::Conversation(chat));
        for wrong in ["", "what", "CA0123456789abcdef0123456789abcdef:x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_stage_has_its_place_between_the_first_and_the_last() {
        let at = |ms: i64| Timestamp::from_micros(ms * 1_000);
        let stages = [("turn_ended", 0), ("spoken", 30), ("first_audio_out", 40)]
            .map(|(n, t)| Stage::new(n, at(t)));
        let lines = waterfall(&stages);
        assert!(lines[0].ends_with("0.0 ms  |#"), "{lines:?}");
        assert!(lines[1].ends_with(&format!("30.0 ms  |{}", "#".repeat(30))), "{lines:?}");
        assert!(
            lines[2].ends_with(&format!("10.0 ms  |{}##########", " ".repeat(30))),
            "{lines:?}"
        );
    }
}
