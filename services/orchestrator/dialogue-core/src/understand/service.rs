//! Which of the services a business has the words name.

use super::lexis::words;

/// The service of `services` that is named; of several the one named last, for that mends the others.
pub fn service<'a>(text: &str, services: &'a [String]) -> Option<&'a str> {
    let said = pieces(text);
    let named = services.iter().filter_map(|name| {
        let name_pieces = pieces(name);
        let end = ends(&said, &name_pieces).max(ends(&said, &[name_pieces.concat()]))?;
        Some((end, name_pieces.len(), name))
    });
    // "deep cleaning" says more than "cleaning".
    named.max_by_key(|(end, length, _)| (*end, *length)).map(|(.., name)| name.as_str())
}

/// Words, those with a hyphen in their parts: "check-up" is said and written in three ways.
fn pieces(text: &str) -> Vec<String> {
    words(text).iter().flat_map(|word| word.split('-')).map(str::to_owned).collect()
}

/// Where a name ends for the last time among what was said.
fn ends(said: &[String], name: &[String]) -> Option<usize> {
    if name.is_empty() {
        return None;
    }
    let at = said.windows(name.len()).rposition(|w| w.iter().zip(name).all(|(a, b)| is_same(a, b)));
    at.map(|at| at + name.len())
}

/// "cleanings" and "cleaned" for "cleaning".
fn is_same(said: &str, name: &str) -> bool {
    let stem = name.strip_suffix("ing").filter(|stem| stem.len() >= 4);
    said == name
        || said.strip_suffix('s') == Some(name)
        || stem.is_some_and(|stem| said.strip_suffix("ed") == Some(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_its_name() {
        let services = ["check-up", "cleaning", "deep cleaning", "root canal"].map(str::to_owned);
        for (text, wanted) in [
            ("I need a checkup", Some("check-up")),
            ("for a check up please", Some("check-up")),
            ("can I get my teeth cleaned", Some("cleaning")),
            ("two cleanings", Some("cleaning")),
            ("a deep cleaning", Some("deep cleaning")),
            ("not a cleaning, a root canal", Some("root canal")),
            ("Root Canal.", Some("root canal")),
            ("I want to see the dentist", None),
            ("", None),
        ] {
            assert_eq!(service(text, &services), wanted, "{text}");
        }
        assert_eq!(service("a cleaning", &[]), None);
        assert_eq!(service("a cleaning", &[String::new()]), None);
    }
}
