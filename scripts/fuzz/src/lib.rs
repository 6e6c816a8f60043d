//! A fuzz target for each parser at the border: what comes from outside must never end a process, whatever it is. Outside are
//! the people, and the vendors: what they send, and what they answer.
//!
//! A target is a plain function of bytes. Two drivers feed it: `guided` is libFuzzer, which follows the coverage
//! (`scripts/fuzz/guided`); `fuzz` mutates the kept corpus on any toolchain (`scripts/test`, CI). The corpus beside this
//! crate is messages of the documents and of the golden files.

mod corpus;
mod input;
mod model_answers;
mod mutation;
mod speech_answers;
mod targets;

pub use corpus::{folder, read};
pub use mutation::Mutator;
pub use targets::{TARGETS, Target, digest};

/// The target of that name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
