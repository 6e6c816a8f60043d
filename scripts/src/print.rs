//! What commands say: tables for people, JSON for programs.

use std::fmt;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use domain::Timestamp;
use serde_json::Value;

/// Whether a program reads what is said.
pub(crate) fn is_for_programs(json: bool) -> bool {
    json || !std::io::stdout().is_terminal()
}

/// Says `value` to a program.
pub(crate) fn json(value: &Value) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?)
}

/// Nobody reads any more what is said: it is no fault of the command, and there is nothing more to do.
#[derive(Debug)]
pub struct Unheard;

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of the output has gone")
    }
}

impl std::error::Error for Unheard {}

/// Says a line.
///
/// # Errors
/// [`Unheard`] when whoever read has gone away in the middle, as `head` does.
pub fn say(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Unheard.into()),
        said => Ok(said?),
    }
}

/// Says a line beside the answer. That nobody hears it stops nothing.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Rows under a header, each column as wide as its widest cell.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    // A name that came from outside moves no cursor.
    let plain = |cell: &String| cell.chars().filter(|c| !c.is_control()).collect::<String>();
    let all: Vec<[String; N]> = std::iter::once(header.map(str::to_owned))
        .chain(rows.iter().map(|row| row.each_ref().map(plain)))
        .collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let line = |row: &[String; N]| {
        let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// RFC 3339.
pub(crate) fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default().to_string()
}

/// How long ago, in the largest unit that fits.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> String {
    seconds(now.since(at).as_secs())
}

/// A time in the largest unit that fits.
pub(crate) fn seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them_and_hold_no_control_character() {
        let rows = [["a".to_owned(), "1".to_owned()], ["\u{1b}[31mlong".to_owned(), String::new()]];
        assert_eq!(table(["N", "C"], &rows), "N         C\na         1\n[31mlong");
    }
}
