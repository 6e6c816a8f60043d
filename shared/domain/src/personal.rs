use std::fmt;

/// Text about a person (a number, a name, what they said). It prints as `***`, so that no log line
/// and no error can carry it; [`Personal::reveal`] is the one way to the text.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Personal(String);

impl Personal {
    /// Wraps a text about a person.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for sending, storing encrypted, or speaking.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Gives up the protection together with the value.
    pub fn into_revealed(self) -> String {
        self.0
    }

    /// The text with every digit and number word masked, as long as before: what may be kept of words
    /// that were said off the record, such as a card number.
    #[must_use]
    pub fn without_numbers(&self) -> Self {
        Self(crate::mask::numbers(&self.0))
    }

    /// Whether there is any text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Personal {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Personal {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_print_shows_nothing_of_a_person() {
        assert_eq!(format!("{:?}", Personal::from("+15551234567")), "***");
    }
}
