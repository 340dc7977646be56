//! What the events of one mark add to the totals of its hour.
//!
//! The form of `dirty_hours.added`: for each ad, in the order of ids, how far its id is from the one before,
//! then a number for each measure. Each is a LEB128: seven bits a byte, lowest first, the highest bit set on
//! all but the last. So an ad takes three to five bytes, and a batch that is stored hardly longer. A further
//! measure is another form: builds before and after it must tell them apart.

use crate::totals::{Counts, Measure, Totals};

/// Bits of a counted event that say which measure it counts for.
const MEASURE_BITS: u32 = 1;
const _: () = assert!(Measure::ALL.len() <= 1 << MEASURE_BITS);

/// Adds up what it is given one event at a time, and writes it once.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// Ads and measures as one number each: sorting these is cheaper than any map of so few events each.
    events: Vec<u64>,
}

impl Added {
    /// Counts an event of `ad_id`, which is positive.
    pub(crate) fn push(&mut self, ad_id: i64, measure: Measure) {
        self.events
            .push(ad_id.unsigned_abs() << MEASURE_BITS | measure as u64);
    }

    /// What was counted, in the form of the column, and forgets it.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.events.sort_unstable();
        let (mut bytes, mut before) = (Vec::new(), 0);
        let ad_of = |event: &u64| event >> MEASURE_BITS;
        for ad in self.events.chunk_by(|one, next| ad_of(one) == ad_of(next)) {
            let [first, ..] = ad else { continue };
            let (id, mut rest) = (ad_of(first), ad);
            number(&mut bytes, id - before);
            for measure in Measure::ALL {
                let event = id << MEASURE_BITS | measure as u64;
                let count = rest.partition_point(|other| *other <= event);
                number(&mut bytes, count as u64);
                rest = rest.get(count..).unwrap_or_default();
            }
            before = id;
        }
        self.events.clear();
        bytes
    }
}

/// Adds what `bytes` say to `totals`; of the ad `only`, if one is given. `None` for what this build cannot
/// read: then the hour is to be counted anew.
pub(crate) fn add_to(totals: &mut Totals, bytes: &[u8], only: Option<i64>) -> Option<()> {
    let (mut rest, mut ad_id) = (bytes, 0_u64);
    while !rest.is_empty() {
        ad_id = ad_id.checked_add(read(&mut rest)?)?;
        let id = i64::try_from(ad_id).ok().filter(|id| *id > 0)?;
        let mut more = Counts::default();
        for measure in Measure::ALL {
            more[measure] = i64::try_from(read(&mut rest)?).ok()?;
        }
        if only.is_none_or(|only| only == id) {
            let counts = totals.entry(id).or_default();
            *counts = counts.checked_add(more)?;
        }
    }
    Some(())
}

fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while let Some(more) = std::num::NonZeroU64::new(number >> 7) {
        bytes.push(low_bits(number) | 0x80);
        number = more.get();
    }
    bytes.push(low_bits(number));
}

fn low_bits(number: u64) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low & 0x7f
}

fn read(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has one bit of a number.
        number |= bits.checked_shl(shift).filter(|b| b >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was_counted(
            events in prop::collection::vec(
                (prop_oneof![1_i64..50, 1_i64..=i64::MAX, Just(i64::MAX)], 0..Measure::ALL.len()), 0..200)
        ) {
            let (mut added, mut expected) = (Added::default(), Totals::new());
            for (ad_id, measure) in &events {
                let measure = Measure::ALL[*measure];
                added.push(*ad_id, measure);
                expected.entry(*ad_id).or_default()[measure] += 1;
            }
            let bytes = added.take();
            prop_assert!(added.take().is_empty());
            let mut totals = Totals::new();
            prop_assert_eq!(add_to(&mut totals, &bytes, None), Some(()));
            prop_assert_eq!(&totals, &expected);
            if let Some((ad_id, _)) = events.first() {
                let mut one = Totals::new();
                add_to(&mut one, &bytes, Some(*ad_id)).unwrap();
                prop_assert_eq!(one.get(ad_id), expected.get(ad_id));
                prop_assert_eq!(one.len(), 1);
            }
        }

        #[test]
        fn bytes_of_any_kind_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut totals = Totals::new();
            let read = add_to(&mut totals, &bytes, None);
            prop_assert!(read.is_none() || totals.keys().all(|ad_id| *ad_id > 0));
        }
    }

    #[test]
    fn an_ad_takes_a_few_bytes() {
        let mut added = Added::default();
        for ad_id in 1..=1_000 {
            added.push(ad_id, Measure::Impressions);
        }
        assert_eq!(added.take().len(), 3_000);
    }
}
