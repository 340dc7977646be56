//! Texts that stand for nothing, or no longer for what they once said.

use super::row::RowFault;

/// What databases and spreadsheets write where there is no value.
pub(super) const NULLS: [&str; 6] = ["NULL", "null", "\\N", "-", "n/a", "N/A"];

/// Refuses an event id that several events would share: what stands for no value, and what a
/// spreadsheet made of a long number.
pub(super) fn check_event_id(name: &str, id: &str) -> Result<(), RowFault> {
    if NULLS.contains(&id) {
        let detail = format!("{name} is {id:?}, which names no event: leave it out");
        return Err(RowFault::new("invalid_event_id", detail));
    }
    if is_rounded(id) {
        return Err(RowFault::new("invalid_event_id", rounded(name, id)));
    }
    Ok(())
}

/// Refuses an id of other things that a spreadsheet rounded.
pub(super) fn check_not_rounded(name: &str, id: &str) -> Result<(), RowFault> {
    if is_rounded(id) {
        return Err(RowFault::new("invalid_text", rounded(name, id)));
    }
    Ok(())
}

fn rounded(name: &str, id: &str) -> String {
    format!("{name} is {id:?}, a number that lost its last digits: export it as text")
}

/// Whether `text` is a number as spreadsheets write long ones: `1.23457E+15`.
fn is_rounded(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((number, exponent)) = text.split_once(['E', 'e']) else {
        return false;
    };
    let number = number.trim_start_matches('-');
    let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, "0"));
    // Without the sign it may be hexadecimal.
    exponent.strip_prefix('+').is_some_and(digits) && digits(whole) && digits(fraction)
}

/// Refuses invisible characters at either end, which nobody can see are there: those that white
/// space does not include.
pub(super) fn check_visible(name: &str, text: &str) -> Result<(), RowFault> {
    let invisible = |char: &char| matches!(char, '\u{feff}' | '\u{200b}' | '\u{2060}');
    let (first, last) = (text.chars().next(), text.chars().next_back());
    match first.filter(invisible).or(last.filter(invisible)) {
        Some(char) => {
            let code = u32::from(char);
            let detail = format!("{name} has the invisible character U+{code:04X} at its end");
            Err(RowFault::new("invalid_text", detail))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_say_nothing_are_no_ids() {
        for id in NULLS
            .into_iter()
            .chain(["1.23457E+15", "1E+05", "-1,5e+12"])
        {
            let fault = check_event_id("id", id).unwrap_err();
            assert_eq!(fault.code, "invalid_event_id", "{id}");
        }
        for id in [
            "0", "nullx", "12e5", "12E05", "a1.5E+12", "1.5E+", "E+12", "--", "1.2.3E+4",
        ] {
            assert_eq!(check_event_id("id", id), Ok(()), "{id}");
            assert_eq!(check_not_rounded("id", id), Ok(()), "{id}");
        }
    }

    #[test]
    fn what_cannot_be_seen_at_an_end_is_refused_and_persian_text_is_not() {
        for text in ["\u{feff}a", "a\u{200b}", "\u{2060}"] {
            assert!(check_visible("x", text).is_err(), "{text:?}");
        }
        // A zero-width non-joiner and a mark of direction belong to the text.
        for text in ["", "a", "می\u{200c}خواهم", "کلیک\u{200f}", "a\u{200b}b"] {
            assert_eq!(check_visible("x", text), Ok(()), "{text:?}");
        }
    }
}
