//! What is understood of two corpora: one the rules were made by, one that was held out.

use dialogue_core::understand::{self, Case, Here, Score, Slot, When};
use jiff::civil::date;
use proptest::prelude::*;

/// The least share that has to be right.
const RIGHT_MIN: f64 = 0.95;

fn scored(corpus: &str) -> Score {
    let cases: Vec<Case> =
        corpus.lines().map(|line| serde_json::from_str(line).expect("a case")).collect();
    understand::score(&cases)
}

#[test]
fn the_corpora_are_understood() {
    let corpora = [include_str!("corpus/tuned.jsonl"), include_str!("corpus/held.jsonl")];
    for score in corpora.map(scored) {
        assert!(score.share() >= RIGHT_MIN, "{score}");
    }
}

fn everything(text: &str) {
    for region in ["US", "GB", "DE", "nowhere"] {
        let here = Here { region: region.into(), ..Here::nowhere() };
        let _ = understand::when(text, &here);
        let prior = When::At(date(2026, 3, 3).at(14, 0, 0, 0));
        for prior in [
            Slot::When(prior),
            Slot::Name("Anna Lee".into()),
            Slot::Phone("+14169671111".into()),
            Slot::Email("anna@example.com".into()),
        ] {
            let _ = understand::correction(text, &prior, &here);
        }
        let _ = understand::phone(text, region);
    }
    let _ = (understand::name(text, true), understand::name(text, false));
    let _ = (understand::email(text), understand::answer(text), understand::intent(text));
    let _ = understand::wish(text);
}

/// Words the rules know, in any order: deeper into them than letters at random come.
fn known_words() -> impl Strategy<Value = String> {
    let words = [
        "the",
        "next",
        "last",
        "monday",
        "week",
        "a",
        "from",
        "to",
        "half",
        "past",
        "quarter",
        "two",
        "twenty",
        "first",
        "31st",
        "february",
        "of",
        "month",
        "end",
        "no",
        "not",
        "at",
        "dot",
        "com",
        "double",
        "oh",
        "plus",
        "99",
        "0",
        "2:30",
        "am",
        "pm",
        "between",
        "and",
        "in",
        "hours",
        "later",
        "day",
        "after",
        "tomorrow",
        "my",
        "name",
        "is",
        "j",
        "as",
        "s",
        "with",
        "spelled",
        "extension",
        "hundred",
        "9999",
        "-",
        "3/4",
        "31/12/9999",
        "@",
        "fortnight",
        "years",
        "one",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..9).prop_map(|w| w.join(" "))
}

proptest! {
    #[test]
    fn no_words_panic(text in ".{0,60}") {
        everything(&text);
    }

    #[test]
    fn no_known_words_panic(text in known_words()) {
        everything(&text);
    }
}
