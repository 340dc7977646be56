//! What a file of clicks adds up to, counted without any of AdTally's own code.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Timelike, Utc};
use chrono_tz::Tz;

/// Clicks per hour and ad, and per day and ad.
#[derive(Default)]
pub(super) struct Count {
    pub(super) rows: u64,
    hours: BTreeMap<(DateTime<Utc>, i64), u64>,
    days: BTreeMap<(NaiveDate, i64), u64>,
}

impl Count {
    /// Counts a file whose column `app` is the ad and whose `click_time` is a minute of UTC. No
    /// day it holds may be one on which `zone` changes its clocks.
    pub(super) fn of(text: impl Read, zone: Tz) -> Self {
        let mut reader = csv::Reader::from_reader(text);
        let header = reader.headers().unwrap().clone();
        let column = |name: &str| header.iter().position(|title| title == name).unwrap();
        let (ad, time) = (column("app"), column("click_time"));
        let mut count = Self::default();
        for row in reader.records() {
            let row = row.unwrap();
            let at = NaiveDateTime::parse_from_str(&row[time], "%Y-%m-%d %H:%M").unwrap();
            count.add(row[ad].parse().unwrap(), at.and_utc().with_timezone(&zone));
        }
        count
    }

    fn add(&mut self, ad: i64, local: DateTime<Tz>) {
        let hour = local.with_minute(0).unwrap().with_timezone(&Utc);
        self.rows += 1;
        *self.hours.entry((hour, ad)).or_default() += 1;
        *self.days.entry((local.date_naive(), ad)).or_default() += 1;
    }

    /// As `System::totals` shows it.
    pub(super) fn totals(&self) -> String {
        let mut text = String::new();
        for ((hour, ad), clicks) in &self.hours {
            let hour = hour.format("%Y-%m-%d %H:%M:%S+00");
            writeln!(text, "{hour}|{ad}|0|{clicks}").unwrap();
        }
        text.push('\n');
        for ((day, ad), clicks) in &self.days {
            writeln!(text, "{day}|{ad}|0|{clicks}").unwrap();
        }
        text.trim_end().to_owned()
    }
}
