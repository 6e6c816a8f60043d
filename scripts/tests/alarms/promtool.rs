//! What the rules make of samples, by Prometheus' own tool.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// As long as it was before the first sample, minutes: longer than any rule looks back.
const BEFORE: usize = 20;
/// As long as it stays after the last, minutes: longer than any rule waits.
const AFTER: usize = 12;
/// How long a moment goes on, minutes: the first of them fill the rates.
const HOUR: usize = 75;

/// What every task told at one moment: each series, labels and all, with its value.
#[derive(Clone, Debug, Default)]
pub struct Sample(pub BTreeMap<String, f64>);

/// What happens when the samples are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// What came between the first and the last of them comes every minute.
    GoesOn,
    /// It stays as it was.
    Stays,
}

/// A fault, and what is to come of it.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub course: Course,
    /// In order, the first of them from before the fault.
    pub samples: Vec<Sample>,
    /// These alarms fire, and no others.
    pub fires: &'static [&'static str],
    /// But for these, which depend on what was under way.
    pub may_fire: &'static [&'static str],
}

impl Sample {
    /// The sum of the series of this name that have all of these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let is_meant = |series: &str| {
            let inside = series.strip_prefix(name).filter(|rest| rest.starts_with('{'));
            inside.is_some_and(|inside| labels.iter().all(|label| inside.contains(label.as_str())))
        };
        self.0.iter().filter(|(series, _)| is_meant(series)).map(|(_, value)| value).sum()
    }
}

impl Case {
    /// The series of the case, a value a minute.
    fn series(&self) -> Vec<Value> {
        let all: BTreeSet<&String> =
            self.samples.iter().flat_map(|sample| sample.0.keys()).collect();
        let values = |series: &String| match self.course {
            Course::Stays => self.staying(series),
            Course::GoesOn => self.going_on(series),
        };
        all.into_iter()
            .map(|series| json!({"series": series, "values": values(series).join(" ")}))
            .collect()
    }

    fn staying(&self, series: &str) -> Vec<String> {
        let (first, last) = (self.samples.first().unwrap(), self.samples.last().unwrap());
        let before = std::iter::repeat_n(first, BEFORE);
        let after = std::iter::repeat_n(last, AFTER);
        let mut was_told = false;
        let told = before.chain(&self.samples).chain(after).map(|sample| {
            let value = sample.0.get(series);
            let written = match value {
                Some(value) => value.to_string(),
                // As Prometheus notes a scrape that did not bring what the one before did.
                None if was_told => "stale".to_owned(),
                None => "_".to_owned(),
            };
            was_told = value.is_some();
            written
        });
        told.collect()
    }

    fn going_on(&self, series: &str) -> Vec<String> {
        let at = |sample: &Sample| sample.0.get(series).copied().unwrap_or_default();
        let (first, last) = (at(self.samples.first().unwrap()), at(self.samples.last().unwrap()));
        let a_minute = if is_counted(series) { (last - first).max(0.0) } else { 0.0 };
        (0..=HOUR).map(|minute| (last + a_minute * minute as f64).to_string()).collect()
    }

    fn minutes(&self) -> usize {
        match self.course {
            Course::Stays => BEFORE + self.samples.len() + AFTER,
            Course::GoesOn => HOUR,
        }
    }

    /// As promtool reads it.
    fn test(&self) -> Value {
        let minutes = self.minutes();
        let others = self.may_fire.join("|");
        let expr = format!(
            "group by (alertname) (count_over_time(ALERTS{{alertstate=\"firing\", alertname!~\"{others}\"}}[{minutes}m]))"
        );
        let fired =
            |name: &&str| json!({"labels": format!("{{alertname=\"{name}\"}}"), "value": 1});
        let fired: Vec<_> = self.fires.iter().map(fired).collect();
        json!({
            "name": self.name,
            "interval": "1m",
            "input_series": self.series(),
            "promql_expr_test": [
                {"expr": expr, "eval_time": format!("{}m", minutes - 1), "exp_samples": fired},
            ],
        })
    }
}

/// Whether a series counts, by the form of its name, which `telemetry.rs` checks.
fn is_counted(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end))
}

/// The folder of the rules.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/prometheus").canonicalize().unwrap()
}

/// The text of the rules.
pub fn rules() -> String {
    std::fs::read_to_string(folder().join("alarms.yml")).unwrap()
}

/// Every alarm there is.
pub fn alarms() -> BTreeSet<String> {
    let rules = rules();
    let alarms = rules.split("- alert: ").skip(1).filter_map(|alarm| alarm.lines().next());
    alarms.map(str::to_owned).collect()
}

/// In each case the alarms fire that should. What promtool was asked stays in `file`, where cargo keeps what tests write.
pub fn judge(file: &str, cases: &[Case]) {
    let tests: Vec<_> = cases.iter().map(Case::test).collect();
    let asked = json!({
        "rule_files": [folder().join("alarms.yml")],
        "evaluation_interval": "1m",
        "tests": tests,
    });
    // JSON is YAML.
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    std::fs::write(&file, asked.to_string()).unwrap();
    let answer = Command::new("promtool").args(["test", "rules"]).arg(&file).output().unwrap();
    assert!(
        answer.status.success(),
        "{}{}{}",
        file.display(),
        String::from_utf8_lossy(&answer.stdout),
        String::from_utf8_lossy(&answer.stderr)
    );
}

fn sample(values: &[(&str, f64)]) -> Sample {
    Sample(values.iter().map(|(series, value)| ((*series).to_owned(), *value)).collect())
}

#[test]
fn a_sample_lasts_and_what_is_told_no_more_is_stale() {
    let samples = vec![sample(&[("up{a=\"1\"}", 1.0)]), sample(&[("b_total{a=\"1\"}", 2.5)])];
    let case =
        |course| Case { name: "", course, samples: samples.clone(), fires: &[], may_fire: &[] };
    let stays = case(Course::Stays);
    let [counted, gone] = &stays.series()[..] else { panic!("{stays:?}") };
    let (before, after) = (BEFORE + 1, AFTER + 1);
    let expected = [vec!["_"; before], vec!["2.5"; after]].concat().join(" ");
    assert_eq!(counted, &json!({"series": "b_total{a=\"1\"}", "values": expected}));
    let expected = [vec!["1"; before], vec!["stale"], vec!["_"; after - 1]].concat().join(" ");
    assert_eq!(gone["values"], expected);
    let goes_on = case(Course::GoesOn).going_on("b_total{a=\"1\"}");
    assert_eq!(goes_on[..3], ["2.5", "5", "7.5"]);
}

#[test]
#[should_panic(expected = "TaskDown")]
fn an_alarm_that_should_not_fire_is_noticed() {
    let up = |value| sample(&[("up{instance=\"a\",job=\"switchboard\"}", value)]);
    let hangs = Case {
        name: "a task hangs",
        course: Course::Stays,
        samples: vec![up(1.0), up(0.0)],
        fires: &[],
        may_fire: &["ServiceGone"],
    };
    judge("not-expected.yml", &[hangs]);
}
