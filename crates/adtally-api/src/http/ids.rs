//! Ids in paths and queries.

use actix_web::HttpRequest;

/// A whole number from 1 to 2^63-1, in digits only.
pub(crate) fn id_number(text: &str) -> Option<i64> {
    let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| digits_only && *number > 0)
}

/// The id in the path of `request`.
pub(crate) fn id_in_path(request: &HttpRequest, name: &str) -> Option<i64> {
    request.match_info().get(name).and_then(id_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_digits_only() {
        assert_eq!(id_number("9223372036854775807"), Some(i64::MAX));
        for wrong in [
            "",
            "0",
            "-1",
            "+1",
            "1.0",
            "9223372036854775808",
            "٤٢",
            " 1",
            "1 ",
            "0x1",
        ] {
            assert_eq!(id_number(wrong), None, "{wrong:?}");
        }
    }
}
