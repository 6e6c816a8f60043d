//! What is said about telemetry is true: the table of metrics, the alarms and their runbooks, the board.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Of Prometheus itself.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];
const KEYWORDS: [&str; 10] =
    ["and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset", "le"];

#[derive(Debug, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Every source file of the services and of what they share.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The metrics the code tells, by name.
fn told() -> BTreeMap<String, Metric> {
    let mut files = Vec::new();
    for folder in ["services", "shared"] {
        sources(&root().join(folder), &mut files);
    }
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        for call in source.split("metrics::").skip(1) {
            let Some((kind, rest)) = call.split_once("!(") else { continue };
            if !["counter", "gauge", "histogram"].contains(&kind) {
                continue;
            }
            let arguments = &rest[..closing(rest)];
            let name = arguments.trim_start().strip_prefix('"').and_then(|a| a.split_once('"'));
            let (name, labels) =
                name.unwrap_or_else(|| panic!("{}: a name that is no literal", file.display()));
            // What follows the last arrow is a value.
            let (before, _) = labels.rsplit_once("=>").unwrap_or_default();
            let labels = before.split("=>").map(|part| part.trim_end()).filter_map(|part| {
                let quoted = part.strip_suffix('"')?;
                quoted.rsplit_once('"').map(|(_, label)| label.to_owned())
            });
            let metric = metrics
                .entry(name.to_owned())
                .or_insert_with(|| Metric { kind: kind.to_owned(), labels: BTreeSet::new() });
            assert_eq!(metric.kind, kind, "{name} is of two kinds");
            metric.labels.extend(labels);
        }
    }
    metrics
}

/// Where the parenthesis that was opened before `text` is closed.
fn closing(text: &str) -> usize {
    let mut depth = 1;
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

#[test]
fn the_table_of_metrics_is_what_the_code_tells() {
    let mut table = BTreeMap::new();
    for row in text("infra/metrics.md").lines().filter_map(|line| line.strip_prefix("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [name, kind, labels, what, ..] = &cells[..] else { panic!("{row}") };
        assert!(!what.is_empty(), "{name}: say what it is");
        let labels = labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned);
        let metric = Metric { kind: (*kind).to_owned(), labels: labels.collect() };
        table.insert(name.trim_end_matches('`').to_owned(), metric);
    }
    let told = told();
    assert!(told.len() > 50, "{}", told.len());
    for (name, metric) in &told {
        assert_eq!(table.get(name), Some(metric), "infra/metrics.md is wrong about {name}");
    }
    let untold: Vec<_> = table.keys().filter(|name| !told.contains_key(*name)).collect();
    assert!(untold.is_empty(), "infra/metrics.md has what nobody tells: {untold:?}");
}

#[test]
fn every_name_is_in_prometheus_form_and_says_its_unit() {
    for (name, metric) in told() {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        assert!(name.bytes().all(plain), "{name}");
        assert_eq!(metric.kind == "counter", name.ends_with("_total"), "{name}");
        let measured = ["_seconds", "_events", "_bytes"].iter().any(|unit| name.ends_with(unit));
        assert!(metric.kind != "histogram" || measured, "{name} has no unit");
    }
}

/// The names of metrics in a query.
fn metrics_of(query: &str) -> BTreeSet<String> {
    // Labels and texts are no metrics.
    let mut bare = String::new();
    let mut rest = query;
    while let Some((before, behind)) = rest.split_once('{') {
        bare.push_str(before);
        bare.push(' ');
        rest = behind.split_once('}').unwrap().1;
    }
    bare.push_str(rest);
    for grouping in [" by (", " without (", "by(", "on (", "ignoring ("] {
        while let Some(at) = bare.find(grouping) {
            let from = at + grouping.len();
            let to = from + bare[from..].find(')').unwrap();
            bare.replace_range(at..=to, " ");
        }
    }
    let mut names = BTreeSet::new();
    let mut word = String::new();
    for character in bare.chars().chain([' ']) {
        if character.is_ascii_alphanumeric() || character == '_' || character == '$' {
            word.push(character);
            continue;
        }
        let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic());
        if is_name && character != '(' && !KEYWORDS.contains(&word.as_str()) {
            names.insert(word.clone());
        }
        word.clear();
    }
    // A function with a blank before its parenthesis.
    names.retain(|name| {
        !["sum", "max", "min", "count", "increase", "rate"].contains(&name.as_str())
    });
    names
}

fn assert_exist(query: &str, told: &BTreeMap<String, Metric>) {
    let names = metrics_of(query);
    assert!(!names.is_empty(), "{query}");
    for name in names {
        let base = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|end| name.strip_suffix(end).filter(|base| told.contains_key(*base)));
        let exists = match base {
            Some(base) => told[base].kind == "histogram",
            None => told.contains_key(&name) || OF_PROMETHEUS.contains(&name.as_str()),
        };
        assert!(exists, "nobody tells {name}: {query}");
    }
}

/// What a query asks of the labels of a metric.
#[derive(Debug, PartialEq, Eq)]
struct Matcher {
    metric: String,
    label: String,
    /// A text, or the alternatives of a pattern.
    values: Vec<String>,
}

/// The matchers of a query. No value of ours has a comma, a brace or a quote in it.
fn matchers_of(query: &str) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    for part in query.split('}') {
        let Some((before, inside)) = part.split_once('{') else { continue };
        let metric = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
        for matcher in inside.split(',').filter(|matcher| !matcher.trim().is_empty()) {
            let (label, value) = matcher.split_once(['=', '!']).unwrap();
            let is_pattern = value.starts_with('~');
            let text = value.trim_start_matches(['=', '~']).trim().trim_matches('"');
            let values = match is_pattern {
                true => text.split('|').map(str::to_owned).collect(),
                false => vec![text.to_owned()],
            };
            let (metric, label) = (metric.unwrap().to_owned(), label.trim().to_owned());
            matchers.push(Matcher { metric, label, values });
        }
    }
    matchers
}

/// The labels by which a query groups.
fn groupings_of(query: &str) -> BTreeSet<&str> {
    let lists = query.split(" by (").skip(1).filter_map(|rest| rest.split_once(')'));
    lists.flat_map(|(list, _)| list.split(',').map(str::trim)).collect()
}

/// The labels of a metric as Prometheus has them: the code's own, that of the service, and those of the scrape.
fn labels_of(name: &str, told: &BTreeMap<String, Metric>) -> BTreeSet<String> {
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
    let metric = told.get(name).or_else(|| told.get(base?));
    let own = metric.into_iter().flat_map(|metric| metric.labels.iter().cloned());
    let service = metric.map(|_| "service");
    let bucket = name.ends_with("_bucket").then_some("le");
    let scraped = ["job", "instance"].into_iter().chain(service).chain(bucket);
    own.chain(scraped.map(str::to_owned)).collect()
}

/// Every label that a query names is one its metrics have, and every value of it one that the code may give it.
fn assert_labels_exist(query: &str, told: &BTreeMap<String, Metric>, code: &str) {
    for name in metrics_of(query) {
        for label in groupings_of(query) {
            assert!(labels_of(&name, told).contains(label), "{name} has no {label}: {query}");
        }
    }
    // Prometheus gives its own alarms their labels.
    for Matcher { metric, label, values } in
        matchers_of(query).into_iter().filter(|matcher| matcher.metric != "ALERTS")
    {
        assert!(labels_of(&metric, told).contains(&label), "{metric} has no {label}: {query}");
        for value in values.iter().filter(|value| !value.is_empty() && !value.contains('.')) {
            let is_given = match label.as_str() {
                "job" => text("infra/prometheus/prometheus.yml")
                    .contains(&format!("job_name: {value}\n")),
                _ => code.contains(&format!("\"{value}\"")),
            };
            assert!(is_given, "nobody gives {label} of {metric} the value {value:?}: {query}");
        }
    }
}

/// All there is of code in the services and in what they share.
fn code() -> String {
    let mut files = Vec::new();
    for folder in ["services", "shared"] {
        sources(&root().join(folder), &mut files);
    }
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn every_alarm_asks_for_what_exists_and_has_a_runbook_and_a_test() {
    let (rules, tests) =
        (text("infra/prometheus/alarms.yml"), text("infra/prometheus/alarms_test.yml"));
    let (told, code) = (told(), code());
    let alarms: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alarms.len() >= 10, "{}", alarms.len());
    let mut runbooks = BTreeSet::new();
    for alarm in alarms {
        let name = alarm.lines().next().unwrap();
        let from = alarm.find("expr:").unwrap();
        let to = ["        for:", "        labels:"].iter().filter_map(|end| alarm.find(end)).min();
        let query = alarm[from + "expr:".len()..to.unwrap()].replace(">-", "");
        assert_exist(&query, &told);
        assert_labels_exist(&query, &told, &code);
        let runbook = alarm.split("runbook: ").nth(1).unwrap().lines().next().unwrap();
        assert!(root().join(runbook).is_file(), "{name}: {runbook} is missing");
        runbooks.insert(runbook.to_owned());
        assert!(tests.contains(&format!("- name: {name}\n")), "{name} fires in no test");
        assert!(
            tests.contains(&format!("alertname: {name}, exp_alerts: []")),
            "{name} may be loud in a quiet hour"
        );
    }
    for file in std::fs::read_dir(root().join("infra/runbooks")).unwrap() {
        let path = format!("infra/runbooks/{}", file.unwrap().file_name().to_string_lossy());
        assert!(runbooks.contains(&path), "no alarm leads to {path}");
    }
}

#[test]
fn every_query_of_the_board_asks_for_what_exists() {
    let board: Value = serde_json::from_str(&text("infra/grafana/switchboard.json")).unwrap();
    let (told, code) = (told(), code());
    let mut queries = 0;
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            assert_exist(query, &told);
            assert_labels_exist(query, &told, &code);
            queries += 1;
        }
    }
    assert!(queries > 30, "{queries}");
}

#[test]
fn the_names_in_a_query_are_found() {
    let query = r#"histogram_quantile(0.95, sum by (service, le) (rate(a_bucket{x!="{y"}[5m]))) > 0.5 and b / c_total"#;
    // The brace within a text is no end of the selector: none of ours has one.
    let plain = query.replace("{y", "y");
    let names: Vec<_> = metrics_of(&plain).into_iter().collect();
    assert_eq!(names, ["a_bucket", "b", "c_total"]);
}

#[test]
fn the_labels_in_a_query_are_found() {
    let query =
        r#"sum by (x, le) (rate(a_bucket{y!="1", z=~"2|3.."}[5m])) / sum(b{w!~"|4"}) > c{v="5"}"#;
    assert_eq!(groupings_of(query).into_iter().collect::<Vec<_>>(), ["le", "x"]);
    let found: Vec<_> = matchers_of(query)
        .into_iter()
        .map(|m| (m.metric, m.label, m.values.join(" ")))
        .map(|(metric, label, values)| format!("{metric} {label} {values}"))
        .collect();
    assert_eq!(found, ["a_bucket y 1", "a_bucket z 2 3..", "b w  4", "c v 5"]);
}

#[test]
#[should_panic(expected = "a_bucket has no queue")]
fn a_label_that_no_metric_has_is_found() {
    let labels = ["x".to_owned()].into();
    let told = [("a".to_owned(), Metric { kind: "histogram".to_owned(), labels })].into();
    assert_labels_exist("sum by (service, x, le) (rate(a_bucket{x=\"1\"}[5m]))", &told, "\"1\"");
    assert_labels_exist("sum by (queue) (rate(a_bucket[5m]))", &told, "");
}

#[test]
#[should_panic(expected = "nobody gives x of a the value \"2\"")]
fn a_value_that_no_code_gives_is_found() {
    let labels = ["x".to_owned()].into();
    let told = [("a".to_owned(), Metric { kind: "gauge".to_owned(), labels })].into();
    assert_labels_exist("a{x=\"2\"} > 0", &told, "\"1\"");
}
