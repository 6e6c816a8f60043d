//! Whether a sentence may be over.

use super::{
    back, begins_with, ends_with, is_hesitation, is_one_of,
    phrases::{
        ADVERBS, ANTECEDENTS, AUXILIARIES, BEINGS, BRINGING, COMING_IN, CONDITIONS, CONJUNCTIONS,
        CONNECTORS, DETERMINERS, LED_ON, OFFERED, OPENINGS, PREPOSITIONS, PRONOUNS, SUBORDINATORS,
        TAGS, TOPICS, WEEKDAYS, YES,
    },
};

/// Words of an "if" that is added to what was said before: "if that's all right with you".
const AFTERTHOUGHT_WORDS: usize = 6;

/// Whether nobody ends a sentence with these words.
pub(super) fn is_in_the_middle(words: &[String]) -> bool {
    // "I think" opens a sentence, and closes "Tuesday, I think".
    let opens = |tag: &&&str| {
        let told = words.len().saturating_sub(tag.split(' ').count());
        ends_with(words, tag) && words[..told].iter().all(|word| is_filling(word))
    };
    (is_left_open(words) && !is_stranded(words))
        || OPENINGS
            .iter()
            .any(|opening| ends_with(words, opening) && !is_asked_after(words, opening))
        || TAGS.iter().find(opens).is_some()
        || is_bare_subject(words)
        || lacks_its_main_clause(words)
}

/// Whether the last word wants another.
fn is_left_open(words: &[String]) -> bool {
    let (last, before) = (back(words, 0), back(words, 1));
    match last {
        // "Because we would"; but "I know where it is".
        verb if is_one_of(PRONOUNS, before) && is_one_of(AUXILIARIES, verb) => {
            is_one_of(CONJUNCTIONS, back(words, 2)) || (words.len() == 2 && verb != "do")
        }
        "on" => !is_one_of(LED_ON, before),
        "so" => !matches!(before, "think" | "hope" | "guess" | "say" | "believe" | "said"),
        "well" => !matches!(before, "as" | "very" | "so" | "quite" | "pretty" | "feel"),
        "like" => !matches!(before, "you" | "look" | "looks" | "it" | "be" | "that"),
        "be" => {
            is_one_of(AUXILIARIES, &words[0]) && !words.iter().any(|word| is_question_word(word))
        }
        "getting" | "having" => !words.iter().any(|word| is_question_word(word)),
        "what" | "how" => {
            matches!(before, "out" | "wondering") || (before == "know" && back(words, 2) == "to")
        }
        "called" | "spelled" | "spelt" => {
            matches!(before, "is" | "it's" | "was" | "name's")
                && !words.iter().any(|word| is_question_word(word))
        }
        "name" | "surname" => words.iter().rev().skip(1).any(|word| word == "name"),
        "number" => {
            before == "at"
                || (back(words, 2) == "it's"
                    && !matches!(before, "the" | "my" | "this" | "that" | "a"))
        }
        // "I need to speak to my wife's".
        owner
            if owner.ends_with("'s")
                && matches!(before, "my" | "our" | "his" | "her" | "their" | "your") =>
        {
            true
        }
        "maybe" => is_one_of(CONJUNCTIONS, before) || matches!(before, "well" | "to"),
        "any" => !words.iter().any(|word| word.ends_with("n't") || word == "not"),
        "some" => !matches!(before, "have" | "like" | "want" | "need" | "take" | "get"),
        "actually" => words.len() == 1 || !is_one_of(YES, &words[0]),
        "while" => before != "a",
        "through" => is_one_of(WEEKDAYS, before),
        "doctor" => matches!(before, "see" | "with" | "for" | "by" | "is"),
        // "The problem is that", "is there any chance that"; but "who is that".
        "that" if before == "is" => is_one_of(TOPICS, back(words, 2)),
        "that" => matches!(before, "sure" | "chance" | "hoping" | "such" | "means"),
        // "Can I come in before"; but "I have been there before".
        "before" => {
            let is_wish = |word: &String| matches!(word.as_str(), "can" | "could" | "to" | "i'll");
            let is_past = |word: &String| {
                matches!(word.as_str(), "have" | "has" | "had" | "been" | "ever" | "never" | "did")
                    || word.ends_with("'ve")
                    || word.ends_with("n't")
            };
            words.iter().any(is_wish)
                && !words.iter().any(is_past)
                && matches!(before, "in" | "come" | "there" | "here" | "over" | "up" | "me" | "it")
        }
        // "I was in last week to see"; but "what do I have to get".
        "see" | "get" | "make" | "have" | "find" | "give" => {
            let is_object = |word: &String| is_question_word(word) || is_one_of(ANTECEDENTS, word);
            before == "to" && words.len() > 2 && !words.iter().any(is_object)
        }
        "which" | "when" | "where" | "who" => {
            words.len() > 2
                && !matches!(
                    before,
                    "know" | "me" | "since" | "and" | "remember" | "matter" | "mind" | "sure"
                )
        }
        word => is_one_of(CONNECTORS, word),
    }
}

/// Whether what the last word wants has been said before it: "what is it for", "the one I told you about", "I know she
/// already is", "can you turn it on".
fn is_stranded(words: &[String]) -> bool {
    let (last, before, third) = (back(words, 0), back(words, 1), back(words, 2));
    match last {
        "next" => return before == "after",
        "at" if before == "looked" => return true,
        "in" if is_one_of(DETERMINERS, third)
            && words.iter().any(|word| is_one_of(BRINGING, word)) =>
        {
            return true;
        }
        "in" if is_one_of(COMING_IN, before) || (before == "on" && third == "come") => return true,
        "on" if before == "it" && matches!(third, "turn" | "switch" | "put" | "try" | "keep") => {
            return true;
        }
        "like" => return words.iter().any(|word| word.starts_with("what") || word == "how"),
        being if is_one_of(BEINGS, being) => {
            // "Can you tell me where my order is"; but "what I need is".
            let is_told = words.iter().rposition(|word| is_question_word(word)).is_some_and(|at| {
                !words[..at].iter().all(|word| is_filling(word))
                    && words[at + 1..words.len() - 1].iter().any(|word| is_subject(word))
            });
            return is_told || (is_one_of(ADVERBS, before) && is_subject(third));
        }
        preposition if !is_one_of(PREPOSITIONS, preposition) => return false,
        _ => {}
    }
    // "What do you have on" is about to name a day, and "what can I do for" a person.
    let is_offer = is_one_of(OFFERED, before) && !matches!(last, "till" | "until");
    if is_offer || matches!(before, "do" | "happens" | "happened") {
        return false;
    }
    // "Who is my appointment with"; but "what's the price for".
    let asks_of_a_thing = is_one_of(DETERMINERS, third)
        && is_one_of(BEINGS, back(words, 3))
        && matches!(last, "with" | "on" | "at" | "from" | "under");
    if is_one_of(DETERMINERS, third) && !asks_of_a_thing {
        return false;
    }
    words.iter().rposition(|word| is_question_word(word)).is_some_and(|at| is_asked(words, at))
        || follows_its_antecedent(words)
}

/// Whether the question word at `at` is what the preposition at the end belongs to.
fn is_asked(words: &[String], at: usize) -> bool {
    let (last, before) = (back(words, 0), back(words, 1));
    let clause = &words[at + 1..words.len() - 1];
    let has_subject = |some: &[String]| some.iter().any(|word| is_subject(word) || word == "to");
    match words[at].as_str() {
        _ if clause.is_empty() => {
            words.len() == 2 && matches!(last, "for" | "with" | "to" | "from")
        }
        // "What time do you open on" names the day next.
        "what" | "which" if clause[0] == "time" => {
            matches!(last, "till" | "until" | "from" | "by")
                || before == "it"
                || is_one_of(BEINGS, before)
        }
        // "What's the number for"; but "what's the earliest you could fit me in for".
        what if what.starts_with("what") && (what != "what" || is_one_of(BEINGS, &clause[0])) => {
            let thing = &clause[usize::from(what == "what")..];
            let is_thing = thing.first().is_some_and(|word| is_one_of(DETERMINERS, word));
            !is_thing || thing.iter().any(|word| is_someone(word)) || thing.len() == 2
        }
        "what" | "which" => {
            !(last == "to" && matches!(before, "take" | "get")) && has_subject(clause)
        }
        // "Who deals with" has its subject, and wants an object.
        "who" | "who's" | "whom" => has_subject(&clause[..clause.len().min(2)]),
        "how" => match clause[0].as_str() {
            "long" | "many" => matches!(last, "for" | "with"),
            _ => matches!(last, "till" | "until"),
        },
        "where" | "where's" => matches!(last, "at" | "from" | "to"),
        _ => false,
    }
}

/// Whether a clause without a "that" stands with what it is about: "all I can think of", "a fee I should know about".
fn follows_its_antecedent(words: &[String]) -> bool {
    let is_told_of = |at: usize| {
        is_one_of(ANTECEDENTS, &words[at - 1])
            || (at > 1
                && is_one_of(DETERMINERS, &words[at - 2])
                && !is_one_of(PRONOUNS, &words[at - 1]))
    };
    (1..words.len()).any(|at| is_someone(&words[at]) && is_told_of(at))
        && !is_one_of(BEINGS, back(words, 1))
}

/// Whether a clause has got no further than who or what it is about: "I wanted to know if you", "can you make sure that
/// the room".
fn is_bare_subject(words: &[String]) -> bool {
    SUBORDINATORS.iter().any(|joint| {
        let len = joint.split(' ').count();
        let tail = (1..=2).filter_map(|tail| words.len().checked_sub(len + tail));
        tail.into_iter().any(|at| {
            begins_with(&words[at..], joint) && {
                match &words[at + len..] {
                    [one] => {
                        let pointed_at = matches!(one.as_str(), "it" | "that" | "this" | "there");
                        let anyone =
                            matches!(one.as_str(), "someone" | "somebody" | "anyone" | "anybody");
                        anyone || (is_one_of(PRONOUNS, one) && (*joint != "that" || !pointed_at))
                    }
                    [one, two] => {
                        is_one_of(DETERMINERS, one) && two != "other" && two != "latter"
                            || matches!(
                                (one.as_str(), two.as_str()),
                                ("you", "guys") | ("or", "not")
                            )
                    }
                    _ => false,
                }
            }
        })
    })
}

/// Whether the words open a sentence by one of its clauses and the other is missing: "if I come on Tuesday", "what I really
/// need", "the reason I'm calling", "the room we stayed in last summer".
fn lacks_its_main_clause(words: &[String]) -> bool {
    let from = words.iter().position(|word| !is_filling(word)).unwrap_or_default();
    let said = &words[from..];
    let condition = (0..=from).find_map(|at| {
        let joint = CONDITIONS.iter().find(|joint| begins_with(&words[at..], joint))?;
        Some(&words[at + joint.split(' ').count()..])
    });
    if let Some(condition) = condition {
        return condition.len() > 2
            && !is_afterthought(condition)
            && !has_main_clause(&condition[3..]);
    }
    match said.first().map(String::as_str) {
        Some("when" | "once") => from > 0 && said.len() > 3 && !has_main_clause(&said[4..]),
        Some("what" | "whoever" | "whatever") => {
            said.len() > 2
                && (is_someone(&said[1]) || said[1] == "the")
                && !said[2..].iter().any(|word| is_one_of(BEINGS, word) || word.ends_with("'s"))
        }
        Some("either") => !said.iter().any(|word| word == "or"),
        Some("the") if is_topic(said) => !has_main_verb(&said[1..]),
        Some(first) if is_one_of(DETERMINERS, first) && said.len() > 3 => {
            let is_told_of = said[2..4].iter().any(|word| match word.split('\'').next() {
                Some("who") => true,
                // "My wife she needs an appointment" is a sentence.
                Some("he" | "she") => first == "the",
                _ => is_someone(word),
            });
            is_told_of && !has_main_verb(&said[3..]) && !is_stranded(words)
        }
        _ => false,
    }
}

/// "The reason I'm calling", "the only problem".
fn is_topic(words: &[String]) -> bool {
    let plain = ["first", "main", "only", "other", "last", "real", "biggest", "whole"];
    let mut rest = words[1..].iter().skip_while(|word| is_one_of(&plain, word));
    rest.next().is_some_and(|word| is_one_of(TOPICS, word))
}

/// What is added to what was said before: "if that's all right with you", "if you could".
fn is_afterthought(condition: &[String]) -> bool {
    condition.len() < AFTERTHOUGHT_WORDS
        && (matches!(
            condition[0].as_str(),
            "that's" | "it's" | "that" | "it" | "not" | "so" | "possible" | "anything"
        ) || matches!(
            back(condition, 0),
            "mind" | "like" | "want" | "can" | "could" | "may" | "possible" | "okay" | "wish"
        ))
}

/// Whether another clause follows its condition.
fn has_main_clause(rest: &[String]) -> bool {
    rest.iter().any(|word| {
        is_one_of(AUXILIARIES, word)
            || is_question_word(word)
            || ["'ll", "'d", "'s"].iter().any(|short| word.ends_with(short))
            || matches!(word.as_str(), "please" | "let" | "just" | "may" | "don't" | "won't")
    })
}

/// Whether something is said of what the sentence began with.
fn has_main_verb(rest: &[String]) -> bool {
    rest.iter()
        .any(|word| is_one_of(AUXILIARIES, word) || word.ends_with("'s") || word.ends_with("n't"))
}

/// "How are you", "where are you", "what do you have": the same words open another sentence.
fn is_asked_after(words: &[String], opening: &str) -> bool {
    let asked = words.len().checked_sub(opening.split(' ').count() + 1);
    matches!(opening, "are you" | "do you have")
        && asked.is_some_and(|at| is_question_word(&words[at]))
}

/// Said before a sentence begins.
fn is_filling(word: &str) -> bool {
    is_hesitation(word)
        || is_one_of(CONJUNCTIONS, word)
        || is_one_of(YES, word)
        || matches!(word, "well" | "oh")
}

fn is_question_word(word: &str) -> bool {
    let word = word.split('\'').next().unwrap_or_default();
    matches!(word, "what" | "which" | "who" | "whom" | "where" | "whereabouts" | "how" | "why")
}

/// "They", "we'd".
fn is_someone(word: &str) -> bool {
    let subject = word.split('\'').next().unwrap_or_default();
    is_one_of(&["i", "we", "you", "he", "she", "they"], subject)
}

/// What a verb can be about, or its article.
fn is_subject(word: &str) -> bool {
    let subject = word.split('\'').next().unwrap_or_default();
    is_one_of(PRONOUNS, subject) || is_one_of(DETERMINERS, word) || word == "this"
}
