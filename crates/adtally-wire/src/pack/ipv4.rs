//! IPv4 addresses in packs.

use std::net::Ipv4Addr;

/// An address of version 4 with its quotes, and what follows it. Half the instructions of the library's reader,
/// and where the text ends need not be found before.
pub(super) fn ipv4(text: &str) -> Option<(Ipv4Addr, &str)> {
    let (first, rest) = octet(text.as_bytes().strip_prefix(b"\"")?)?;
    let (second, rest) = octet(rest.strip_prefix(b".")?)?;
    let (third, rest) = octet(rest.strip_prefix(b".")?)?;
    let (fourth, rest) = octet(rest.strip_prefix(b".")?)?;
    let rest = rest.strip_prefix(b"\"")?;
    let rest = text.get(text.len() - rest.len()..)?;
    Some((Ipv4Addr::new(first, second, third, fourth), rest))
}

/// A number of up to 255 and what follows it. Of `05` only the zero is taken, and of `1234` only `123`: no dot
/// follows then.
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: &u8| u16::from(byte - b'0');
    let (number, rest) = match text {
        [
            hundreds @ b'1'..=b'9',
            tens @ b'0'..=b'9',
            ones @ b'0'..=b'9',
            rest @ ..,
        ] => (digit(hundreds) * 100 + digit(tens) * 10 + digit(ones), rest),
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
            (digit(tens) * 10 + digit(ones), rest)
        }
        [ones @ b'0'..=b'9', rest @ ..] => (digit(ones), rest),
        _ => return None,
    };
    Some((u8::try_from(number).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_address_is_read(octets: [u8; 4], rest in ".{0,8}") {
            let ip = Ipv4Addr::from(octets);
            let text = format!("\"{ip}\"{rest}");
            prop_assert_eq!(ipv4(&text), Some((ip, rest.as_str())));
        }

        #[test]
        fn nothing_else_is_taken_for_one(text in "[0-9]{0,4}(\\.[0-9]{0,4}){2,4}[ +a-]?") {
            let quoted = format!("\"{text}\"");
            let read = ipv4(&quoted).map(|(ip, _)| ip);
            prop_assert_eq!(read, text.parse().ok());
        }
    }

    #[test]
    fn what_only_looks_like_one_is_left() {
        for text in [
            "01.2.3.4",
            "1.2.3.04",
            "00.0.0.0",
            "256.1.1.1",
            "1.2.3.1000",
        ] {
            assert_eq!(ipv4(&format!("\"{text}\"")), None, "{text}");
        }
        for text in [
            "1.2.3",
            "1.2.3.4.5",
            "1..2.3",
            ".1.2.3",
            "1.2.3.",
            " 1.2.3.4",
            "+1.2.3.4",
        ] {
            assert_eq!(ipv4(&format!("\"{text}\"")), None, "{text}");
        }
        for text in ["", "\"", "\"192.0.2.1", "192.0.2.1\"", "\"192.0.2.1x\""] {
            assert_eq!(ipv4(text), None, "{text}");
        }
    }
}
