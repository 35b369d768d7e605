//! Names that nobody guesses: 16 random bytes, written as 32 lower-case hexadecimal digits, so that one name has one text.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::hex::{hex, unhex};

/// Bytes of a name.
const ID_BYTES: usize = 16;

/// A random name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RandomId([u8; ID_BYTES]);

impl RandomId {
    /// A new one, unlike any other.
    pub(crate) fn random() -> io::Result<Self> {
        let mut bytes = [0; ID_BYTES];
        fill_randomly(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads a name; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }
}

impl fmt::Display for RandomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for RandomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<RandomId> for String {
    fn from(id: RandomId) -> Self {
        hex(&id.0)
    }
}

impl TryFrom<String> for RandomId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("is not 32 hexadecimal digits")
    }
}

/// Fills bytes from the operating system.
pub(crate) fn fill_randomly(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_text_and_two_names_differ() {
        let id = RandomId::random().unwrap();
        assert_eq!(RandomId::parse(&id.to_string()), Some(id));
        assert_ne!(RandomId::random().unwrap(), id);
        let text = "00ff".repeat(8);
        assert!(RandomId::parse(&text).is_some());
        for other in ["", "new", &text[1..], &text.to_uppercase(), &format!("{text}0"), &text.replace("ff", "é")] {
            assert_eq!(RandomId::parse(other), None, "{other}");
        }
    }
}
