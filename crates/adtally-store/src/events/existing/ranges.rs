//! Ranges of neighbouring ids.

use uuid::Uuid;

/// Ids are neighbours when they are no further apart than this many times the median distance. Of
/// events that come evenly, none in a billion is further from the next.
const NEAR: u64 = 32;
/// Fewer neighbours are not worth a range.
const LEAST: usize = 64;

/// Ids divided into those that have neighbours and those that have not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    /// The first id of each range.
    pub(super) firsts: Vec<Uuid>,
    /// The last id of each range.
    pub(super) lasts: Vec<Uuid>,
    /// The ids that are in no range: late events, say, or a few that are repeated.
    pub(super) isolated: Vec<Uuid>,
}

impl Ranges {
    /// Divides `ids`, which are sorted.
    pub(super) fn of(ids: &[Uuid]) -> Self {
        let near = median_distance(ids).saturating_mul(NEAR);
        let mut ranges = Self::default();
        for run in ids.chunk_by(|before, after| distance(before, after) <= near) {
            match run {
                [first, .., last] if run.len() >= LEAST => {
                    ranges.firsts.push(*first);
                    ranges.lasts.push(*last);
                }
                few => ranges.isolated.extend(few),
            }
        }
        ranges
    }
}

fn median_distance(ids: &[Uuid]) -> u64 {
    let pairs = ids.iter().zip(ids.iter().skip(1));
    let mut distances: Vec<u64> = pairs
        .map(|(before, after)| distance(before, after))
        .collect();
    if distances.is_empty() {
        return 0;
    }
    let middle = distances.len() / 2;
    *distances.select_nth_unstable(middle).1
}

fn distance(before: &Uuid, after: &Uuid) -> u64 {
    place(after).abs_diff(place(before))
}

/// Where an id is in time, in 4096ths of a millisecond: the time of versions 7 and 8 (RFC 9562) and
/// the bits after it, without the version between them.
fn place(id: &Uuid) -> u64 {
    let (high, _) = id.as_u64_pair();
    (high >> 16) << 12 | (high & 0xfff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(places: impl IntoIterator<Item = u64>) -> Vec<Uuid> {
        let id = |place: u64| {
            let high = (place >> 12) << 16 | 0x7000 | (place & 0xfff);
            Uuid::from_u64_pair(high, 0x8000_0000_0000_0000)
        };
        places.into_iter().map(id).collect()
    }

    #[test]
    fn few_ids_are_no_range() {
        assert_eq!(Ranges::of(&[]), Ranges::default());
        let few = ids(0..63);
        assert_eq!(Ranges::of(&few).isolated, few);
        let enough = Ranges::of(&ids(0..64));
        assert_eq!((enough.firsts, enough.lasts), (ids([0]), ids([63])));
    }

    #[test]
    fn a_new_millisecond_is_no_distance() {
        let busy: Vec<Uuid> = ids((0..4_096).map(|number| number * 512));
        assert_eq!(Ranges::of(&busy).firsts, ids([0]));
        assert!(Ranges::of(&busy).isolated.is_empty());
    }

    #[test]
    fn what_is_repeated_from_before_is_apart_from_what_is_new() {
        let repeated = (0..100).map(|number| number * 1_000);
        let new = (200_000..210_000).map(|number| number * 10);
        let ranges = Ranges::of(&ids(repeated.clone().chain(new)));
        assert_eq!(ranges.isolated, ids(repeated));
        assert_eq!(ranges.firsts, ids([2_000_000]));
        assert_eq!(ranges.lasts, ids([2_099_990]));
    }

    proptest! {
        #[test]
        fn every_id_is_lone_or_in_one_range(
            near in prop::collection::btree_set(0_u64..30_000, 0..600),
            far in prop::collection::btree_set(0_u64..1 << 60, 0..90),
        ) {
            let ids = ids(near.union(&far).copied());
            let Ranges { firsts, lasts, isolated } = Ranges::of(&ids);
            prop_assert_eq!(firsts.len(), lasts.len());
            for id in &ids {
                let ranges = firsts.iter().zip(&lasts);
                let holding = ranges.filter(|(first, last)| *first <= id && id <= *last).count();
                prop_assert_eq!(holding + usize::from(isolated.binary_search(id).is_ok()), 1);
            }
        }
    }
}
