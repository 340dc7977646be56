//! What is counted.

use std::ops::{AddAssign, Index, IndexMut};

use adtally_domain::EventKind;
use diesel::deserialize;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::row::NamedRow;
use diesel::sql_types::BigInt;

macro_rules! measures {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident;)*) => {
        /// What is counted of an ad in an hour or a day.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Measure { $($(#[$doc])* $name,)* }

        impl Measure {
            /// Every measure.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// The name, which is that of its column too.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The measure that an event of `kind` counts for.
            pub(crate) const fn of(kind: EventKind) -> Self {
                match kind { $(EventKind::$kind => Self::$name,)* }
            }

            const fn kind(self) -> EventKind {
                match self { $(Self::$name => EventKind::$kind,)* }
            }
        }
    };
}

measures! {
    /// Impressions.
    Impressions = "impressions", Impression;
    /// Clicks.
    Clicks = "clicks", Click;
}

impl Measure {
    /// What counts it in a SELECT from `events`.
    pub(super) fn counted(self) -> String {
        let (kind, name) = (self.kind().code(), self.as_str());
        format!("count(*) FILTER (WHERE kind = {kind}) AS {name}")
    }
}

/// A part of a statement for each measure, one behind the other.
pub(super) fn each(part: impl Fn(Measure) -> String) -> String {
    Measure::ALL.map(part).join(", ")
}

/// The columns of all measures.
pub(super) fn columns() -> String {
    each(|measure| measure.as_str().to_owned())
}

/// A number for each measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([i64; Measure::ALL.len()]);

impl Counts {
    /// How many. A negative number, which only a person can have written, is none.
    #[must_use]
    pub fn get(self, measure: Measure) -> u64 {
        u64::try_from(self[measure]).unwrap_or(0)
    }

    /// The sum, unless a number of it is too large.
    pub(crate) fn checked_add(mut self, more: Self) -> Option<Self> {
        for measure in Measure::ALL {
            self[measure] = self[measure].checked_add(more[measure])?;
        }
        Some(self)
    }

    /// How many of these are not among `others`.
    pub(crate) fn missing_in(self, others: Self) -> u64 {
        let of_measure = |measure| self[measure].saturating_sub(others[measure]);
        let fewer = Measure::ALL.map(of_measure).into_iter();
        fewer.map(|fewer| u64::try_from(fewer).unwrap_or(0)).sum()
    }
}

impl Index<Measure> for Counts {
    type Output = i64;

    #[expect(clippy::indexing_slicing, reason = "there are as many as measures")]
    fn index(&self, measure: Measure) -> &i64 {
        &self.0[measure as usize]
    }
}

impl IndexMut<Measure> for Counts {
    #[expect(clippy::indexing_slicing, reason = "there are as many as measures")]
    fn index_mut(&mut self, measure: Measure) -> &mut i64 {
        &mut self.0[measure as usize]
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        for measure in Measure::ALL {
            self[measure] += more[measure];
        }
    }
}

impl FromIterator<(Measure, i64)> for Counts {
    fn from_iter<Numbers: IntoIterator<Item = (Measure, i64)>>(numbers: Numbers) -> Self {
        let mut counts = Self::default();
        for (measure, number) in numbers {
            counts[measure] += number;
        }
        counts
    }
}

impl QueryableByName<Pg> for Counts {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        let mut counts = Self::default();
        for measure in Measure::ALL {
            counts[measure] = NamedRow::get::<BigInt, i64>(row, measure.as_str())?;
        }
        Ok(counts)
    }
}
