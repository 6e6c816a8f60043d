//! What was found once must never come back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[test]
fn every_kept_input_passes_its_target() {
    for target in fuzz::TARGETS {
        let corpus = fuzz::read(target.name).unwrap();
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        corpus.iter().for_each(|input| (target.run)(input));
    }
}
