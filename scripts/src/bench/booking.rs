//! Whether people leave with the appointment they wanted (C6): a crowd that a seed makes, each with a way of their own to say
//! what they want, calls and writes, and is judged from outside by what stands in the book and what was sent.

mod answers;
mod customer;
mod persona;
mod questions;
mod talk;
mod wording;

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use boot::Environment;
use domain::Personal;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;
use simulator::twilio::TextMessage;
use store::appointments::{AppointmentFilter, BookEntry, NewAppointment, Slot};
use store::seed::DEMO_TIMEZONE;
use tokio::time::sleep;
use uuid::Uuid;

use crate::history::History;
use crate::outside::Outside;

pub use persona::Way;
use persona::{Habit, Persona, Wish};
use questions::spoken;
use talk::{Talk, talk};

/// Callers begin apart, so that their turns do not fall together.
const APART: Duration = Duration::from_millis(700);
/// How long after the talk a text message may come.
const SENT_LIMIT: Duration = Duration::from_secs(20);
/// More than the crowd books.
const BOOK_MAX: i64 = 5_000;
/// Who has what is taken already.
const TAKEN_BY: &str = "Somebody Else";
const HALF_HOUR: Duration = Duration::from_secs(30 * 60);

/// Who calls.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BookingLoad {
    /// People, one talk each.
    pub callers: usize,
    /// Talks at a time.
    pub at_once: usize,
    /// Decides who they are and what they say; the same again is the same crowd.
    pub seed: u64,
    /// All of them this way; else each way in turn.
    pub way: Option<Way>,
}

/// What became of them.
#[derive(Debug, Serialize)]
pub struct BookingReport {
    /// Who called.
    pub load: BookingLoad,
    /// Processors of this machine.
    pub cores: usize,
    /// `release` or `debug`.
    pub build: &'static str,
    /// By the way they came.
    pub ways: Vec<WayOutcome>,
    /// The median call, seconds; `None` where nobody called.
    pub call_median_s: Option<f64>,
    /// Those who left without what they wanted.
    pub failures: Vec<BookingFailure>,
}

/// What became of those who came one way.
#[derive(Debug, Serialize)]
pub struct WayOutcome {
    /// Which.
    pub way: Way,
    /// How many came.
    pub people: usize,
    /// How many left with what they wanted.
    pub succeeded: usize,
    /// How long they took, seconds: median, 95th percentile, longest.
    pub lasted_s: [f64; 3],
}

/// Somebody who left without what they wanted.
#[derive(Debug, Serialize)]
pub struct BookingFailure {
    /// Who, and what they are like.
    pub who: String,
    /// What was wrong.
    pub why: Vec<String>,
    /// What was said.
    pub transcript: String,
}

impl BookingReport {
    /// How many left with what they wanted.
    pub fn succeeded(&self) -> usize {
        self.ways.iter().map(|way| way.succeeded).sum()
    }
}

/// Has the crowd call and write to the mesh whose simulator is at `simulator` and whose stores `environment` names.
///
/// # Errors
/// When the mesh cannot be reached. A talk that breaks is a failure of the report.
pub async fn booking(
    simulator: &str,
    environment: &Environment,
    load: BookingLoad,
) -> anyhow::Result<BookingReport> {
    let outside = Outside::new(simulator)?;
    let history = History::open(environment).await?;
    let zone = TimeZone::get(DEMO_TIMEZONE).context("read the business's clock")?;
    let today = Timestamp::now().to_zoned(zone.clone()).date();
    let ways = [Way::Stream, Way::Gather, Way::Chat];
    let person = |number: usize| {
        let way = load.way.unwrap_or(ways[number % ways.len()]);
        Persona::new(load.seed, number, way, today)
    };
    let crowd: Vec<Persona> = (0..load.callers).map(person).collect();
    take(&history, &crowd, &zone).await.context("take the times that are to be taken")?;

    let mut talks: Vec<_> = stream::iter(crowd.clone())
        .map(|persona| {
            let (outside, number) = (&outside, persona.number);
            async move {
                if number < load.at_once {
                    sleep(APART * number as u32).await;
                }
                (number, talk(outside, persona).await)
            }
        })
        .buffer_unordered(load.at_once.max(1))
        .collect()
        .await;
    talks.sort_by_key(|(number, _)| *number);
    let talks: Vec<_> = talks.into_iter().map(|(_, talk)| talk).collect();
    let found = Found::look(&outside, &history, &talks).await?;
    let judged: Vec<Judged> = crowd
        .iter()
        .zip(talks)
        .map(|(persona, talk)| judge(persona, talk, &found, &zone))
        .collect();
    Ok(report(load, judged))
}

/// Books what is to be taken, with everybody who serves it.
async fn take(history: &History, crowd: &[Persona], zone: &TimeZone) -> anyhow::Result<()> {
    let name: Personal = TAKEN_BY.into();
    let tx = history.tenant().await?;
    let agenda = store::appointments::Agenda::load(&tx, zone.clone()).await?;
    let service = agenda.service(None).context("the tenant has no service")?;
    for persona in crowd.iter().filter(|persona| persona.is_taken) {
        let Wish::At(at) = persona.wish else { continue };
        let starts_at = moment(at, zone)?;
        for resource in service.resource_numbers() {
            let slot =
                Slot { starts_at, ends_at: starts_at.plus(HALF_HOUR), resources: vec![resource] };
            let new = NewAppointment {
                id: Uuid::now_v7(),
                slot: &slot,
                service: &service.name,
                name: &name,
                phone: None,
                email: None,
                notes: None,
                user: None,
                conversation: None,
                reached_by: None,
            };
            // Two may want the same.
            store::appointments::book(&tx, &new).await?;
        }
    }
    tx.commit().await.context("commit")
}

fn moment(at: DateTime, zone: &TimeZone) -> anyhow::Result<domain::Timestamp> {
    let at = at.to_zoned(zone.clone()).context("read a time of the business")?;
    Ok(domain::Timestamp::from_micros(at.timestamp().as_microsecond()))
}

/// What is seen from outside when all is over.
struct Found {
    book: Vec<BookEntry>,
    texts: Vec<TextMessage>,
}

impl Found {
    async fn look(
        outside: &Outside,
        history: &History,
        talks: &[anyhow::Result<Talk>],
    ) -> anyhow::Result<Self> {
        let callers = talks.iter().flatten().filter(|talk| talk.persona.way != Way::Chat);
        let told_at: Vec<String> = callers
            .filter(|talk| talk.customer.start().is_some())
            .map(|talk| talk.customer.told_at())
            .collect();
        let all_told = |texts: &Vec<TextMessage>| {
            told_at.iter().all(|number| texts.iter().any(|text| text.to == *number))
        };
        // Who was not told is a failure of theirs.
        let _ = outside.until(SENT_LIMIT, "/sim/sms", all_told).await;
        let texts = outside.now("/sim/sms").await?;
        let tx = history.tenant().await?;
        let filter = AppointmentFilter { status: Some("booked".into()), ..Default::default() };
        let book = store::appointments::page(&tx, &filter, None, BOOK_MAX).await?;
        Ok(Self { book, texts })
    }
}

/// One person's talk, judged.
struct Judged {
    way: Way,
    lasted: Duration,
    failure: Option<BookingFailure>,
}

fn judge(persona: &Persona, talk: anyhow::Result<Talk>, found: &Found, zone: &TimeZone) -> Judged {
    let (why, lasted, transcript) = match talk {
        Ok(talk) => (faults(&talk, found, zone), talk.lasted, told(&talk.transcript)),
        Err(error) => (vec![format!("{error:#}")], Duration::ZERO, String::new()),
    };
    let failure = (!why.is_empty()).then(|| BookingFailure { who: who(persona), why, transcript });
    Judged { way: persona.way, lasted, failure }
}

/// What is not as the person wanted it.
fn faults(talk: &Talk, found: &Found, zone: &TimeZone) -> Vec<String> {
    let mut faults = Vec::new();
    let persona = &talk.persona;
    let Some(start) = talk.customer.start() else {
        return vec!["agreed to nothing".to_owned()];
    };
    let is_own = |entry: &&BookEntry| entry.conversation == Some(*talk.conversation.as_uuid());
    let own: Vec<&BookEntry> = found.book.iter().filter(is_own).collect();
    let [entry] = own[..] else {
        return vec![format!("{} appointments stand", own.len())];
    };
    let booked = jiff::Timestamp::from_microsecond(entry.starts_at.as_micros());
    let booked = booked.map(|at| at.to_zoned(zone.clone()).datetime()).unwrap_or_default();
    if booked != start {
        faults.push(format!("is booked for {booked}, not {start}"));
    }
    let name = entry.name.as_ref().map_or("", Personal::reveal);
    if !name.eq_ignore_ascii_case(persona.name) {
        faults.push(format!("is booked as {name:?}"));
    }
    if entry.service != persona.service.name() {
        faults.push(format!("is booked for a {}", entry.service));
    }
    let written = start.strftime("%A, %B %-d at %-I:%M %p").to_string();
    let tells = |text: &str, moment: &str| {
        ["booked for", "moved to"].iter().any(|w| text.contains(&format!("{w} {moment}")))
    };
    let told_at = talk.customer.told_at();
    let times = match persona.way {
        Way::Chat => {
            let lines = talk.transcript.iter().filter(|(_, who, _)| *who == "agent");
            lines.filter(|(.., text)| tells(text, &spoken(start))).count()
        }
        Way::Stream | Way::Gather => {
            let own = found.texts.iter().filter(|text| text.to == told_at);
            own.filter(|text| tells(&text.body, &written)).count()
        }
    };
    if times != 1 {
        faults.push(format!("was told {times} times"));
    }
    faults
}

fn who(persona: &Persona) -> String {
    let wish = match persona.wish {
        Wish::At(at) => at.strftime("%a %b %-d %H:%M").to_string(),
        Wish::Within(day, part) => format!("{} {}", day.strftime("%a %b %-d"), part.name()),
        Wish::Any => "the first there is".to_owned(),
    };
    let mut traits: Vec<String> = persona.habits.iter().map(Habit::to_string).collect();
    traits.extend(persona.is_taken.then(|| "wants what is taken".to_owned()));
    traits.extend(persona.is_hidden.then(|| "hides the number".to_owned()));
    let service = persona.service.name();
    let Persona { number, way, name, .. } = persona;
    format!("#{number} {way}: {name}, {service}, {wish} [{}]", traits.join(", "))
}

fn told(transcript: &[(f64, &'static str, String)]) -> String {
    let line =
        |(at, who, text): &(f64, &'static str, String)| format!("{at:>8.1}  {who:<6}  {text}\n");
    transcript.iter().map(line).collect()
}

fn report(load: BookingLoad, judged: Vec<Judged>) -> BookingReport {
    let lasted = |of: &dyn Fn(Way) -> bool| {
        let mut all: Vec<f64> =
            judged.iter().filter(|j| of(j.way)).map(|j| j.lasted.as_secs_f64()).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let outcome = |way: Way| {
        let lasted = lasted(&|other| other == way);
        let succeeded = judged.iter().filter(|j| j.way == way && j.failure.is_none()).count();
        let share = |share| quantile(&lasted, share).unwrap_or_default();
        (!lasted.is_empty()).then(|| WayOutcome {
            way,
            people: lasted.len(),
            succeeded,
            lasted_s: [share(0.5), share(0.95), share(1.0)],
        })
    };
    let ways = [Way::Stream, Way::Gather, Way::Chat].into_iter().filter_map(outcome).collect();
    let call_median_s = quantile(&lasted(&|way| way != Way::Chat), 0.5);
    BookingReport {
        load,
        cores: std::thread::available_parallelism().map_or(1, Into::into),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        ways,
        call_median_s,
        failures: judged.into_iter().filter_map(|judged| judged.failure).collect(),
    }
}

/// The nearest rank of sorted values.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

impl fmt::Display for BookingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for BookingFailure { who, why, transcript } in &self.failures {
            writeln!(f, "{who}\n  {}\n{transcript}", why.join("; "))?;
        }
        let BookingLoad { callers, at_once, seed, .. } = self.load;
        writeln!(
            f,
            "{callers} people of seed {seed}, {at_once} at once; {} cores, {} build",
            self.cores, self.build
        )?;
        writeln!(f, "left with what they wanted: {} of {callers}", self.succeeded())?;
        writeln!(
            f,
            "\n{:<8} {:>7} {:>10} {:>9} {:>7} {:>7}",
            "way", "people", "succeeded", "p50, s", "p95", "max"
        )?;
        for WayOutcome { way, people, succeeded, lasted_s: [p50, p95, max] } in &self.ways {
            writeln!(f, "{way:<8} {people:>7} {succeeded:>10} {p50:>9.1} {p95:>7.1} {max:>7.1}")?;
        }
        if let Some(median) = self.call_median_s {
            writeln!(f, "median call: {median:.1} s")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_was_there() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 1.0), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
