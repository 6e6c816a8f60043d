//! Which messages go together in one request.

/// AWS takes at most so many messages in one request.
pub(crate) const MAX_ENTRIES: usize = 10;

/// Splits `sizes` (bytes of each message) into runs that each fit one request of at most
/// [`MAX_ENTRIES`] messages and `max_bytes`. Order is kept; a message over the limit by itself gets
/// a run of its own, for the broker to refuse.
pub(crate) fn runs(sizes: &[usize], max_bytes: usize) -> Vec<std::ops::Range<usize>> {
    let mut out = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, &size) in sizes.iter().enumerate() {
        let full = i - start == MAX_ENTRIES || bytes + size > max_bytes;
        if full && i > start {
            out.push(start..i);
            (start, bytes) = (i, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        out.push(start..sizes.len());
    }
    out
}

/// As [`runs`], with at most one message of each of `groups` in a run: of what a broker refuses in the middle of a request,
/// nothing of the same group has overtaken it.
pub(crate) fn runs_of_one_each(
    groups: &[&str],
    sizes: &[usize],
    max_bytes: usize,
) -> Vec<std::ops::Range<usize>> {
    let mut out = Vec::new();
    for run in runs(sizes, max_bytes) {
        let mut start = run.start;
        for i in run.clone() {
            if groups[start..i].contains(&groups[i]) {
                out.push(start..i);
                start = i;
            }
        }
        out.push(start..run.end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{runs, runs_of_one_each};

    #[test]
    fn nothing_is_lost_reordered_or_too_large() {
        assert_eq!(runs(&[], 100), []);
        assert_eq!(runs(&[1; 23], 100), [0..10, 10..20, 20..23]);
        assert_eq!(runs(&[60, 50, 40, 70], 100), [0..1, 1..3, 3..4]);
        assert_eq!(runs(&[200, 1], 100), [0..1, 1..2]);
    }

    #[test]
    fn no_request_has_two_of_a_group() {
        let apart = |groups: &[&str]| runs_of_one_each(groups, &vec![1; groups.len()], 3);
        assert_eq!(apart(&[]), []);
        assert_eq!(apart(&["a", "b", "c", "a"]), [0..3, 3..4]);
        assert_eq!(apart(&["a", "b", "a", "b", "c"]), [0..2, 2..3, 3..5]);
        assert_eq!(apart(&["a", "a", "a"]), [0..1, 1..2, 2..3]);
    }
}
