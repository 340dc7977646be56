use proptest::prelude::*;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(HeaderName::from_static(name), value);
    }
    headers
}

fn peer() -> Option<SocketAddr> {
    Some("192.0.2.1:5000".parse().unwrap())
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn without_trusted_proxies_only_the_connection_counts() {
    let spoofed = headers(&[("x-forwarded-for", "203.0.113.9")]);
    assert_eq!(address(&spoofed, peer(), 0), ip("192.0.2.1"));
}

#[test]
fn the_rightmost_trusted_hop_counts_and_never_what_a_client_wrote_before_it() {
    let chain = headers(&[
        ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
        ("x-forwarded-for", "198.51.100.7"),
    ]);
    assert_eq!(address(&chain, peer(), 1), ip("198.51.100.7"));
    assert_eq!(address(&chain, peer(), 2), ip("203.0.113.9"));
    assert_eq!(
        address(&chain, peer(), 4),
        ip("192.0.2.1"),
        "shorter than our own proxies"
    );
}

#[test]
fn hops_may_carry_a_port_and_nonsense_is_no_address() {
    for (hop, expected) in [
        ("203.0.113.9:4711", ip("203.0.113.9")),
        ("[2001:db8::1]:4711", ip("2001:db8::1")),
        ("[2001:db8::1]", ip("2001:db8::1")),
        ("2001:db8::1", ip("2001:db8::1")),
        ("unknown", None),
        ("", None),
        ("fe80::1%eth0", None),
    ] {
        assert_eq!(
            address(&headers(&[("x-forwarded-for", hop)]), peer(), 1),
            expected,
            "{hop}"
        );
    }
}

#[test]
fn long_headers_are_cut_between_characters() {
    let agent = format!("{}é", "x".repeat(511));
    assert_eq!(
        user_agent(&headers(&[("user-agent", &agent)]))
            .unwrap()
            .len(),
        511
    );
    assert_eq!(
        referer(&headers(&[("referer", &"ß".repeat(600))]))
            .unwrap()
            .len(),
        1_024
    );
    assert_eq!(
        user_agent(&headers(&[("user-agent", "a\tb")])).unwrap(),
        "ab"
    );
    assert_eq!(user_agent(&headers(&[])), None);
}

proptest! {
    #[test]
    fn any_header_fits_an_event(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let text = tidied(&value, USER_AGENT_BYTES).unwrap_or_default();
            prop_assert!(text.len() <= USER_AGENT_BYTES);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
