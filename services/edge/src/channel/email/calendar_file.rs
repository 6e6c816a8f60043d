//! An appointment as calendars take it in (RFC 5545), as an invitation or its withdrawal (RFC 5546).

use domain::{CalendarEntry, Timestamp};
use jiff::{
    Timestamp as Instant, Zoned,
    tz::{Offset, TimeZone},
};

/// A line is no longer, octets (RFC 5545, 3.1).
const LONGEST_LINE: usize = 75;

/// Whose appointment it is.
pub(super) struct Parties<'a> {
    /// The business's name.
    pub(super) business: &'a str,
    /// Its e-mail address.
    pub(super) from: &'a str,
    /// The person's.
    pub(super) to: &'a str,
}

/// What becomes of an entry.
pub(super) const fn method(entry: &CalendarEntry) -> &'static str {
    if entry.is_cancelled { "CANCEL" } else { "REQUEST" }
}

/// The file, made at `now`.
pub(super) fn render(entry: &CalendarEntry, parties: &Parties<'_>, now: Timestamp) -> String {
    let zone = TimeZone::get(&entry.timezone).ok().filter(|_| entry.timezone != "UTC");
    let (start, end) = (instant(entry.starts_at), instant(entry.ends_at));
    let mut lines: Vec<String> = ["BEGIN:VCALENDAR", "VERSION:2.0"].map(str::to_owned).to_vec();
    lines.push("PRODID:-//Switchboard//Front desk//EN".to_owned());
    lines.push("CALSCALE:GREGORIAN".to_owned());
    lines.push(format!("METHOD:{}", method(entry)));
    let moment = |name: &str, at: Instant| match &zone {
        Some(zone) => {
            let local = at.to_zoned(zone.clone()).strftime("%Y%m%dT%H%M%S").to_string();
            format!("{name};TZID={}:{local}", entry.timezone)
        }
        None => format!("{name}:{}", utc(at)),
    };
    if let Some(zone) = &zone {
        lines.extend(zone_lines(zone, &entry.timezone, start, end));
    }
    let domain = parties.from.rsplit('@').next().unwrap_or_default();
    let status = if entry.is_cancelled { "CANCELLED" } else { "CONFIRMED" };
    // A parameter in quotes holds no quote.
    let business: String =
        parties.business.chars().filter(|c| *c != '"' && !c.is_control()).collect();
    lines.extend([
        "BEGIN:VEVENT".to_owned(),
        format!("UID:{}@{domain}", entry.id),
        format!("SEQUENCE:{}", entry.sequence),
        format!("DTSTAMP:{}", utc(instant(now))),
        moment("DTSTART", start),
        moment("DTEND", end),
        format!("SUMMARY:{}", escaped(entry.summary.reveal())),
        format!("STATUS:{status}"),
        "TRANSP:OPAQUE".to_owned(),
        format!("ORGANIZER;CN=\"{business}\":mailto:{}", parties.from),
        format!("ATTENDEE;PARTSTAT=ACCEPTED;RSVP=FALSE:mailto:{}", parties.to),
        "END:VEVENT".to_owned(),
        "END:VCALENDAR".to_owned(),
    ]);
    lines.iter().map(|line| folded(line)).collect()
}

/// The time zone as it is in force from `start` to `end`. One appointment needs no more of it.
fn zone_lines(zone: &TimeZone, name: &str, start: Instant, end: Instant) -> Vec<String> {
    let mut lines = vec!["BEGIN:VTIMEZONE".to_owned(), format!("TZID:{name}")];
    let mut observances = Vec::new();
    if let Some(before) = zone.preceding(start + jiff::SignedDuration::from_nanos(1)).next() {
        observances.push(before.timestamp());
    }
    observances.extend(zone.following(start).map(|t| t.timestamp()).take_while(|at| *at < end));
    if observances.is_empty() {
        // A zone that never changed.
        observances.push(Instant::UNIX_EPOCH);
    }
    for at in observances {
        let info = zone.to_offset_info(at);
        let just_before = at - jiff::SignedDuration::from_secs(1);
        let from = zone.to_offset(just_before);
        let kind = if info.dst().is_dst() { "DAYLIGHT" } else { "STANDARD" };
        let begins = from.to_datetime(at).strftime("%Y%m%dT%H%M%S").to_string();
        lines.extend([
            format!("BEGIN:{kind}"),
            format!("DTSTART:{begins}"),
            format!("TZOFFSETFROM:{}", offset(from)),
            format!("TZOFFSETTO:{}", offset(info.offset())),
            format!("TZNAME:{}", info.abbreviation()),
            format!("END:{kind}"),
        ]);
    }
    lines.push("END:VTIMEZONE".to_owned());
    lines
}

/// `-0500`; seconds only where there are some.
fn offset(offset: Offset) -> String {
    let (sign, seconds) = match offset.seconds() {
        seconds if seconds < 0 => ('-', -seconds),
        seconds => ('+', seconds),
    };
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match rest {
        0 => format!("{sign}{hours:02}{minutes:02}"),
        rest => format!("{sign}{hours:02}{minutes:02}{rest:02}"),
    }
}

fn instant(at: Timestamp) -> Instant {
    Instant::from_microsecond(at.as_micros()).unwrap_or_default()
}

fn utc(at: Instant) -> String {
    let at: Zoned = at.to_zoned(TimeZone::UTC);
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A value of the type TEXT (RFC 5545, 3.3.11).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// A line with its end; a long one in pieces, the next of which begin with a blank. No character is cut.
fn folded(line: &str) -> String {
    let mut folded = String::new();
    let mut length = 0;
    for c in line.chars() {
        if length + c.len_utf8() > LONGEST_LINE {
            folded.push_str("\r\n ");
            length = 1;
        }
        folded.push(c);
        length += c.len_utf8();
    }
    folded.push_str("\r\n");
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<Instant>().unwrap().as_microsecond())
    }

    fn entry(timezone: &str, start: &str, end: &str) -> CalendarEntry {
        CalendarEntry {
            id: "018f6b1e-7c1a-7000-8000-000000000001".into(),
            sequence: 2,
            is_cancelled: false,
            starts_at: at(start),
            ends_at: at(end),
            timezone: timezone.into(),
            summary: "Cleaning; with Dr. Lee, Maple Dental".into(),
        }
    }

    const PARTIES: Parties<'static> =
        Parties { business: "Maple \"Dental\"", from: "desk@maple.example", to: "ana@example.com" };

    fn unfolded(file: &str) -> Vec<String> {
        file.replace("\r\n ", "").lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_appointment_has_its_time_by_the_businesss_clock_and_the_zone_that_explains_it() {
        let entry = entry("America/Toronto", "2026-03-10T18:00:00Z", "2026-03-10T18:30:00Z");
        let file = render(&entry, &PARTIES, at("2026-03-01T12:00:00Z"));
        let lines = unfolded(&file);
        for expected in [
            "METHOD:REQUEST",
            "UID:018f6b1e-7c1a-7000-8000-000000000001@maple.example",
            "SEQUENCE:2",
            "DTSTAMP:20260301T120000Z",
            "DTSTART;TZID=America/Toronto:20260310T140000",
            "DTEND;TZID=America/Toronto:20260310T143000",
            "TZID:America/Toronto",
            "BEGIN:DAYLIGHT",
            "DTSTART:20260308T020000",
            "TZOFFSETFROM:-0500",
            "TZOFFSETTO:-0400",
            "TZNAME:EDT",
            "SUMMARY:Cleaning\\; with Dr. Lee\\, Maple Dental",
            "STATUS:CONFIRMED",
            "ORGANIZER;CN=\"Maple Dental\":mailto:desk@maple.example",
            "ATTENDEE;PARTSTAT=ACCEPTED;RSVP=FALSE:mailto:ana@example.com",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected}\n{file}");
        }
        assert!(!file.contains("BEGIN:STANDARD"), "{file}");
        assert!(file.ends_with("END:VCALENDAR\r\n") && !file.replace("\r\n", "").contains('\n'));
    }

    #[test]
    fn one_over_the_change_of_the_clocks_has_both_sides_of_it() {
        let entry = entry("America/Toronto", "2026-11-01T05:00:00Z", "2026-11-01T07:00:00Z");
        let lines = unfolded(&render(&entry, &PARTIES, at("2026-03-01T12:00:00Z")));
        assert!(lines.contains(&"BEGIN:DAYLIGHT".to_owned()));
        assert!(lines.contains(&"BEGIN:STANDARD".to_owned()));
        assert!(lines.contains(&"DTSTART:20261101T020000".to_owned()), "{lines:?}");
    }

    #[test]
    fn one_that_is_called_off_takes_itself_out_of_the_calendar() {
        let mut entry = entry("UTC", "2026-03-10T18:00:00Z", "2026-03-10T18:30:00Z");
        entry.is_cancelled = true;
        let lines = unfolded(&render(&entry, &PARTIES, at("2026-03-01T12:00:00Z")));
        for expected in ["METHOD:CANCEL", "STATUS:CANCELLED", "DTSTART:20260310T180000Z"] {
            assert!(lines.contains(&expected.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn a_zone_that_hardly_ever_changed_is_told_as_well() {
        for zone in ["Asia/Kolkata", "Etc/GMT+5", "Africa/Abidjan"] {
            let entry = entry(zone, "2026-03-10T18:00:00Z", "2026-03-10T18:30:00Z");
            let lines = unfolded(&render(&entry, &PARTIES, at("2026-03-01T12:00:00Z")));
            assert!(lines.iter().any(|l| l.starts_with("TZOFFSETTO:")), "{zone} {lines:?}");
        }
    }

    #[test]
    fn no_line_is_longer_than_75_octets_and_no_character_is_cut() {
        let line = format!("SUMMARY:{}", "Zahnärztliche Prüfung für Zoë ✓ ".repeat(20));
        let folded = folded(&line);
        assert!(folded.split("\r\n").all(|piece| piece.len() <= LONGEST_LINE), "{folded}");
        assert_eq!(folded.replace("\r\n ", "").trim_end_matches("\r\n"), line);
    }
}
