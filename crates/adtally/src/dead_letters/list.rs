//! `adtally dead-letters list`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use adtally_api::DeadLetterRecord;
use adtally_domain::{ReportingZone, Timestamp};
use adtally_store::{DeadLetterCount, DeadLetterPage, DeadLetterState, DeadLetterSummary};
use serde::Serialize;

use super::args::ListArgs;
use super::escape::line;
use crate::numbers::thousands;
use crate::tables::{table, text};
use crate::{database, json};

/// Characters of a reason in words that fit a row.
const DETAIL: usize = 60;
/// Rows read at once.
const PAGE: u32 = 1_000;

/// What a list tells scripts.
#[derive(Serialize)]
struct Listed {
    data: Vec<DeadLetterRecord>,
    counts: Vec<Count>,
    /// Whether there are more than are shown.
    more: bool,
}

#[derive(Serialize)]
struct Count {
    reason: String,
    state: &'static str,
    count: u64,
}

/// Lists what `args` ask for.
///
/// # Errors
/// When the database is away or a time is none.
pub(super) async fn run(args: &ListArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let store = database::open(&args.database).await?;
    let filter = args.filter.filter(&store).await?;
    let mut page = DeadLetterPage {
        letters: Vec::new(),
        next: None,
    };
    loop {
        let wanted = args.limit - u32::try_from(page.letters.len()).unwrap_or(args.limit);
        let next = store.dead_letters(filter.clone(), page.next, wanted.min(PAGE));
        let next = next.await.map_err(database::failure)?;
        page.letters.extend(next.letters);
        page.next = next.next;
        if page.next.is_none() || page.letters.len() >= args.limit as usize {
            break;
        }
    }
    let counts = store.dead_letter_counts(filter).await;
    let counts = counts.map_err(database::failure)?;
    if args.json {
        return json::write(&listed(&page, counts), out);
    }
    let zone = database::zone(&store).await?;
    Ok(render(&page, &counts, zone, out)?)
}

fn listed(page: &DeadLetterPage, counts: Vec<DeadLetterCount>) -> Listed {
    let counts = counts.into_iter().map(|count| Count {
        reason: count.reason,
        state: count.state.as_str(),
        count: count.count,
    });
    Listed {
        data: page.letters.iter().map(DeadLetterRecord::from).collect(),
        counts: counts.collect(),
        more: page.next.is_some(),
    }
}

fn render(
    page: &DeadLetterPage,
    counts: &[DeadLetterCount],
    zone: ReportingZone,
    out: &mut impl Write,
) -> io::Result<()> {
    if page.letters.is_empty() {
        return writeln!(out, "no dead letters");
    }
    let titles = [
        "id",
        "first seen",
        "state",
        "reason",
        "found in",
        "#ad",
        "#bytes",
        "detail",
    ];
    let mut shown = table(&titles);
    for letter in &page.letters {
        shown.add_row(cells(letter, zone));
    }
    out.write_all(text(&shown).as_bytes())?;
    if page.next.is_some() {
        writeln!(out, "there are more: raise --limit or narrow the filters")?;
    }
    writeln!(out)?;
    out.write_all(totals(counts).as_bytes())
}

fn cells(letter: &DeadLetterSummary, zone: ReportingZone) -> [String; 8] {
    [
        letter.id.to_string(),
        local(zone, letter.first_seen),
        letter.state.as_str().to_owned(),
        line(&letter.reason),
        line(&letter.source),
        letter.ad_id.map_or_else(String::new, |ad| ad.to_string()),
        thousands(letter.body_bytes),
        short(&line(&letter.detail)),
    ]
}

/// A time as the reporting zone's clocks show it.
pub(super) fn local(zone: ReportingZone, time: Timestamp) -> String {
    let local = zone.local(time);
    local.format("%Y-%m-%d %H:%M:%S %:z").to_string()
}

fn short(detail: &str) -> String {
    match detail.char_indices().nth(DETAIL) {
        Some((end, _)) => format!("{}...", detail.get(..end).unwrap_or_default()),
        None => detail.to_owned(),
    }
}

/// Counts by reason, one column for each state.
fn totals(counts: &[DeadLetterCount]) -> String {
    let mut reasons: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    let mut all = [0; 3];
    for count in counts {
        let row = reasons.entry(&count.reason).or_default();
        for (index, state) in DeadLetterState::ALL.into_iter().enumerate() {
            for row in [&mut *row, &mut all] {
                if let (true, Some(cell)) = (state == count.state, row.get_mut(index)) {
                    *cell += count.count;
                }
            }
        }
    }
    let mut shown = table(&["reason", "#new", "#requeued", "#discarded"]);
    let rows = reasons.into_iter().chain([("all", all)]);
    for (reason, [new, requeued, discarded]) in rows {
        let numbers = [new, requeued, discarded].map(thousands);
        let [new, requeued, discarded] = numbers;
        shown.add_row([line(reason), new, requeued, discarded]);
    }
    text(&shown)
}

#[cfg(test)]
mod tests {
    use adtally_domain::AdId;
    use uuid::Uuid;

    use super::*;

    fn letter(detail: &str) -> DeadLetterSummary {
        DeadLetterSummary {
            id: Uuid::from_u128(7),
            source: "adtally.clicks".to_owned(),
            reason: "invalid_event".to_owned(),
            detail: detail.to_owned(),
            event_id: None,
            ad_id: AdId::new(42),
            occurred_at: None,
            first_seen: Timestamp::EPOCH,
            requeued_at: None,
            state: DeadLetterState::New,
            body_bytes: 1_234,
        }
    }

    fn rendered(letters: Vec<DeadLetterSummary>, counts: &[DeadLetterCount]) -> String {
        let page = DeadLetterPage {
            letters,
            next: None,
        };
        let mut out = Vec::new();
        let zone = "Asia/Tehran".parse().unwrap();
        render(&page, counts, zone, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_letter_is_a_row_and_reasons_are_added_up() {
        let count = |reason: &str, state, count| DeadLetterCount {
            reason: reason.to_owned(),
            state,
            count,
        };
        let counts = [
            count("invalid_event", DeadLetterState::New, 1_000),
            count("invalid_event", DeadLetterState::Discarded, 1),
            count("too_old", DeadLetterState::Requeued, 5),
        ];
        let long = format!("\u{1b}[31m{}", "x".repeat(100));
        let text = rendered(vec![letter(&long)], &counts);
        let row = |start: &str| {
            let line = text.lines().find(|line| line.trim().starts_with(start));
            let cells = line.unwrap().split_whitespace();
            cells.map(str::to_owned).collect::<Vec<_>>()
        };
        let letter = row("00000000-0000-0000-0000-000000000007");
        assert_eq!(letter[1..4], ["1970-01-01", "03:30:00", "+03:30"]);
        assert_eq!(
            letter[4..9],
            ["new", "invalid_event", "adtally.clicks", "42", "1,234"]
        );
        assert!(letter[9].starts_with("\\u{1b}[31mxxx") && letter[9].ends_with("x..."));
        assert_eq!(row("invalid_event"), ["invalid_event", "1,000", "0", "1"]);
        assert_eq!(row("too_old"), ["too_old", "0", "5", "0"]);
        assert_eq!(row("all"), ["all", "1,000", "5", "1"]);
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert_eq!(rendered(Vec::new(), &[]), "no dead letters\n");
    }
}
