//! Numbers out of what was said off the record.

/// What stands for each character that is masked.
const MASK: char = '•';

/// English words in which a number is read out. Some mean other things as well; masking those too is
/// the lesser harm in a stretch in which somebody was asked for a number.
const NUMBER_WORDS: &[&str] = &[
    "zero",
    "oh",
    "nought",
    "nil",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
    "hundred",
    "thousand",
    "double",
    "triple",
];

/// `text` with each digit, of any script, and each letter of a number word masked. Its characters
/// are as many as before, so that places in it stay where they were.
pub(crate) fn numbers(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut word = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_alphabetic() {
            word.push(character);
            continue;
        }
        if NUMBER_WORDS.contains(&word.to_lowercase().as_str()) {
            masked.extend(word.chars().map(|_| MASK));
        } else {
            masked.push_str(&word);
        }
        word.clear();
        masked.push(if character.is_numeric() { MASK } else { character });
    }
    masked.pop();
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_masked_however_it_is_written_and_the_rest_is_kept() {
        assert_eq!(numbers("My card is 4111-1111, thanks."), "My card is ••••-••••, thanks.");
        assert_eq!(numbers("Double four, twenty-one. OK"), "•••••• ••••, ••••••-•••. OK");
        assert_eq!(numbers("٤١ and ten"), "•• and •••");
        assert_eq!(numbers("Someone was often alone"), "Someone was often alone");
        assert_eq!(numbers(""), "");
    }
}
