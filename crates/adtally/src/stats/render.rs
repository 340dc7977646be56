//! Totals as a table.

use std::io::{self, Write};

use chrono::{DateTime, FixedOffset};

use super::totals::{Totals, TotalsRow, ctr};
use crate::numbers::thousands;
use crate::tables::{table, text};

/// Writes `totals` as a table with a last line that adds them up.
pub(crate) fn render(totals: &Totals, out: &mut impl Write) -> io::Result<()> {
    let rows = &totals.data;
    let per = totals.granularity;
    writeln!(out, "totals per {per} ({})", totals.timezone)?;
    if rows.is_empty() {
        return writeln!(out, "no events in this period");
    }
    let middle = match rows.first() {
        Some(row) if row.ads.is_some() => "#ads",
        _ => "#ad",
    };
    let mut shown = table(&[per, middle, "#impressions", "#clicks", "#ctr", "status"]);
    for row in rows {
        shown.add_row(cells(totals, row));
    }
    let (impressions, clicks) = rows.iter().fold((0, 0), |(impressions, clicks), row| {
        (impressions + row.impressions, clicks + row.clicks)
    });
    shown.add_row([
        "all".to_owned(),
        String::new(),
        thousands(impressions),
        thousands(clicks),
        percent(ctr(impressions, clicks)),
        String::new(),
    ]);
    out.write_all(text(&shown).as_bytes())?;
    if totals.more {
        writeln!(
            out,
            "there are more rows: raise --limit or shorten the period"
        )?;
    }
    Ok(())
}

fn cells(totals: &Totals, row: &TotalsRow) -> [String; 6] {
    let middle = match (row.ads, row.ad_id) {
        (Some(ads), _) => thousands(ads),
        (None, Some(ad)) => ad.to_string(),
        (None, None) => String::new(),
    };
    [
        start(totals, row.start),
        middle,
        thousands(row.impressions),
        thousands(row.clicks),
        percent(row.ctr),
        row.status.clone(),
    ]
}

/// A bucket's name. Hours show their offset: where clocks go back, one time of day is two hours.
fn start(totals: &Totals, start: DateTime<FixedOffset>) -> String {
    let format = match totals.granularity {
        "day" => "%Y-%m-%d",
        _ => "%Y-%m-%d %H:%M %:z",
    };
    start.format(format).to_string()
}

fn percent(ctr: Option<f64>) -> String {
    ctr.map_or_else(|| "-".to_owned(), |ctr| format!("{:.2} %", ctr * 100.0))
}

#[cfg(test)]
mod tests {
    use adtally_domain::{AdId, ReportingZone, Timestamp};
    use adtally_store::{BucketStatus, Granularity, Measure, StatsRow};

    use super::*;
    use crate::stats::totals::Collector;

    fn row(hour: i64, ad: i64, impressions: i64, clicks: i64) -> TotalsRow {
        let time = |hours: i64| Timestamp::from_millis(hours * 3_600_000).unwrap();
        let row = StatsRow {
            ad_id: AdId::new(ad).unwrap(),
            start: time(hour),
            end: time(hour + 1),
            counts: [
                (Measure::Impressions, impressions),
                (Measure::Clicks, clicks),
            ]
            .into_iter()
            .collect(),
            status: BucketStatus::Final,
        };
        TotalsRow::stored(ReportingZone::UTC, &row)
    }

    fn rendered(mut collector: Collector, rows: &[TotalsRow]) -> String {
        rows.iter().cloned().all(|row| collector.take(row));
        let totals = collector.finish("UTC".to_owned(), Granularity::Hour);
        let mut out = Vec::new();
        render(&totals, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ads_of_an_hour_are_added_up() {
        let rows = [row(0, 1, 1_000, 10), row(0, 2, 500, 5), row(2, 1, 0, 1)];
        let text = rendered(Collector::of_all(), &rows);
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let cells = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let find = |start: &str| cells(lines.iter().find(|line| line.starts_with(start)).unwrap());
        assert_eq!(
            find("1970-01-01 00:00")[3..],
            ["2", "1,500", "15", "1.00", "%", "final"]
        );
        assert_eq!(find("1970-01-01 02:00")[3..], ["1", "0", "1", "-", "final"]);
        assert_eq!(find("all"), ["all", "1,500", "16", "1.07", "%"]);
    }

    #[test]
    fn rows_beyond_the_limit_are_mentioned() {
        let rows = [row(0, 1, 1, 0), row(0, 2, 1, 0), row(0, 3, 1, 0)];
        let text = rendered(Collector::of_ads(2), &rows);
        assert!(text.contains("more rows"), "{text}");
        assert!(!rendered(Collector::of_ads(3), &rows).contains("more rows"));
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert!(rendered(Collector::of_all(), &[]).contains("no events"));
    }
}
