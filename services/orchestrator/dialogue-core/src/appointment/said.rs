//! How days, times and choices are said.

use jiff::civil::{Date, DateTime, Time};

pub(super) fn day(day: Date) -> String {
    day.strftime("%A, %B %-d").to_string()
}

pub(super) fn clock(time: Time) -> String {
    let form = if time.minute() == 0 { "%-I %p" } else { "%-I:%M %p" };
    time.strftime(form).to_string()
}

/// "Tuesday, November 24 at 2 PM".
pub(crate) fn moment(at: DateTime) -> String {
    format!("{} at {}", day(at.date()), clock(at.time()))
}

/// Times to choose from; of one day the day is said once.
pub(super) fn choices(times: &[DateTime]) -> String {
    let Some(first) = times.first() else { return String::new() };
    if times.iter().all(|at| at.date() == first.date()) {
        let clocks: Vec<String> = times.iter().map(|at| clock(at.time())).collect();
        return format!("{} on {}", or(&clocks), day(first.date()));
    }
    or(&times.iter().map(|at| moment(*at)).collect::<Vec<_>>())
}

/// "a, b or c".
pub(super) fn or(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [before @ .., last] => format!("{} or {last}", before.join(", ")),
    }
}

/// An e-mail address, as it is heard or read.
pub(super) fn address(email: &str, spoken: bool) -> String {
    if spoken { email.replace('@', " at ").replace('.', " dot ") } else { email.to_owned() }
}

/// The end of a number, digit by digit, so that it can be heard.
pub(super) fn ending(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let last = digits[digits.len().saturating_sub(4)..].iter().map(char::to_string);
    last.collect::<Vec<_>>().join(" ")
}
