//! Sizes as people write them.

/// Bytes in `text`: a whole number above 0, alone or followed by K, M or G (powers of 1,024).
///
/// # Errors
/// What is expected instead.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, unit) = match text.find(|character: char| !character.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => Some(1),
        "K" | "KB" | "KIB" => Some(1 << 10),
        "M" | "MB" | "MIB" => Some(1 << 20),
        "G" | "GB" | "GIB" => Some(1_u64 << 30),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    let bytes = number.zip(factor).and_then(|(n, f)| n.checked_mul(f));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| {
        "a size is a number of bytes such as 1073741824, or 64K, 512M, 1G".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, bytes) in [
            ("1", 1),
            ("1073741824", 1 << 30),
            ("64K", 1 << 16),
            ("10m", 10 << 20),
            ("1G", 1 << 30),
            ("2 GiB", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "0",
            "0G",
            "K",
            "-1",
            "1.5G",
            "1T",
            "99999999999G",
            "1K1",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
