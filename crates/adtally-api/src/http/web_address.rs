//! Web addresses an operator may store: where a click leads, where an image is.

use url::Url;

/// The longest address, in bytes.
pub(crate) const MAX_BYTES: usize = 2_048;

/// Reads `text` as an address a browser may be sent to.
///
/// # Errors
/// What is wrong, in words. Only http and https with a host and without a user part are taken; what
/// browsers repair silently (spaces, backslashes, control characters) is refused.
pub(crate) fn web_address(text: &str) -> Result<Url, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("must have at most {MAX_BYTES} bytes"));
    }
    if text
        .chars()
        .any(|char| char.is_control() || char.is_whitespace() || char == '\\')
    {
        return Err("must hold no control character, space or backslash".to_owned());
    }
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err("must begin with http:// or https://".to_owned());
    }
    // A third slash is skipped by browsers, and by the parser below.
    if text
        .split_once("://")
        .is_some_and(|(_, rest)| rest.starts_with('/'))
    {
        return Err("must name a host after //".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    if !url.has_host() {
        return Err("must name a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user name or password".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_web_addresses_are_taken_and_written_anew() {
        for (text, written) in [
            ("https://example.com", "https://example.com/"),
            (
                "HTTP://Example.COM:80/a b".trim_end_matches(" b"),
                "http://example.com/a",
            ),
            (
                "https://مثال.ایران/کلیک?x=1#y",
                "https://xn--mgbh0fb.xn--mgba3a4f16a/%DA%A9%D9%84%DB%8C%DA%A9?x=1#y",
            ),
            (
                "https://example.com/?u=http://a@b",
                "https://example.com/?u=http://a@b",
            ),
            ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/"),
        ] {
            assert_eq!(web_address(text).unwrap().as_str(), written, "{text}");
        }
    }

    #[test]
    fn what_could_lead_a_visitor_astray_is_refused() {
        let long = format!("https://example.com/{}", "x".repeat(MAX_BYTES));
        for text in [
            "",
            "//evil.example",
            "https:\\\\evil.example",
            "https:evil.example",
            "http:/evil.example",
            "http:///evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://example.com/",
            "mailto:a@example.com",
            "http://good.example@evil.example/",
            "http://user:pass@evil.example/",
            "http://",
            "https://?x",
            "java\tscript:alert(1)",
            "ht\ntp://example.com",
            " https://example.com",
            "https://example.com/\r\nSet-Cookie: a=b",
            "https://example.com/\0",
            "https://exa mple.com/",
            long.as_str(),
        ] {
            assert!(web_address(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_taken_address_is_always_a_header_and_stays_itself(text in "https?://.{0,60}") {
            if let Ok(url) = web_address(&text) {
                prop_assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(Url::parse(url.as_str()).unwrap(), url.clone());
                prop_assert!(matches!(url.scheme(), "http" | "https"));
            }
        }
    }
}
