//! Whether what is read out, letter by letter or figure by figure, is whole.

use super::{
    back, begins_with, is_hesitation, is_one_of,
    phrases::{
        ADDRESSED, CODED, DATED, DIGITS, HOURS, MAIL_HOSTS, MONTHS, NAMED, ROOMS, SPELT, TEENS,
        TENS,
    },
};

/// Digits of a telephone number with its area code: fewer, one by one, are a number in the middle.
const NUMBER_DIGITS: usize = 10;
/// Digits of one that begins with a country code, as most have them.
const INTERNATIONAL_DIGITS: usize = 12;
/// Digits of a payment card, which are read out in fours.
const CARD_DIGITS: usize = 16;
const CARD_GROUP: usize = 4;
/// Digits that the numbers of most bank accounts have at least.
const ACCOUNT_DIGITS: usize = 8;

/// Letters and figures of a registration, and of most references.
const CODE_LENGTH: usize = 6;
/// Figures of a postcode that has no letters.
const POSTCODE_DIGITS: usize = 4;

/// Whether a number, a code, a name, an address or a date is being read out that is not whole yet.
pub(super) fn is_in_the_middle(text: &str, words: &[String]) -> bool {
    if let Some(is_whole) = is_whole_code(words) {
        return !is_whole;
    }
    is_number_in_the_middle(words)
        || (is_spelling(words) && !is_spelt_as_one(text))
        || is_mail_in_the_middle(text, words)
        || is_year_in_the_middle(words)
}

/// Whether the words end in digits, one by one or in groups, that are no whole number of a telephone or a card yet.
fn is_number_in_the_middle(words: &[String]) -> bool {
    let (mut digits, mut groups, mut fours, mut international) = (0, 0, true, false);
    let (mut first, mut second, mut before) = ("", "", "");
    for (place, word) in words.iter().enumerate().rev() {
        let word = word.as_str();
        let many = match word {
            "double" if place + 1 < words.len() => 1,
            "triple" if place + 1 < words.len() => 2,
            "hundred" if place > 0 => 2,
            "plus" | "+" => {
                international = true;
                0
            }
            _ if is_one_of(DIGITS, word) => 1,
            _ if is_one_of(TEENS, word) => 2,
            _ if is_one_of(TENS, word) && is_one_of(DIGITS, first) => 1,
            _ if is_one_of(TENS, word) => 2,
            _ => {
                let figures = word.strip_prefix('+').unwrap_or(word);
                if figures.is_empty() || !figures.bytes().all(|b| b.is_ascii_digit()) {
                    before = word;
                    break;
                }
                international |= figures.len() < word.len();
                figures.len()
            }
        };
        digits += many;
        // "Fifty five" is one group, and so is "eight hundred".
        let goes_on = word == "hundred" || (is_one_of(TENS, word) && is_one_of(DIGITS, first));
        groups += usize::from(many > 0 && !goes_on);
        fours &= many == CARD_GROUP;
        if many > 0 {
            (first, second) = (word, first);
        }
    }
    let said = |some: &str| words.iter().any(|word| word == some);
    let introduced = NAMED
        .iter()
        .any(|named| words.windows(named.split(' ').count()).any(|some| begins_with(some, named)));
    let announced = introduced || said("number") || said("digits");
    let minutes = is_one_of(TENS, second) || is_one_of(TEENS, second);
    let clock = groups == 2 && is_one_of(HOURS, first) && minutes && !announced;
    let year = digits == 4 && groups == 2 && matches!(first, "nineteen" | "twenty");
    // "At 10 30", "three thirty" and "November 28 2026" are whole, and so is a number on its own.
    let date_or_time =
        clock || ((is_one_of(DATED, before) || is_one_of(MONTHS, before) || year) && !introduced);
    // "Room three oh four", and "the last four digits are six one two three".
    let counted = words.windows(3).find_map(|some| {
        let of_digits = some[0] == "last" && matches!(some[2].as_str(), "digits" | "numbers");
        let count = DIGITS.iter().position(|digit| *digit == some[1]);
        of_digits.then_some(count?.checked_sub(2)?)
    });
    if let Some(count) = counted {
        return (1..count).contains(&digits);
    }
    if is_one_of(ROOMS, before) {
        return false;
    }
    let fewest = if introduced { 1 } else { 3 };
    let whole = match first.strip_prefix('+').unwrap_or(first) {
        _ if said("card") || (fours && groups > 2) => CARD_DIGITS,
        _ if said("account") => ACCOUNT_DIGITS,
        "1" | "one" => NUMBER_DIGITS + 1,
        first if first.starts_with(['0', '1']) && international => NUMBER_DIGITS + 1,
        _ if international => INTERNATIONAL_DIGITS,
        // French mobiles and Australian ones have a digit less than British numbers.
        first if matches!(first.as_bytes(), [b'0', b'4' | b'6', ..]) => NUMBER_DIGITS,
        "zero" | "oh" | "o" if matches!(second, "four" | "six") => NUMBER_DIGITS,
        first if first.starts_with('0') || matches!(first, "zero" | "oh" | "o") => {
            NUMBER_DIGITS + 1
        }
        _ => NUMBER_DIGITS,
    };
    (fewest..whole).contains(&digits) && !date_or_time && (groups >= 2 || (announced && digits < 9))
}

/// Whether the words end in letters, one by one.
fn is_spelling(words: &[String]) -> bool {
    let is_letter = |word: &str| word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    let letters = words.iter().rev().take_while(|word| is_letter(word)).count();
    let (last, before) = (back(words, 0), back(words, 1));
    if letters > 0 {
        let time_of_day = last == "m" && matches!(before, "a" | "p");
        let spelt = words[words.len() - letters..].concat();
        if letters > 2 && back(words, letters) == spelt {
            return false;
        }
        return match letters {
            // "Ten a m".
            2 if time_of_day => back(words, 2).is_empty(),
            1 => !matches!(last, "i" | "a") && (words.len() == 1 || is_one_of(SPELT, before)),
            _ => true,
        };
    }
    // "J as in John", "S for sugar".
    let stands_for = before == "for" && !matches!(back(words, 2), "a" | "i");
    (stands_for && is_letter(back(words, 2)))
        || (before == "in" && back(words, 2) == "as" && is_letter(back(words, 3)))
}

/// Whether an e-mail address has been begun and its end is missing: "my email is ada", "ada at gmail".
fn is_mail_in_the_middle(text: &str, words: &[String]) -> bool {
    if is_one_of(MAIL_HOSTS, back(words, 0)) && back(words, 1) == "at" {
        return true;
    }
    let begun = words.iter().rposition(|word| word == "is").filter(|place| {
        words[..*place].iter().any(|word| matches!(word.as_str(), "email" | "mail"))
    });
    let told = begun.map_or(&[][..], |place| &words[place + 1..]);
    let whole = text.contains('@') || told.iter().any(|word| word == "at" || word == "not");
    (1..=3).contains(&told.len()) && !whole
}

/// Whether the recogniser took the letters for one word that is over: "S-C-H-M-I-D-T."
fn is_spelt_as_one(text: &str) -> bool {
    let last = text.split_whitespace().next_back().unwrap_or_default();
    let word = last.strip_suffix('.').unwrap_or_default();
    word.contains('-') && word.split('-').all(|letter| letter.chars().count() == 1)
}

/// The letters and figures at the end of the words, as one.
fn read_out(words: &[String]) -> String {
    let place = |list: &[&str], word: &str| list.iter().position(|some| *some == word);
    let mut signs: Vec<String> = Vec::new();
    for word in words.iter().rev() {
        let is_code = word.chars().any(|c| c.is_ascii_digit()) && word.is_ascii();
        // Three of the digits are nought, by three names.
        let sign = if let Some(digit) = place(DIGITS, word) {
            digit.saturating_sub(2).to_string()
        } else if let Some(teen) = place(TEENS, word) {
            (10 + teen).to_string()
        } else if let Some(ten) = place(TENS, word) {
            // "Twenty two" has one figure for the twenty.
            let has_unit =
                signs.last().is_some_and(|sign| sign.parse::<u8>().is_ok_and(|unit| unit < 10));
            if has_unit { (ten + 2).to_string() } else { ((ten + 2) * 10).to_string() }
        } else if is_code || word.chars().count() == 1 {
            word.clone()
        } else {
            break;
        };
        signs.push(sign);
    }
    signs.reverse();
    signs.concat()
}

/// Whether the words end in a whole code, however its last letter may sound: "S W one A two A A".
pub(super) fn is_whole(words: &[String]) -> bool {
    is_postcode(&read_out(words))
}

/// Whether these are all letters and figures of a British postcode, such as "sw1a2aa".
fn is_postcode(signs: &str) -> bool {
    let Some((area, [b'0'..=b'9', b'a'..=b'z', b'a'..=b'z'])) =
        signs.as_bytes().split_last_chunk::<3>()
    else {
        return false;
    };
    let letters = area.iter().take_while(|sign| sign.is_ascii_alphabetic()).count();
    (1..=2).contains(&letters)
        && (letters + 1..=letters + 2).contains(&area.len())
        && area[letters].is_ascii_digit()
}

/// Whether the code that is being read out is whole: not "the postcode is SW1A", nor "my address is 42". Nothing where there
/// is none.
fn is_whole_code(words: &[String]) -> Option<bool> {
    let begins =
        |word: &String| matches!(word.as_str(), "is" | "at" | "number") || word.ends_with("'s");
    let begun = words.iter().rposition(begins)?;
    let named = |some: &[&str]| {
        words[..=begun].iter().any(|word| is_one_of(some, word.strip_suffix("'s").unwrap_or(word)))
    };
    let told: Vec<&String> =
        words[begun + 1..].iter().filter(|word| !is_hesitation(word)).collect();
    let is_read_out = |word: &&String| {
        word.chars().any(|c| c.is_ascii_digit())
            || word.chars().count() == 1
            || [DIGITS, TEENS, TENS].iter().any(|list| is_one_of(list, word))
    };
    if told.is_empty() || !told.iter().all(is_read_out) {
        return None;
    }
    let signs = read_out(words);
    let is_of_figures = signs.bytes().all(|sign| sign.is_ascii_digit());
    if named(ADDRESSED) {
        Some(false)
    } else if named(&["postcode", "zip"]) {
        Some(is_of_figures && signs.len() >= POSTCODE_DIGITS)
    } else {
        named(CODED).then_some(signs.len() >= CODE_LENGTH)
    }
}

/// Whether a year is missing, or all that was said of it is its century: "the twelfth of March nineteen".
fn is_year_in_the_middle(words: &[String]) -> bool {
    let (last, before, third) = (back(words, 0), back(words, 1), back(words, 2));
    let is_day = |word: &str| {
        ["st", "nd", "rd", "th"].iter().any(|end| word.ends_with(end)) || word == "second"
    };
    if is_one_of(MONTHS, last) || (is_day(last) && before == "the") {
        // "My date of birth is the fourth".
        return words.iter().any(|word| word == "birth" || (word == "born" && before == "on"));
    }
    matches!(last, "nineteen" | "twenty")
        && ((is_one_of(MONTHS, before) && third == "of")
            || (is_day(before) && is_one_of(MONTHS, third)))
}
