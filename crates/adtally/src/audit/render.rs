//! An audit as a person reads it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::findings::Findings;
use crate::numbers::{counted, thousands};
use crate::tables::{table, text};

/// How many differing totals are shown.
const SHOWN: usize = 50;
/// How many pending hours or days are named.
const NAMED: usize = 5;

/// Writes `findings`, the verdict last.
pub(crate) fn render(findings: &Findings, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "audit at {} ({})", findings.at, findings.timezone)?;
    writeln!(
        out,
        "compared {} with raw events, {} with hours",
        counted(findings.hours_checked, "hour"),
        counted(findings.days_checked, "day"),
    )?;
    if let Some(before) = &findings.skipped_before {
        writeln!(
            out,
            "skipped everything before {before}: its raw events were dropped"
        )?;
    }
    pending(out, "hour", &findings.pending_hours)?;
    pending(out, "day", &findings.pending_days)?;
    on_its_way(out, findings)?;
    dead_letters(out, findings)?;
    gone(out, findings)?;
    verdict(out, findings)
}

/// What no roll-up brings back.
fn gone(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    let partitions = &findings.missing_partitions;
    if !partitions.is_empty() {
        let named: Vec<_> = partitions.iter().take(SHOWN).map(String::as_str).collect();
        let more = if partitions.len() > SHOWN {
            ", ..."
        } else {
            ""
        };
        writeln!(
            out,
            "raw events are gone: {} with totals missing: {}{more}",
            counted(partitions.len() as u64, "partition"),
            named.join(", ")
        )?;
    }
    let closed = &findings.closed_hours;
    if !closed.is_empty() {
        let count = counted(closed.len() as u64, "hour");
        writeln!(
            out,
            "closed: {count} whose raw events are gone; totals stand, late events become dead letters:"
        )?;
        for hour in closed.iter().take(SHOWN) {
            writeln!(out, "  {} ({})", hour.start, hour.reason)?;
        }
        if closed.len() > SHOWN {
            let more = thousands((closed.len() - SHOWN) as u64);
            writeln!(out, "  and {more} more")?;
        }
    }
    Ok(())
}

fn pending(out: &mut impl Write, what: &str, buckets: &[String]) -> io::Result<()> {
    if buckets.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = buckets.iter().take(NAMED).map(String::as_str).collect();
    let more = if buckets.len() > NAMED { ", ..." } else { "" };
    let count = counted(buckets.len() as u64, what);
    writeln!(
        out,
        "pending: {count} wait for a roll-up: {}{more}",
        named.join(", ")
    )
}

fn on_its_way(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    match (&findings.queued, &findings.queued_unknown) {
        (Some(queued), _) => {
            let all = queued.values().sum::<u64>();
            write!(out, "queued: {}", counted(all, "message"))?;
            let waiting = queued.iter().filter(|(_, count)| **count > 0);
            for (index, (queue, count)) in waiting.enumerate() {
                let comma = if index == 0 { ": " } else { ", " };
                write!(out, "{comma}{queue} {}", thousands(*count))?;
            }
            writeln!(out)?;
        }
        (None, Some(reason)) => writeln!(out, "queued: unknown ({reason})")?,
        (None, None) => writeln!(out, "queued: not asked (give --amqp-url)")?,
    }
    match (&findings.spooled, &findings.spooled_unknown) {
        (Some(metrics), _) => writeln!(out, "spooled: {}", spool(metrics)),
        (None, Some(reason)) => writeln!(out, "spooled: unknown ({reason})"),
        (None, None) => writeln!(out, "spooled: not asked (give --api)"),
    }
}

fn spool(metrics: &BTreeMap<String, f64>) -> String {
    let whole = |name: &str| metrics.get(name).map(|value| *value as u64);
    match (whole("events"), whole("bytes")) {
        (Some(events), Some(bytes)) => {
            format!("{} in {}", counted(events, "event"), counted(bytes, "byte"))
        }
        (Some(events), None) => counted(events, "event"),
        (None, _) => "this API has no spool".to_owned(),
    }
}

fn dead_letters(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    if findings.dead_letters.is_empty() {
        return writeln!(out, "dead letters: none");
    }
    writeln!(out, "dead letters:")?;
    let mut shown = table(&["reason", "state", "#count"]);
    for letters in &findings.dead_letters {
        shown.add_row([&letters.reason, letters.state, &thousands(letters.count)]);
    }
    out.write_all(text(&shown).as_bytes())
}

fn verdict(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    if findings.ok {
        return writeln!(out, "every total is what its events add up to");
    }
    if findings.mismatches() == 0 {
        return Ok(());
    }
    let count = counted(findings.mismatches(), "total");
    writeln!(
        out,
        "{count} differ (impressions and clicks, expected / found):"
    )?;
    let mut shown = table(&["", "start", "#ad", "#impressions", "#clicks"]);
    let both = |expected, found| format!("{} / {}", thousands(expected), thousands(found));
    for difference in findings.mismatches.iter().take(SHOWN) {
        shown.add_row([
            difference.granularity.to_owned(),
            difference.start.clone(),
            difference
                .ad_id
                .map_or_else(|| "invalid".to_owned(), |ad| ad.to_string()),
            both(
                difference.expected_impressions,
                difference.found_impressions,
            ),
            both(difference.expected_clicks, difference.found_clicks),
        ]);
    }
    out.write_all(text(&shown).as_bytes())?;
    if findings.mismatches.len() > SHOWN {
        writeln!(
            out,
            "and {} more",
            thousands((findings.mismatches.len() - SHOWN) as u64)
        )?;
    }
    match &findings.repair {
        Some(command) => writeln!(out, "to build them anew from what is there: {command}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use adtally_domain::{AdId, ReportingZone, Timestamp};
    use adtally_store::{
        AuditReport, ClosedHour, ClosedReason, DeadLetterCount, DeadLetterState, Granularity,
        Measure, Mismatch,
    };

    use super::*;

    fn report() -> AuditReport {
        AuditReport {
            at: Timestamp::from_millis(1_795_327_200_000).unwrap(),
            raw_from: None,
            hours_checked: 1_234,
            days_checked: 51,
            pending_hours: Vec::new(),
            pending_days: Vec::new(),
            mismatches: Vec::new(),
            missing_partitions: Vec::new(),
            closed_hours: Vec::new(),
            dead_letters: Vec::new(),
        }
    }

    fn rendered(report: AuditReport) -> String {
        let zone: ReportingZone = "Asia/Tehran".parse().unwrap();
        let mut out = Vec::new();
        render(&Findings::of_database(zone, &report), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_healthy_database_is_said_to_be_so() {
        let text = rendered(report());
        assert!(text.contains("compared 1,234 hours with raw events, 51 days with hours"));
        assert!(
            text.ends_with("every total is what its events add up to\n"),
            "{text}"
        );
    }

    #[test]
    fn what_waits_for_a_roll_up_is_pending_and_no_fault() {
        let zone: ReportingZone = "Asia/Tehran".parse().unwrap();
        let at = report().at;
        let hours = zone
            .hours(at, at.saturating_add_millis(6 * 3_600_000))
            .collect();
        let text = rendered(AuditReport {
            pending_hours: hours,
            pending_days: vec![zone.day_of(at)],
            ..report()
        });
        assert!(
            text.contains("pending: 7 hours wait for a roll-up: 2026-11-22T09:00:00+03:30,"),
            "{text}"
        );
        assert!(
            text.contains("pending: 1 day wait for a roll-up: 2026-11-22\n"),
            "{text}"
        );
        assert!(text.contains("every total is"), "{text}");
    }

    #[test]
    fn what_is_spooled_is_counted_in_events() {
        let metrics = [("events".to_owned(), 1_200.0), ("bytes".to_owned(), 1.0)];
        assert_eq!(spool(&BTreeMap::from(metrics)), "1,200 events in 1 byte");
        assert_eq!(spool(&BTreeMap::new()), "this API has no spool");
    }

    #[test]
    fn a_total_that_differs_is_shown_with_what_it_should_be() {
        let mismatch = Mismatch {
            granularity: Granularity::Day,
            start: report().at,
            ad_id: AdId::new(42),
            expected: [(Measure::Impressions, 1_000), (Measure::Clicks, 1)]
                .into_iter()
                .collect(),
            found: [(Measure::Impressions, 999), (Measure::Clicks, 1)]
                .into_iter()
                .collect(),
        };
        let text = rendered(AuditReport {
            mismatches: vec![mismatch; 60],
            ..report()
        });
        assert!(text.contains("60 totals differ"), "{text}");
        assert!(text.contains("1,000 / 999"), "{text}");
        let from = "--from 2026-11-22T00:00:00+03:30 --to 2026-11-23T00:00:00+03:30";
        let end =
            format!("and 10 more\nto build them anew from what is there: adtally rebuild {from}\n");
        assert!(text.ends_with(&end), "{text}");
        assert!(text.contains("2026-11-22"), "{text}");
    }

    #[test]
    fn what_is_gone_is_named() {
        let text = rendered(AuditReport {
            missing_partitions: vec!["2026-11-20".parse().unwrap()],
            closed_hours: vec![ClosedHour {
                start: report().at,
                reason: ClosedReason::EventsMissing,
                closed_at: report().at,
            }],
            ..report()
        });
        assert!(
            text.contains("1 partition with totals missing: events_20261120\n"),
            "{text}"
        );
        assert!(
            text.contains("2026-11-22T09:30:00+03:30 (events_missing)"),
            "{text}"
        );
        assert!(!text.contains("every total is"), "{text}");
    }

    #[test]
    fn dead_letters_and_skipped_buckets_are_reported() {
        let text = rendered(AuditReport {
            raw_from: Some(report().at),
            dead_letters: vec![DeadLetterCount {
                reason: "too_old".to_owned(),
                state: DeadLetterState::New,
                count: 1_500,
            }],
            ..report()
        });
        assert!(
            text.contains("skipped everything before 2026-11-22T09:30:00+03:30"),
            "{text}"
        );
        assert!(text.contains("too_old") && text.contains("1,500"), "{text}");
    }
}
