//! URLs that hold passwords, and text that may quote them.

use std::borrow::Cow;
use std::fmt;

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

/// `text` with the password of every URL in it, and of every `password=` parameter, replaced by
/// `***`. In doubt it hides more.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + "://".len());
        let (url, after) = url.split_at(url_end(url));
        shown.push_str(&without_parameters(before));
        shown.push_str(&without_parameters(&without_user_password(url)));
        rest = after;
    }
    shown + &without_parameters(rest)
}

/// Where a URL that goes on with `tail` ends: at white space, a quote, or a comma before another.
fn url_end(tail: &str) -> usize {
    let delimiter = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    let end = tail.find(delimiter).unwrap_or(tail.len());
    let url = tail.split_at(end).0;
    let next = url
        .find("://")
        .and_then(|next| url.split_at(next).0.rfind(','));
    next.unwrap_or(end)
}

/// Hides what stands between the user and the host in a URL without its scheme.
fn without_user_password(url: &str) -> Cow<'_, str> {
    let authority_end = url.find(['/', '?', '#']).unwrap_or(url.len());
    // A password may hold a raw slash: then the last @ still ends the user part.
    let in_authority = url.split_at(authority_end).0.rfind('@');
    let user_end = in_authority.or_else(|| url.rfind('@'));
    match user_end.map(|at| url.split_at(at)) {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => Cow::Owned(format!("{name}:***{host}")),
            None => Cow::Borrowed(url),
        },
        None => Cow::Borrowed(url),
    }
}

/// libpq also takes passwords as parameters of a URL and of its other way to name a server.
fn without_parameters(text: &str) -> Cow<'_, str> {
    const NAME: &str = "password=";
    let Some(at) = text.find(NAME) else {
        return Cow::Borrowed(text);
    };
    let (head, value) = text.split_at(at + NAME.len());
    let end = match value.strip_prefix('\'') {
        Some(quoted) => quoted.find('\'').map(|end| end + 2),
        None => value.find(|c: char| c.is_whitespace() || "&,\"'`".contains(c)),
    };
    let rest = value.split_at(end.unwrap_or(value.len())).1;
    Cow::Owned(format!("{head}***{}", without_parameters(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_a_url_shows() {
        for (text, shown) in [
            ("postgres://u:secret@h:5432/d", "postgres://u:***@h:5432/d"),
            ("amqp://u:sec@ret@h/%2f", "amqp://u:***@h/%2f"),
            (
                "cannot reach amqp://u:s/ecret@h:1 now",
                "cannot reach amqp://u:***@h:1 now",
            ),
            (
                "amqp://u:p@h1:1,amqps://v:q@h2/x",
                "amqp://u:***@h1:1,amqps://v:***@h2/x",
            ),
            (
                r#"{"url":"amqp://u:p@h"} and 'x://a:b@c'"#,
                r#"{"url":"amqp://u:***@h"} and 'x://a:***@c'"#,
            ),
            (
                "postgres://h/d?user=u&password=secret&x=1",
                "postgres://h/d?user=u&password=***&x=1",
            ),
            (
                "host=h password='a b' sslpassword=c d",
                "host=h password=*** sslpassword=*** d",
            ),
            ("postgres://:secret@h/d", "postgres://:***@h/d"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn text_without_a_password_stays_as_it_is() {
        for text in [
            "postgres://u@h/d",
            "postgres://h1:1,h2:2/d",
            "http://127.0.0.1:8080/v1/ads?limit=5",
            "see https://example.com, or mail a@b.example: it helps",
            "://",
            "",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn a_secret_url_shows_only_when_it_is_asked_to() {
        let url = SecretUrl::new("amqp://a:b@h");
        assert_eq!(format!("{url} {url:?}"), "amqp://a:***@h amqp://a:***@h");
        assert_eq!(url.expose(), "amqp://a:b@h");
    }
}
