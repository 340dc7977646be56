//! JSON for scripts.

use std::io::Write;

use serde::Serialize;

/// Writes `value` as one JSON document.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(value: &impl Serialize, out: &mut impl Write) -> anyhow::Result<()> {
    // Not straight to `out`: its errors would come back as errors of JSON.
    let mut document = harmless(&serde_json::to_string_pretty(value)?);
    document.push('\n');
    out.write_all(document.as_bytes())?;
    Ok(())
}

/// Whether a terminal shows `character` instead of obeying it.
pub(crate) fn is_harmless(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !character.is_control() && !turns
}

/// The same document with the control characters escaped that JSON itself lets stand. Outside of
/// strings it has none but line feeds.
fn harmless(document: &str) -> String {
    let mut safe = String::with_capacity(document.len() + 1);
    for character in document.chars() {
        if character == '\n' || is_harmless(character) {
            safe.push(character);
        } else {
            safe.push_str(&format!("\\u{:04x}", u32::from(character)));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_document_holds_nothing_that_a_terminal_obeys_and_means_the_same() {
        let value = json!({"a\u{9b}\u{1b}": "\u{7f}\n\u{202e}é"});
        let mut out = Vec::new();
        write(&value, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.lines().all(|line| line.chars().all(is_harmless)),
            "{text:?}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
