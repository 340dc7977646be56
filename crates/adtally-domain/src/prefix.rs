//! How the names of a deployment begin.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use thiserror::Error;

/// The most bytes a prefix has. The longest of our names then fits AMQP's 255.
const MOST_BYTES: usize = 64;

/// The beginning of the names of all exchanges and queues of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// A text that is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("use 1 to 64 lower-case letters, digits, dots, underscores or hyphens")]
pub struct InvalidPrefix;

impl FromStr for Prefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        if (1..=MOST_BYTES).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPrefix)
        }
    }
}

impl Deref for Prefix {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_short_and_plain() {
        let long = "x".repeat(65);
        for text in ["", "Ads", "a b", "a#", "a*", "ä", long.as_str()] {
            assert_eq!(text.parse::<Prefix>(), Err(InvalidPrefix), "{text:?}");
        }
        for text in ["ads.eu-1_x", &long[1..]] {
            assert_eq!(&*text.parse::<Prefix>().unwrap(), text);
        }
    }
}
