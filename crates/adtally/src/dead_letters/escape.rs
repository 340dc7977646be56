//! Text from outside on its way to a terminal.

/// `text` without anything a terminal would obey: control characters, and those that turn the
/// direction of writing, are written as escapes. Line feeds too.
pub(crate) fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same, but line feeds stay.
pub(super) fn lines(text: &str) -> String {
    escaped(text, |character| character == '\n')
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if crate::json::is_harmless(character) || stays(character) {
            safe.push(character);
        } else {
            safe.extend(character.escape_default());
        }
    }
    safe
}

/// `bytes` as lines of 16 in hexadecimal digits, each with the printable ASCII among them.
pub(super) fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (number, row) in bytes.chunks(16).enumerate() {
        let digits: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        };
        let shown: String = row.iter().map(shown).collect();
        let line = format!("{:08x}  {:<47}  {shown}\n", number * 16, digits.join(" "));
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let hostile = "a\u{1b}[2J\u{9b}1m\r\u{7f}\u{202e}b\n\tکلیک é";
        let expected = "a\\u{1b}[2J\\u{9b}1m\\r\\u{7f}\\u{202e}b\\n\\tکلیک é";
        assert_eq!(line(hostile), expected);
        assert_eq!(lines("a\nb\r"), "a\nb\\r");
    }

    #[test]
    fn bytes_are_dumped_in_rows() {
        let text = dump(b"0123456789abcdef\x1b\xff");
        let expected = "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n\
                        00000010  1b ff                                            ..\n";
        assert_eq!(text, expected);
    }
}
