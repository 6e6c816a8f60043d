//! Reads what a task tells on `/metrics`: Prometheus' text form.

use std::collections::BTreeMap;

/// One sample.
#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Sample {
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Every sample that can be read.
pub(super) fn samples(text: &str) -> Vec<Sample> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The labels up to the closing brace, and what stands behind it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let behind = loop {
            match characters.next()? {
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (at, '"') => break &quoted[at + 1..],
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_with_and_without_labels_are_read_and_rubbish_is_not() {
        let text =
            "# HELP a b\n# TYPE a counter\na{x=\"1\",y=\"q\\\"}, z\"} 2\n\nb 0.5\nc{x=\"un} 1\n";
        let read = samples(text);
        assert_eq!(read.len(), 2, "{read:?}");
        assert_eq!((read[0].label("x"), read[0].label("y"), read[0].value), ("1", "q\"}, z", 2.0));
        assert_eq!((read[1].name.as_str(), read[1].value), ("b", 0.5));
    }
}
