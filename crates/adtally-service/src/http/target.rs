//! Request lines with bytes that a URI cannot hold.

/// `line` with every byte encoded that clients send as it is and the parser refuses; `None` when there
/// is none. A part of a line may be given.
///
/// Spaces and control bytes stay as they are: they end a request line, or hide something.
pub(super) fn encoded(line: &[u8]) -> Option<Vec<u8>> {
    if !line.iter().copied().any(is_raw) {
        return None;
    }
    let mut encoded = Vec::with_capacity(line.len() * 2);
    for &byte in line {
        if is_raw(byte) {
            encoded.extend([b'%', hex(byte >> 4), hex(byte & 0xF)]);
        } else {
            encoded.push(byte);
        }
    }
    Some(encoded)
}

/// Browsers encode these in a query (URL standard, query percent-encode set).
fn is_raw(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | 0x80..)
}

fn hex(nibble: u8) -> u8 {
    match nibble {
        0..10 => b'0' + nibble,
        _ => b'A' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_are_encoded_and_everything_else_stays() {
        let line = "GET /v1/pixel.gif?a=\"<b>\"&p=کل%20 HTTP/1.1\r\n";
        let expected = "GET /v1/pixel.gif?a=%22%3Cb%3E%22&p=%DA%A9%D9%84%20 HTTP/1.1\r\n";
        let encoded = encoded(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(encoded).unwrap(), expected);
        assert_eq!(
            super::encoded(b"GET /?a=\xE9"),
            Some(b"GET /?a=%E9".to_vec())
        );
        assert_eq!(super::encoded(b"GET /?a={x}|^`%%\\ HTTP/1.1\r\n"), None);
    }
}
