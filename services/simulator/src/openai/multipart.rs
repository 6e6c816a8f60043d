//! The parts of a `multipart/form-data` body.

/// The content of the part with this name; nothing when there is none, or the body is no multipart one.
pub(crate) fn part<'a>(content_type: &str, body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let boundary =
        content_type.split(';').find_map(|piece| piece.trim().strip_prefix("boundary="))?;
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let wanted = format!("name=\"{name}\"");
    let mut rest = &body[find(body, delimiter.as_bytes())? + delimiter.len()..];
    loop {
        let end = find(rest, format!("\r\n{delimiter}").as_bytes())?;
        let (head, content) = rest[..end].split_at(find(&rest[..end], b"\r\n\r\n")?);
        let named = String::from_utf8_lossy(head)
            .lines()
            .filter(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))
            .any(|line| line.split(';').any(|piece| piece.trim() == wanted));
        if named {
            return Some(&content[4..]);
        }
        rest = &rest[end + 2 + delimiter.len()..];
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"--b1\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b1\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n\
        \x00\r\n\r\n--x\xff\r\n--b1--\r\n";

    #[test]
    fn a_part_is_found_by_its_name_with_every_byte() {
        let kind = "multipart/form-data; boundary=b1";
        assert_eq!(part(kind, BODY, "model"), Some(&b"whisper-1"[..]));
        assert_eq!(part(kind, BODY, "file"), Some(&b"\x00\r\n\r\n--x\xff"[..]));
        assert_eq!(part(kind, BODY, "a.wav"), None);
    }

    #[test]
    fn no_broken_body_is_a_panic() {
        for end in 0..BODY.len() {
            part("multipart/form-data; boundary=\"b1\"", &BODY[..end], "file");
        }
        assert_eq!(part("text/plain", BODY, "file"), None);
    }
}
