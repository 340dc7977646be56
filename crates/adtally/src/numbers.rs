//! Numbers and durations as a person reads them.

use std::time::Duration;

/// `number` with a comma between each three digits: `1,234,567`.
pub(crate) fn thousands(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `count` and the word for it: `1 row`, `2,000 rows`.
pub(crate) fn counted(count: u64, singular: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {singular}{plural}", thousands(count))
}

/// A duration with the unit that suits it: `870 µs`, `3.2 ms`, `1.25 s`.
pub(crate) fn short(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1_000.0),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

/// A number per second, over `elapsed`; 0 for no time at all.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> u64 {
    let nanos = elapsed.as_nanos();
    let rate = (u128::from(count) * 1_000_000_000)
        .checked_div(nanos)
        .unwrap_or_default();
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_from_the_right() {
        for (number, text) in [
            (0_i64, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
            (-1_000, "-1,000"),
            (i64::MIN, "-9,223,372,036,854,775,808"),
        ] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!(counted(0, "row"), "0 rows");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(2_000, "row"), "2,000 rows");
    }

    #[test]
    fn durations_take_the_unit_that_suits_them() {
        assert_eq!(short(Duration::from_micros(870)), "870 µs");
        assert_eq!(short(Duration::from_micros(3_210)), "3.2 ms");
        assert_eq!(short(Duration::from_millis(1_250)), "1.25 s");
    }

    #[test]
    fn a_rate_over_no_time_is_zero() {
        assert_eq!(per_second(10, Duration::ZERO), 0);
        assert_eq!(per_second(10, Duration::from_millis(500)), 20);
    }
}
