//! A format of times, read more strictly than chrono reads it.

use std::fmt::Write;

use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems, parse_and_remainder};
use chrono::{DateTime, NaiveDate, Utc};

/// The parts of a format.
///
/// chrono takes a number of fewer digits than its place has, and no white space for any. So
/// `%y%m%d%H` would read `1410210` in some way, and `%d/%m/%y %H` would read `07/11/2017` as an
/// hour of 2020. Here digits that run together have their full width, and digits that a format
/// keeps apart are apart.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    items: Vec<Item<'static>>,
    says: Says,
}

/// What the texts of a pattern say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Says {
    /// The offset from UTC.
    pub(super) offset: bool,
    /// Seconds since 1970.
    pub(super) timestamp: bool,
    /// The hour, and nothing smaller: its first minute is meant.
    pub(super) hour_only: bool,
}

#[derive(Debug, Clone)]
enum Part {
    /// White space, or none.
    Space(Item<'static>),
    /// Numbers without anything between them, and how many digits they have together.
    Digits(Vec<Item<'static>>, usize),
    /// Anything else.
    Other(Item<'static>),
}

/// A time of which no two parts are alike, all with as many digits as they ever have.
pub(super) fn sample() -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(2001, 11, 22)
        .and_then(|day| day.and_hms_milli_opt(13, 45, 56, 789))
        .unwrap_or_default()
        .and_utc()
}

impl Pattern {
    /// The pattern of `format` in chrono's notation of strftime.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(format: &str) -> Result<Self, &'static str> {
        let items = StrftimeItems::new(format)
            .parse_to_owned()
            .map_err(|_| "holds a specifier that does not exist")?;
        items.iter().try_for_each(check)?;
        let mut pattern = Self {
            parts: parts(&items),
            items,
            says: Says::default(),
        };
        // Asked of a text and not of the items: chrono does not name all of them.
        if let Some(sample) = pattern.parse(&pattern.write(sample())) {
            pattern.says = Says {
                offset: sample.offset().is_some(),
                timestamp: sample.timestamp().is_some(),
                hour_only: ends_with_hour(&sample),
            };
        }
        Ok(pattern)
    }

    /// What the texts of this pattern say.
    pub(super) fn says(&self) -> Says {
        self.says
    }

    /// Writes `time`.
    pub(super) fn write(&self, time: DateTime<Utc>) -> String {
        written(&self.items, time)
    }

    /// What all of `text` says; `None` when it is not of this pattern.
    pub(super) fn parse(&self, text: &str) -> Option<Parsed> {
        let mut parsed = Parsed::new();
        let mut rest = text;
        for part in &self.parts {
            let read = text.get(..text.len() - rest.len())?;
            rest = part.parse(&mut parsed, read, rest)?;
        }
        if self.says.hour_only {
            parsed.set_minute(0).ok()?;
        }
        rest.is_empty().then_some(parsed)
    }
}

impl Part {
    /// Takes its text from the beginning of `rest`, which follows `read`.
    fn parse<'a>(&self, parsed: &mut Parsed, read: &str, rest: &'a str) -> Option<&'a str> {
        let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        match self {
            Self::Space(_)
                if is_digit(read.as_bytes().last()) && is_digit(rest.as_bytes().first()) =>
            {
                None
            }
            Self::Space(item) | Self::Other(item) => {
                parse_and_remainder(parsed, rest, std::iter::once(item)).ok()
            }
            Self::Digits(items, width) => {
                let behind = parse_and_remainder(parsed, rest, items.iter()).ok()?;
                let taken = rest.len() - behind.len();
                (items.len() == 1 || taken == *width).then_some(behind)
            }
        }
    }
}

/// Refuses what would be read and decide nothing, or another thing than is meant.
fn check(item: &Item<'_>) -> Result<(), &'static str> {
    match item {
        Item::Fixed(Fixed::TimezoneName) => Err(
            "holds %Z, but the letters of a zone name several zones: read an offset with %z, or \
             leave them out and say --time-zone",
        ),
        Item::Numeric(Numeric::Nanosecond, _) => Err(
            "holds %f, which counts nanoseconds: read a fraction of a second with %.f, or one of \
             3, 6 or 9 digits with %3f, %6f or %9f",
        ),
        _ => Ok(()),
    }
}

fn parts(items: &[Item<'static>]) -> Vec<Part> {
    let mut parts = Vec::new();
    for item in items {
        match (parts.last_mut(), item) {
            (_, Item::Space(_) | Item::OwnedSpace(_)) => parts.push(Part::Space(item.clone())),
            (Some(Part::Digits(items, width)), item) if is_number(item) => {
                items.push(item.clone());
                *width += digits(item);
            }
            (_, item) if is_number(item) => {
                parts.push(Part::Digits(vec![item.clone()], digits(item)));
            }
            (_, item) => parts.push(Part::Other(item.clone())),
        }
    }
    parts
}

/// Whether `item` writes digits only, as numbers and fractions without a point do.
fn is_number(item: &Item<'static>) -> bool {
    let text = written(std::slice::from_ref(item), sample());
    let is_value = matches!(item, Item::Numeric(..) | Item::Fixed(_));
    is_value && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn digits(item: &Item<'static>) -> usize {
    written(std::slice::from_ref(item), sample()).len()
}

fn written(items: &[Item<'static>], time: DateTime<Utc>) -> String {
    let mut text = String::new();
    for item in items {
        // One item is only ever read: %#z, an offset of which minutes may be missing.
        if write!(text, "{}", time.format_with_items(std::iter::once(item))).is_err() {
            text.push_str("+00");
        }
    }
    text
}

fn ends_with_hour(time: &Parsed) -> bool {
    let hour = time.hour_div_12().is_some() && time.hour_mod_12().is_some();
    hour && time.minute().is_none() && time.second().is_none() && time.nanosecond().is_none()
}
