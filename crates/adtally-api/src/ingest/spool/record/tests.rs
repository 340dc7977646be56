//! Records in whole and in damaged bytes.

use super::*;

fn three() -> (Vec<u8>, [usize; 3]) {
    let mut bytes = Vec::new();
    let ends = [1, 2, 3].map(|n: u32| {
        append(&mut bytes, format!("pack {n}").as_bytes(), n, n.into());
        bytes.len()
    });
    (bytes, ends)
}

fn events(bytes: &[u8]) -> Vec<u64> {
    let count = |piece| match piece {
        Piece::Record(record) => Some(record.head.events),
        Piece::Damaged { .. } => None,
    };
    pieces(bytes).into_iter().filter_map(count).collect()
}

#[test]
fn records_are_read_as_they_were_written() {
    let (bytes, _) = three();
    assert_eq!(events(&bytes), [1, 2, 3]);
    let Some(Piece::Record(Record { head, pack })) = pieces(&bytes).pop() else {
        panic!("no record")
    };
    assert_eq!((head.written_at, &bytes[pack]), (3, &b"pack 3"[..]));
}

#[test]
fn any_single_flipped_bit_costs_its_own_record_only() {
    let (bytes, ends) = three();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let hit = ends.iter().position(|end| bit / 8 < *end).unwrap();
        let expected: Vec<u64> = (1..=3).filter(|n| *n != hit as u64 + 1).collect();
        assert_eq!(events(&bad), expected, "bit {bit}");
    }
}

#[test]
fn a_cut_anywhere_leaves_the_records_before_it() {
    let (bytes, ends) = three();
    for cut in 0..bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
        assert_eq!(events(&bytes[..cut]), (1..=whole).collect::<Vec<_>>());
    }
}

#[test]
fn damaged_records_are_counted_as_far_as_they_can_be_seen() {
    let (mut bytes, ends) = three();
    bytes[ends[0] - 1] ^= 1;
    bytes[ends[1] - 1] ^= 1;
    let expected = Piece::Damaged {
        bytes: 0..ends[1],
        records: 2,
    };
    assert_eq!(pieces(&bytes)[0], expected);
}
