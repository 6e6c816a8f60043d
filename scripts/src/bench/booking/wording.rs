//! How people say a day, a time and a number. No I/O: the dice decide.

use jiff::civil::{Date, DateTime};

use crate::split_mix::SplitMix;

const CARDINALS: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
];
const ORDINALS: [&str; 32] = [
    "",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
    "twenty-first",
    "twenty-second",
    "twenty-third",
    "twenty-fourth",
    "twenty-fifth",
    "twenty-sixth",
    "twenty-seventh",
    "twenty-eighth",
    "twenty-ninth",
    "thirtieth",
    "thirty-first",
];

/// A day as it is said on `today`.
pub(super) fn day(day: Date, today: Date, dice: &mut SplitMix) -> String {
    let ahead = (day - today).get_days();
    let (weekday, month) = (day.strftime("%A").to_string(), day.strftime("%B").to_string());
    let (number, word) = (ordinal(day.day()), ORDINALS[usize::from(day.day().unsigned_abs())]);
    let mut ways = vec![
        format!("{month} {}", day.day()),
        format!("{month} {number}"),
        format!("{month} {word}"),
        format!("the {number} of {month}"),
        format!("{weekday} the {number}"),
        format!("{weekday}, {month} {number}"),
    ];
    match ahead {
        1 => ways.extend(["tomorrow"; 4].map(str::to_owned)),
        2 => ways.push("the day after tomorrow".to_owned()),
        3 | 4 => ways.push(format!("in {} days", CARDINALS[ahead as usize])),
        8 => ways.push("a week from tomorrow".to_owned()),
        _ => {}
    }
    if ahead < 7 {
        ways.extend([weekday.clone(), weekday.clone(), format!("this coming {weekday}")]);
    }
    if ahead < 28 {
        ways.push(format!("the {number}"));
    }
    if is_of_next_week(day, today) {
        let next = format!("next {weekday}");
        ways.extend([next.clone(), next, format!("{weekday} next week")]);
    }
    let at = dice.below(ways.len() as u64) as usize;
    ways.swap_remove(at)
}

/// Weeks begin on Monday.
fn is_of_next_week(day: Date, today: Date) -> bool {
    let since_monday = i32::from(today.weekday().to_monday_zero_offset());
    (7..14).contains(&((day - today).get_days() + since_monday))
}

fn ordinal(day: i8) -> String {
    let suffix = match (day % 10, day / 10) {
        (1, 0 | 2 | 3) => "st",
        (2, 0 | 2) => "nd",
        (3, 0 | 2) => "rd",
        _ => "th",
    };
    format!("{day}{suffix}")
}

/// A time of day, of a full or half hour within nine to five.
pub(super) fn time(at: DateTime, dice: &mut SplitMix) -> String {
    let hour = CARDINALS[usize::from((at.hour().unsigned_abs() + 11) % 12 + 1)];
    let is_half = at.minute() == 30;
    let part = if at.hour() < 12 { "in the morning" } else { "in the afternoon" };
    let half_day = if at.hour() < 12 { "AM" } else { "PM" };
    let clock = at.strftime("%-I:%M").to_string();
    let mut ways = vec![
        format!("{clock} {half_day}"),
        format!("{clock} {}", half_day.to_lowercase()),
        clock,
        at.strftime("%H:%M").to_string(),
    ];
    if is_half {
        ways.extend([
            format!("half past {hour}"),
            format!("half past {hour} {part}"),
            format!("{hour} thirty"),
            format!("{hour} thirty {half_day}"),
        ]);
    } else {
        let digits = at.strftime("%-I");
        ways.extend([
            hour.to_owned(),
            format!("{digits} {half_day}"),
            format!("{digits}{}", half_day.to_lowercase()),
            format!("{digits} {}.m.", &half_day[..1].to_lowercase()),
            format!("{hour} {part}"),
            format!("{hour} o'clock"),
        ]);
        if at.hour() == 12 {
            ways.extend(["noon".to_owned(), "midday".to_owned()]);
        }
    }
    let way = dice.below(ways.len() as u64) as usize;
    ways.swap_remove(way)
}

/// A day and a time in one breath.
pub(super) fn moment(at: DateTime, today: Date, dice: &mut SplitMix) -> String {
    let (day, time) = (day(at.date(), today, dice), time(at, dice));
    match dice.below(4) {
        0 => {
            format!("{time} on {day}").replace("on tomorrow", "tomorrow").replace(" on in ", " in ")
        }
        1 => format!("{day}, {time}"),
        2 => format!("{day} around {time}"),
        _ => format!("{day} at {time}"),
    }
}

/// A number of ten digits, in words or digits.
pub(super) fn number(digits: &str, dice: &mut SplitMix) -> String {
    let parts: Vec<&str> =
        [0..3, 3..6, 6..10].into_iter().filter_map(|part| digits.get(part)).collect();
    match dice.below(4) {
        0 => parts.join("-"),
        1 => parts.join(" "),
        2 => parts.iter().map(|part| in_words(part, "zero")).collect::<Vec<_>>().join(", "),
        _ => parts.iter().map(|part| doubled(part)).collect::<Vec<_>>().join(", "),
    }
}

fn in_words(digits: &str, zero: &str) -> String {
    let word = |digit: char| match digit.to_digit(10) {
        Some(0) | None => zero,
        Some(digit) => CARDINALS[digit as usize],
    };
    digits.chars().map(word).collect::<Vec<_>>().join(" ")
}

/// "double five five".
fn doubled(digits: &str) -> String {
    let all: Vec<char> = digits.chars().collect();
    let mut said = Vec::new();
    let mut at = 0;
    while let Some(digit) = all.get(at) {
        let is_double = all.get(at + 1) == Some(digit);
        let word = in_words(&digit.to_string(), "oh");
        said.push(if is_double { format!("double {word}") } else { word });
        at += if is_double { 2 } else { 1 };
    }
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn ways(of: impl Fn(&mut SplitMix) -> String) -> Vec<String> {
        let mut all: Vec<String> = (0..400).map(|seed| of(&mut SplitMix(seed))).collect();
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn a_day_is_said_in_the_ways_that_mean_it() {
        // A Sunday.
        let today = date(2026, 11, 29);
        let monday = ways(|dice| day(date(2026, 11, 30), today, dice));
        assert!(monday.contains(&"tomorrow".to_owned()), "{monday:?}");
        assert!(monday.contains(&"next Monday".to_owned()), "{monday:?}");
        let later = ways(|dice| day(date(2026, 12, 8), today, dice));
        assert!(later.contains(&"December eighth".to_owned()), "{later:?}");
        let ambiguous = ["next Tuesday", "Tuesday", "tomorrow"].map(str::to_owned);
        assert!(ambiguous.iter().all(|way| !later.contains(way)), "{later:?}");
    }

    #[test]
    fn a_time_is_said_in_the_ways_that_mean_it() {
        let half = ways(|dice| time(date(2026, 12, 1).at(15, 30, 0, 0), dice));
        assert!(half.contains(&"half past three".to_owned()), "{half:?}");
        let noon = ways(|dice| time(date(2026, 12, 1).at(12, 0, 0, 0), dice));
        assert!(noon.contains(&"noon".to_owned()), "{noon:?}");
        assert!(noon.contains(&"twelve o'clock".to_owned()), "{noon:?}");
    }

    #[test]
    fn a_number_is_said_digit_by_digit() {
        let all = ways(|dice| number("4165550122", dice));
        for way in [
            "416-555-0122",
            "four one six, five five five, zero one two two",
            "four one six, double five five, oh one double two",
        ] {
            assert!(all.contains(&way.to_owned()), "{way}: {all:?}");
        }
    }
}
