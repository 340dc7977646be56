//! URLs that hold passwords, and text that may quote them.

use std::fmt;

use url::Url;

/// A URL whose password shows nowhere unless asked for with [`SecretUrl::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Wraps `url` as it is.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole URL, password included.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `text` with the password of every URL in it replaced by `***`.
#[must_use]
pub fn redact(text: &str) -> String {
    text.split_inclusive(char::is_whitespace)
        .map(redact_word)
        .collect()
}

fn redact_word(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may hold a raw slash: then the last @ of the word still ends the user part.
    let user_end = rest
        .split_at(authority_end)
        .0
        .rfind('@')
        .or_else(|| rest.rfind('@'));
    let redacted = match user_end.map(|at| rest.split_at(at)) {
        Some((user, host)) if user.contains(':') => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:***{host}")
        }
        _ => word.to_owned(),
    };
    redact_query(&redacted)
}

/// libpq also takes the password as a query parameter.
fn redact_query(word: &str) -> String {
    match word.find("password=") {
        Some(at) => {
            let (head, tail) = word.split_at(at);
            let end = tail.find(['&', ' ', '\n']).unwrap_or(tail.len());
            format!("{head}password=***{}", tail.split_at(end).1)
        }
        None => word.to_owned(),
    }
}

/// Why `text` cannot be the URL of a server with one of `schemes`; `None` when it can.
pub(crate) fn url_fault(text: &str, schemes: &[&str]) -> Option<String> {
    let expected = format!(
        "expected {}://user:password@host:port/name",
        schemes.first()?
    );
    match Url::parse(text) {
        Ok(url) if !schemes.contains(&url.scheme()) => {
            Some(format!("its scheme is wrong; {expected}"))
        }
        Ok(_) => None,
        // A list of hosts, which libpq takes, is no URL to this parser; libpq judges it itself.
        Err(_) if schemes.contains(&"postgres") && text.contains(',') => None,
        Err(error) => Some(format!("it is no URL ({error}); {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_a_url_shows() {
        for (text, shown) in [
            ("postgres://u:secret@h:5432/d", "postgres://u:***@h:5432/d"),
            ("amqp://u:se@cret@h/%2f", "amqp://u:***@h/%2f"),
            (
                "cannot reach amqp://u:s/cret@h:5672 now",
                "cannot reach amqp://u:***@h:5672 now",
            ),
            (
                "postgres://h/d?user=u&password=secret&x=1",
                "postgres://h/d?user=u&password=***&x=1",
            ),
            ("http://127.0.0.1:8080/a:b@c", "http://127.0.0.1:8080/a:b@c"),
            ("postgres://u@h/d", "postgres://u@h/d"),
        ] {
            let redacted = redact(text);
            assert!(
                !redacted.contains("secret") && !redacted.contains("cret"),
                "{redacted}"
            );
            if !text.starts_with("http") {
                assert_eq!(redacted, shown);
            }
        }
        assert_eq!(
            format!("{:?}", SecretUrl::new("amqp://a:b@h")),
            "amqp://a:***@h"
        );
    }
}
