//! What plain words mean, without a model (C7).
//!
//! English. Another language is another set of these files behind the same functions: each takes the
//! words as a recogniser writes them, with or without punctuation, and answers `None` where they do
//! not say it, never a guess. [`score`] measures them against a corpus.

mod answer;
mod email;
mod intent;
mod intent_words;
mod lexis;
mod name;
mod name_words;
mod phone;
mod score;
mod service;
mod when;

use domain::Personal;

pub use answer::{Answer, answer};
pub use email::email;
pub(crate) use intent::is_question;
pub use intent::{Intent, Wish, intent, slowly, wants_service, wish};
pub(crate) use lexis::{contains, words};
pub use name::name;
pub use phone::{caller_id, phone};
pub use score::{Case, Confusion, Score, score};
pub use service::service;
pub use when::{DayPart, Facts, Here, TimeOfDay, When, corrected, facts, when};

/// One thing a person was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Slot {
    /// When.
    When(When),
    /// Whom it is for.
    Name(Personal),
    /// E.164.
    Phone(Personal),
    /// An address, in lower case.
    Email(Personal),
}

/// `prior` after the person said `text` to it: "no, Wednesday", "actually make it three". What the
/// words do not mend stays.
pub fn correction(text: &str, prior: &Slot, here: &Here) -> Slot {
    let or_prior = |mended: Option<Slot>| mended.unwrap_or_else(|| prior.clone());
    match prior {
        Slot::When(when) => Slot::When(corrected(text, *when, here)),
        Slot::Name(known) => {
            let mended = format!("{} no {text}", known.reveal());
            or_prior(name(&mended, true).map(|n| Slot::Name(n.into())))
        }
        Slot::Phone(known) => {
            let mended = format!("{} no {text}", known.reveal());
            or_prior(phone(&mended, &here.region).map(|p| Slot::Phone(p.into())))
        }
        Slot::Email(_) => or_prior(email(text).map(|e| Slot::Email(e.into()))),
    }
}
