//! `adtally dead-letters show`.

use std::io::{self, Write};

use adtally_api::WholeDeadLetter;
use adtally_domain::{ReportingZone, Timestamp};
use adtally_store::DeadLetter;
use anyhow::anyhow;
use serde_json::Value;

use super::args::ShowArgs;
use super::escape::{dump, line, lines};
use super::list::local;
use crate::numbers::counted;
use crate::{database, json};

/// The most bytes of a body that are shown as text.
const SHOWN: usize = 64 * 1_024;

/// Shows the letter that `args` name.
///
/// # Errors
/// When the database is away or there is no such letter.
pub(super) async fn run(args: &ShowArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let store = database::open(&args.database).await?;
    let letter = store.dead_letter(args.id).await;
    let letter = letter.map_err(database::failure)?;
    let letter = letter.ok_or_else(|| anyhow!("there is no dead letter {}", args.id))?;
    if args.json {
        return json::write(&WholeDeadLetter::from(letter), out);
    }
    let zone = database::zone(&store).await?;
    Ok(render(&letter, zone, out)?)
}

fn render(kept: &DeadLetter, zone: ReportingZone, out: &mut impl Write) -> io::Result<()> {
    let letter = &kept.letter;
    let time = |time: Option<Timestamp>| time.map(|time| local(zone, time));
    let size = u64::try_from(letter.body.len()).unwrap_or(u64::MAX);
    let fields = [
        ("id", Some(letter.id.to_string())),
        ("state", Some(kept.state.as_str().to_owned())),
        ("reason", Some(line(&letter.reason))),
        ("detail", Some(line(&letter.detail))),
        ("found in", Some(line(&letter.source))),
        ("first seen", time(Some(kept.first_seen))),
        ("requeued at", time(kept.requeued_at)),
        ("event", letter.event_id.map(|id| id.to_string())),
        ("ad", letter.ad_id.map(|ad| ad.to_string())),
        ("occurred at", time(letter.occurred_at)),
        ("size", Some(counted(size, "byte"))),
    ];
    for (name, value) in fields {
        writeln!(out, "{name:<12} {}", value.as_deref().unwrap_or("-"))?;
    }
    writeln!(out, "\nheaders\n{}", pretty(&letter.headers))?;
    writeln!(out, "\nbody\n{}", body(&letter.body))
}

/// JSON with its lines indented, any other text as it is, anything else as a dump.
fn body(bytes: &[u8]) -> String {
    if let Ok(json) = serde_json::from_slice::<Value>(bytes) {
        return pretty(&json);
    }
    let text = std::str::from_utf8(bytes).ok();
    let end = text.map_or(SHOWN, |text| text.floor_char_boundary(SHOWN));
    let shown = bytes.get(..end).unwrap_or(bytes);
    let written = match text {
        Some(_) => lines(&String::from_utf8_lossy(shown)),
        None => dump(shown),
    };
    match u64::try_from(bytes.len() - shown.len()).unwrap_or(u64::MAX) {
        0 => written.trim_end_matches('\n').to_owned(),
        hidden => format!(
            "{}\nand {} more: --json shows all",
            written.trim_end_matches('\n'),
            counted(hidden, "byte")
        ),
    }
}

fn pretty(value: &Value) -> String {
    lines(&serde_json::to_string_pretty(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_readable_and_obeyed_by_no_terminal() {
        assert_eq!(
            body(br#"{"a":["\u001b",1]}"#),
            "{\n  \"a\": [\n    \"\\u001b\",\n    1\n  ]\n}"
        );
        assert_eq!(
            body("{\"a\u{9b}\":1}".as_bytes()),
            "{\n  \"a\\u{9b}\": 1\n}"
        );
        assert_eq!(body(b"hello\r\n\x1b[2J"), "hello\\r\n\\u{1b}[2J");
        assert!(body(b"\xff\x1b").ends_with(" .."));
        assert_eq!(body(b""), "");
    }

    #[test]
    fn a_huge_body_is_cut_and_says_so() {
        let text = body(&vec![b'x'; SHOWN + 1]);
        assert!(
            text.ends_with("x\nand 1 byte more: --json shows all"),
            "{}",
            text.len()
        );
        let dumped = body(&vec![0xff; SHOWN + 2_000]);
        assert!(dumped.ends_with("and 2,000 bytes more: --json shows all"));
    }
}
