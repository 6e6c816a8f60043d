//! An e-mail as it leaves (RFC 5322, MIME): the words, and an appointment both as an invitation that mail programs show and as a
//! file.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{Mail, Timestamp};
use jiff::tz::TimeZone;

use super::calendar_file::{self, Parties};

/// Base64 in lines of so many characters (RFC 2045, 6.8).
const LINE_CHARS: usize = 76;
/// So many octets of a text make an encoded word of at most 75 characters (RFC 2047, 2).
const WORD_OCTETS: usize = 42;

/// The message, to be sent as it is. `id` is the same each time it is made.
pub(super) fn render(
    parties: &Parties<'_>,
    (text, mail): (&str, Option<&Mail>),
    (id, now): (&str, Timestamp),
) -> String {
    let domain = parties.from.rsplit('@').next().unwrap_or_default();
    let subject = mail.map_or(parties.business, |mail| mail.subject.reveal());
    let date = jiff::Timestamp::from_microsecond(now.as_micros()).unwrap_or_default();
    let date = date.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000");
    let mut message = format!(
        "From: {} <{}>\r\nTo: <{}>\r\nSubject: {}\r\nDate: {date}\r\nMessage-ID: <{id}@{domain}>\r\n\
         MIME-Version: 1.0\r\n",
        header(parties.business),
        parties.from,
        parties.to,
        header(subject),
    );
    let words = part("text/plain; charset=UTF-8", "", text);
    let Some(entry) = mail.and_then(|mail| mail.entry.as_ref()) else {
        message.push_str(&words);
        return message;
    };
    let file = calendar_file::render(entry, parties, now);
    let method = calendar_file::method(entry);
    let invitation = part(&format!("text/calendar; charset=UTF-8; method={method}"), "", &file);
    let name = "Content-Disposition: attachment; filename=\"appointment.ics\"\r\n";
    let attached = part("application/ics; name=\"appointment.ics\"", name, &file);
    // What is in the parts is base64, in which neither occurs.
    let (outer, inner) = (format!("-_{id}_o"), format!("-_{id}_i"));
    message.push_str(&format!(
        "Content-Type: multipart/mixed; boundary=\"{outer}\"\r\n\r\n\
         --{outer}\r\nContent-Type: multipart/alternative; boundary=\"{inner}\"\r\n\r\n\
         --{inner}\r\n{words}--{inner}\r\n{invitation}--{inner}--\r\n\
         --{outer}\r\n{attached}--{outer}--\r\n"
    ));
    message
}

fn part(kind: &str, more: &str, body: &str) -> String {
    let encoded = STANDARD.encode(body);
    let mut part =
        format!("Content-Type: {kind}\r\n{more}Content-Transfer-Encoding: base64\r\n\r\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE_CHARS));
        part.push_str(line);
        part.push_str("\r\n");
        rest = more;
    }
    part
}

/// A text in a header: as encoded words, which hold whatever it is and nothing that ends a header.
fn header(text: &str) -> String {
    let mut words = vec![String::new()];
    for c in text.chars().filter(|c| !c.is_control()) {
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > WORD_OCTETS) {
            words.push(String::new());
        }
        words.last_mut().into_iter().for_each(|word| word.push(c));
    }
    let encoded = words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
    encoded.collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests {
    use domain::CalendarEntry;

    use super::*;

    const PARTIES: Parties<'static> =
        Parties { business: "Zähne & Co", from: "desk@maple.example", to: "ana@example.com" };

    #[test]
    fn a_header_holds_nothing_that_ends_it_and_no_long_word() {
        let evil = format!("Hi\r\nBcc: all@example.com {}", "ä".repeat(100));
        let encoded = header(&evil);
        assert!(!encoded.contains("Bcc:"), "{encoded}");
        assert!(encoded.split("\r\n ").all(|w| w.len() <= 75 && w.starts_with("=?UTF-8?B?")));
        let decoded: Vec<u8> = encoded
            .split("\r\n ")
            .flat_map(|w| STANDARD.decode(&w[10..w.len() - 2]).unwrap())
            .collect();
        assert_eq!(String::from_utf8(decoded).unwrap(), evil.replace("\r\n", ""));
    }

    #[test]
    fn an_appointment_is_an_invitation_and_a_file() {
        let mail = Mail {
            subject: "Your appointment".into(),
            entry: Some(CalendarEntry {
                id: "a1".into(),
                sequence: 0,
                is_cancelled: true,
                starts_at: Timestamp::from_micros(1_800_000_000_000_000),
                ends_at: Timestamp::from_micros(1_800_001_800_000_000),
                timezone: "America/Toronto".into(),
                summary: "Cleaning".into(),
            }),
        };
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let message = render(&PARTIES, ("It is called off.", Some(&mail)), ("m1", now));
        assert!(message.starts_with("From: =?UTF-8?B?"), "{message}");
        assert!(message.contains("text/calendar; charset=UTF-8; method=CANCEL"));
        assert!(message.contains("filename=\"appointment.ics\""));
        assert!(message.contains("Message-ID: <m1@maple.example>"));
        assert!(message.lines().all(|line| line.len() <= 200));
        assert_eq!(render(&PARTIES, ("It is called off.", Some(&mail)), ("m1", now)), message);
    }
}
