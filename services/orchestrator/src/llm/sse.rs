//! Server-sent events, parsed as the bytes come in (PROTOCOLS 4).

/// The longest line or event accepted, in bytes. A model's chunk has some hundreds.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// An event longer than any model's: the stream is something else.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

/// Takes bytes in pieces of any size and returns the data of each event. Comments and fields other
/// than `data` are skipped; lines end with LF, CRLF or CR.
#[derive(Default)]
pub struct EventParser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    is_begun: bool,
}

impl EventParser {
    /// Takes bytes and returns the data of the events they completed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let is_lf_of_crlf = std::mem::take(&mut self.after_cr) && byte == b'\n';
            match byte {
                _ if is_lf_of_crlf => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    events.extend(self.end_line());
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    /// The event that the end of the stream cut off before its blank line, where its data is there.
    pub fn finish(&mut self) -> Option<String> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.end_event()
    }

    fn end_line(&mut self) -> Option<String> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.is_begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = match line.iter().position(|b| *b == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (&line[..], &[][..]),
        };
        if field == b"data" {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
        None
    }

    fn end_event(&mut self) -> Option<String> {
        let data = std::mem::take(&mut self.data);
        std::mem::take(&mut self.has_data).then(|| String::from_utf8_lossy(&data).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "\u{feff}data: {\"a\":1}\n\n: ping\r\n\r\nevent: x\r\nid: 7\r\ndata:{\"b\":\"é…\"}\r\n\r\n\
                          data: one\rdata: two\r\rdata\n\nretry: 5\n\ndata: [DONE]\n\n";
    const EVENTS: [&str; 5] = ["{\"a\":1}", "{\"b\":\"é…\"}", "one\ntwo", "", "[DONE]"];

    fn parse(pieces: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
        let mut parser = EventParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            events.extend(parser.push(&piece).unwrap());
        }
        events.extend(parser.finish());
        events
    }

    #[test]
    fn data_is_found_among_comments_other_fields_and_every_line_end() {
        assert_eq!(parse([STREAM.as_bytes().to_vec()]), EVENTS);
    }

    #[test]
    fn an_event_whose_blank_line_was_cut_off_still_counts() {
        assert_eq!(parse([b"data: [DONE]".to_vec()]), ["[DONE]"]);
        assert_eq!(parse([b": bye".to_vec()]), Vec::<String>::new());
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = EventParser::default();
        assert_eq!(parser.push(&vec![b'x'; EVENT_BYTES_MAX + 1]), Err(TooLong));
    }

    proptest! {
        #[test]
        fn where_the_network_cuts_makes_no_difference(sizes in proptest::collection::vec(1usize..9, 1..200)) {
            let mut rest = STREAM.as_bytes();
            let mut pieces = Vec::new();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, tail) = rest.split_at(rest.len().min(*size));
                pieces.push(piece.to_vec());
                rest = tail;
            }
            prop_assert_eq!(parse(pieces), EVENTS);
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20)) {
            parse(pieces);
        }
    }
}
