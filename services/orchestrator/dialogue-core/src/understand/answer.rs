//! Yes and no, in their many forms.

use super::lexis;

/// What the words say to a yes-or-no question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Agreement.
    Yes,
    /// Refusal or correction.
    No,
    /// Neither.
    Unclear,
}

use Answer::{No, Unclear, Yes};

/// Turns of phrase, the longer before the shorter they contain.
const PHRASES: [(&str, Answer); 116] = [
    ("no i'm good", No),
    ("no i'm fine", No),
    ("no i'm okay", No),
    ("nothing else", No),
    ("if you must", Yes),
    ("if you like", Yes),
    ("if you want", Yes),
    ("live with that", Yes),
    ("would say so", Yes),
    ("i'd say so", Yes),
    ("i'd say no", No),
    ("that's the ticket", Yes),
    ("another one", No),
    ("something else", No),
    ("no problem", Yes),
    ("not a problem", Yes),
    ("no worries", Yes),
    ("no objection", Yes),
    ("no doubt", Yes),
    ("why not", Yes),
    ("not bad", Yes),
    ("you bet", Yes),
    ("you got it", Yes),
    ("go ahead", Yes),
    ("go for it", Yes),
    ("of course not", No),
    ("of course", Yes),
    ("please don't", No),
    ("please do", Yes),
    ("by all means", Yes),
    ("let's do it", Yes),
    ("let's do that", Yes),
    ("do it", Yes),
    ("book it", Yes),
    ("that'll do", Yes),
    ("that will do", Yes),
    ("i guess not", No),
    ("i think not", No),
    ("i guess", Yes),
    ("guess so", Yes),
    ("i don't think so", No),
    ("think so", Yes),
    ("suppose so", Yes),
    ("hope so", Yes),
    ("afraid not", No),
    ("rather not", No),
    ("absolutely not", No),
    ("definitely not", No),
    ("certainly not", No),
    ("not really", No),
    ("not quite", No),
    ("not exactly", No),
    ("no way", No),
    ("never mind", No),
    ("forget it", No),
    ("uh uh", No),
    ("uh-uh", No),
    ("nuh uh", No),
    ("nuh-uh", No),
    ("mm mm", No),
    ("uh huh", Yes),
    ("uh-huh", Yes),
    ("mm hmm", Yes),
    ("mm-hmm", Yes),
    ("mmhmm", Yes),
    ("mhm", Yes),
    ("m-hm", Yes),
    ("i'd love to", Yes),
    ("i'd like that", Yes),
    ("i would like that", Yes),
    ("i would love to", Yes),
    ("sounds good", Yes),
    ("sounds great", Yes),
    ("sounds right", Yes),
    ("sounds fine", Yes),
    ("sounds perfect", Yes),
    ("it is not", No),
    ("it is", Yes),
    ("it was", Yes),
    ("i do not", No),
    ("i do", Yes),
    ("i am not sure", Unclear),
    ("i'm not sure", Unclear),
    ("not sure", Unclear),
    ("not certain", Unclear),
    ("no idea", Unclear),
    ("no clue", Unclear),
    ("don't know", Unclear),
    ("do not know", Unclear),
    ("not know", Unclear),
    ("can't decide", Unclear),
    ("don't mind", Yes),
    ("don't see why not", Yes),
    ("can't say no", Yes),
    ("yes and no", Unclear),
    ("yes or no", Unclear),
    ("let me think", Unclear),
    ("let me check", Unclear),
    ("let me see", Unclear),
    ("hold on", Unclear),
    ("hang on", Unclear),
    ("one moment", Unclear),
    ("one second", Unclear),
    ("just a second", Unclear),
    ("it depends", Unclear),
    ("that depends", Unclear),
    ("i might", Unclear),
    ("works for me", Yes),
    ("that works", Yes),
    ("spot on", Yes),
    ("all good", Yes),
    ("that's me", Yes),
    ("that's the one", Yes),
    ("that's it", Yes),
    ("make it", No),
    ("right now", Unclear),
];

const REFUSES: [&str; 22] = [
    "no",
    "nope",
    "nah",
    "naw",
    "wrong",
    "incorrect",
    "never",
    "negative",
    "change",
    "noo",
    "not",
    "don't",
    "isn't",
    "doesn't",
    "won't",
    "can't",
    "didn't",
    "wasn't",
    "aren't",
    "cannot",
    "cancel",
    "neither",
];

/// Of [`REFUSES`], those that turn what follows: "not right".
const NEGATES_FROM: usize = 10;

const AGREES: [&str; 44] = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "ya",
    "yah",
    "yea",
    "yas",
    "sure",
    "correct",
    "right",
    "exactly",
    "ok",
    "okay",
    "okey",
    "fine",
    "perfect",
    "absolutely",
    "definitely",
    "indeed",
    "affirmative",
    "certainly",
    "good",
    "great",
    "works",
    "aye",
    "true",
    "y",
    "totally",
    "precisely",
    "surely",
    "gladly",
    "alright",
    "agreed",
    "lovely",
    "yessir",
    "yeh",
    "confirmed",
    "confirm",
    "k",
    "wonderful",
    "excellent",
    "brilliant",
    "positive",
];

const HEDGES: [&str; 9] =
    ["maybe", "perhaps", "possibly", "probably", "dunno", "depends", "unsure", "what", "pardon"];

/// How many words a negation reaches.
const REACH: usize = 4;

/// What `text` says to a yes-or-no question; of several the last word counts ("no, wait, yes").
pub fn answer(text: &str) -> Answer {
    let words = lexis::words(text);
    let first = words.first().map_or("", String::as_str);
    let is_question = matches!(
        first,
        "what"
            | "when"
            | "where"
            | "who"
            | "how"
            | "which"
            | "is"
            | "are"
            | "could"
            | "can"
            | "do"
            | "does"
    ) || (text.trim_end().ends_with('?')
        && !matches!(first, "yes" | "yeah" | "no" | "sure" | "why" | "ok" | "okay"));
    if is_question {
        return if lexis::contains(&words, "change") { No } else { Unclear };
    }
    if matches!(first, "please") && words.len() == 1 {
        return Yes;
    }
    let mut said = Unclear;
    let mut negated_until = 0;
    let mut at = 0;
    while at < words.len() {
        let rest = &words[at..];
        if let Some((phrase, polarity)) =
            PHRASES.iter().find(|(p, _)| lexis::find(rest, p) == Some(0))
        {
            // "no, it is not" and "make it" turn nothing that was said clearly.
            if !(at < negated_until && *polarity == Yes) {
                said = *polarity;
            }
            at += phrase.split(' ').count();
            continue;
        }
        let word = words[at].as_str();
        if let Some(rank) = REFUSES.iter().position(|r| *r == word) {
            // "no, that's not wrong" is beyond what people say; "not wrong" is not.
            let is_double = at < negated_until && matches!(word, "wrong" | "incorrect");
            said = if is_double { Yes } else { No };
            if rank >= NEGATES_FROM {
                negated_until = at + REACH;
            }
        } else if HEDGES.contains(&word) && (word != "what" || at == 0) {
            said = Unclear;
        } else if AGREES.contains(&word) && at >= negated_until {
            said = Yes;
        }
        at += 1;
    }
    said
}
