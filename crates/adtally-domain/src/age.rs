//! Durations as operators write them: `35d`, `36h`, `90m`, `15s`.

use std::time::Duration;

use thiserror::Error;

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a duration: write a whole number and a unit, such as 35d, 36h, 90m or 15s")]
pub struct InvalidAge(pub String);

/// Reads a duration of whole days, hours, minutes or seconds, such as `35d`.
///
/// # Errors
/// [`InvalidAge`] for anything else, and for more than 100,000 days.
pub fn parse_age(text: &str) -> Result<Duration, InvalidAge> {
    let invalid = || InvalidAge(text.chars().take(40).collect());
    let split = text.len().saturating_sub(1);
    let (number, unit) = text.split_at_checked(split).ok_or_else(invalid)?;
    let seconds_each = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return Err(invalid()),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let count: u64 = number.parse().map_err(|_| invalid())?;
    let seconds = count.checked_mul(seconds_each).ok_or_else(invalid)?;
    if seconds > 100_000 * 86_400 {
        return Err(invalid());
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_whole_numbers_with_a_unit() {
        assert_eq!(parse_age("35d"), Ok(Duration::from_secs(35 * 86_400)));
        assert_eq!(
            parse_age("36500d"),
            Ok(Duration::from_secs(36_500 * 86_400))
        );
        assert_eq!(parse_age("15s"), Ok(Duration::from_secs(15)));
        for bad in [
            "",
            "d",
            "35",
            "-1d",
            "+1d",
            "1.5h",
            "35 d",
            "100001d",
            "99999999999999999999d",
            "۳d",
            "1ש",
        ] {
            assert!(parse_age(bad).is_err(), "{bad}");
        }
    }
}
