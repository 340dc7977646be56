//! The event id of a row that has none of its own.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use sha2::{Digest, Sha256};

/// Makes the event ids of one file's rows.
///
/// An id depends on the import's label, on the row's fields and on how many rows just like it came
/// before. So a file that was appended to, renamed or compressed anew gives its old rows their old
/// ids, and rows that are equal stay events of their own.
///
/// Keeps 16 bytes for each distinct row, and a counter for each that occurred twice.
pub(crate) struct RowIds {
    labelled: Sha256,
    seen: HashSet<u128, BuildHasherDefault<FirstBytes>>,
    again: HashMap<u128, u32, BuildHasherDefault<FirstBytes>>,
}

impl RowIds {
    /// Ids of rows imported under `label`.
    pub(crate) fn new(label: &str) -> Self {
        let mut labelled = Sha256::new();
        absorb(&mut labelled, label.as_bytes());
        Self {
            labelled,
            seen: HashSet::default(),
            again: HashMap::default(),
        }
    }

    /// The id of the next row, which holds `fields`. Line breaks inside them are LF alone.
    pub(crate) fn next<'a>(&mut self, fields: impl Iterator<Item = &'a [u8]>) -> String {
        let mut hash = self.labelled.clone();
        for field in fields {
            absorb(&mut hash, field);
        }
        let row = first_16_bytes(hash);
        // No UUID begins with a word, so the API can't take this for one.
        format!("row-{row:032x}-{}", self.occurrence(row))
    }

    /// How many rows with this hash there were, this one included.
    fn occurrence(&mut self, row: u128) -> u32 {
        if self.seen.insert(row) {
            return 1;
        }
        let count = self.again.entry(row).or_insert(1);
        *count = count.saturating_add(1);
        *count
    }
}

/// Adds one field with its length in front, so that no two lists of fields run together.
fn absorb(hash: &mut Sha256, field: &[u8]) {
    hash.update((field.len() as u64).to_be_bytes());
    hash.update(field);
}

fn first_16_bytes(hash: Sha256) -> u128 {
    hash.finalize()
        .iter()
        .take(16)
        .fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

/// Hashes what is a hash already.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = (number >> 64) as u64 ^ number as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ids(label: &str, rows: &[Vec<String>]) -> Vec<String> {
        let mut ids = RowIds::new(label);
        rows.iter()
            .map(|row| ids.next(row.iter().map(String::as_bytes)))
            .collect()
    }

    fn rows() -> impl Strategy<Value = Vec<Vec<String>>> {
        // Few letters, so that equal rows are common.
        prop::collection::vec(prop::collection::vec("[ab,]{0,2}", 1..3), 0..40)
    }

    #[test]
    fn an_id_never_changes_between_releases() {
        let row = vec!["87540".to_owned(), "12".to_owned()];
        assert_eq!(
            ids("history", &[row.clone(), row]),
            [
                "row-0af76acc0ad8717ea90f66a2e4c78e19-1",
                "row-0af76acc0ad8717ea90f66a2e4c78e19-2"
            ]
        );
    }

    #[test]
    fn fields_do_not_run_together() {
        let one = |fields: &[&str]| RowIds::new("l").next(fields.iter().map(|f| f.as_bytes()));
        assert_ne!(one(&["ab", "c"]), one(&["a", "bc"]));
        assert_ne!(one(&["a"]), one(&["a", ""]));
        assert_ne!(
            RowIds::new("la").next([b"b".as_slice()].into_iter()),
            RowIds::new("l").next([b"ab".as_slice()].into_iter())
        );
    }

    proptest! {
        #[test]
        fn appending_rows_changes_no_earlier_id(before in rows(), after in rows()) {
            let all: Vec<_> = before.iter().chain(&after).cloned().collect();
            let old = ids("label", &before);
            let new = ids("label", &all);
            prop_assert_eq!(&new[..old.len()], &old[..]);
        }

        #[test]
        fn every_row_has_an_id_of_its_own(rows in rows()) {
            let ids = ids("label", &rows);
            let distinct: BTreeSet<_> = ids.iter().collect();
            prop_assert_eq!(distinct.len(), ids.len());
        }

        #[test]
        fn the_order_of_rows_does_not_matter(
            (rows, shuffled) in rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))
        ) {
            let (mut a, mut b) = (ids("label", &rows), ids("label", &shuffled));
            a.sort();
            b.sort();
            prop_assert_eq!(a, b);
        }

        #[test]
        fn another_label_gives_other_ids(rows in rows()) {
            let one: BTreeSet<_> = ids("one", &rows).into_iter().collect();
            prop_assert!(ids("two", &rows).iter().all(|id| !one.contains(id)));
        }
    }
}
