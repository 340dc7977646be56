//! Files that are not as they were left.

use super::*;

/// Five records of one event each, as an earlier process left them: the file and where each ends.
async fn left(directory: &TempDir) -> (std::path::PathBuf, Vec<usize>) {
    let spool = opened(directory, 1 << 30, &TestDisk::default());
    let mut ends = Vec::new();
    for n in 0..5 {
        spool.append(&events(n..n + 1)).await.unwrap();
        ends.push(spool.ledger().metrics.bytes.get() as usize);
    }
    spool.close().await;
    (segments(directory).remove(0), ends)
}

#[tokio::test]
async fn a_torn_tail_is_skipped_counted_and_kept_aside() {
    let directory = TempDir::new().unwrap();
    let (path, ends) = left(&directory).await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(ends[4] - 7);
    std::fs::write(&path, &bytes).unwrap();
    let spool = opened(&directory, 1 << 30, &TestDisk::default());
    assert_eq!(drained(&spool), events(0..4));
    assert_eq!(spool.ledger().metrics.corrupt.get(), 1);
    assert_eq!(spool.ledger().metrics.events.get(), 0);
    let aside = std::fs::read(path.with_extension("corrupt")).unwrap();
    assert_eq!(aside[ends[3]..], bytes[ends[3]..]);
    assert_eq!(spool.append(&events(5..6)).await, Ok(()));
    assert_eq!(drained(&spool), events(5..6));
}

#[tokio::test]
async fn damage_in_the_middle_costs_no_other_record() {
    let directory = TempDir::new().unwrap();
    let (path, ends) = left(&directory).await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[ends[1] + 10] ^= 0x40;
    std::fs::write(&path, &bytes).unwrap();
    let spool = opened(&directory, 1 << 30, &TestDisk::default());
    let expected: Vec<_> = [0, 1, 3, 4].map(event).into();
    assert_eq!(drained(&spool), expected);
    assert_eq!(spool.ledger().metrics.corrupt.get(), 1);
    let aside = std::fs::read(path.with_extension("corrupt")).unwrap();
    assert_eq!(aside[ends[1]..], bytes[ends[1]..ends[2]]);
    assert!(!path.exists());
}

#[tokio::test]
async fn foreign_and_empty_files_do_no_harm() {
    let directory = TempDir::new().unwrap();
    let (path, _) = left(&directory).await;
    let beside = |name: &str| directory.path().join(name);
    std::fs::write(beside("00000000000000000000.segment"), "").unwrap();
    std::fs::write(beside("00000000000000000077.segment"), [0; 5_000]).unwrap();
    std::fs::write(beside("notes.txt"), "mine").unwrap();
    std::fs::write(beside("position"), "1 17 00000000\n").unwrap();
    let spool = opened(&directory, 1 << 30, &TestDisk::default());
    assert_eq!(drained(&spool), events(0..5));
    assert_eq!(spool.ledger().metrics.corrupt.get(), 1);
    spool.append(&events(9..10)).await.unwrap();
    assert!(beside("00000000000000000078.segment").exists());
    assert!(beside("notes.txt").exists() && !path.exists());
}

#[tokio::test]
async fn a_record_that_holds_no_pack_is_kept_aside_and_one_of_a_newer_build_left_alone() {
    let directory = TempDir::new().unwrap();
    let (path, _) = left(&directory).await;
    let mut bytes = std::fs::read(&path).unwrap();
    record::append(&mut bytes, b"[]", 1, NOW);
    record::append(&mut bytes, br#"{"v":3,"events":[{}]}"#, 1, NOW);
    let last = pack::encode(event(7).kind, &events(7..8));
    record::append(&mut bytes, &last, 1, NOW);
    std::fs::write(&path, &bytes).unwrap();
    let spool = opened(&directory, 1 << 30, &TestDisk::default());
    spool.append(&events(8..9)).await.unwrap();
    let mut expected = events(0..5);
    expected.push(event(8));
    assert_eq!(drained(&spool), expected);
    assert_eq!(spool.ledger().metrics.corrupt.get(), 1);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(spool.ledger().metrics.events.get(), 2);
}

#[tokio::test]
async fn damage_that_cannot_be_kept_aside_keeps_its_segment_until_it_can() {
    type Harm = fn(&mut Vec<u8>, &[usize]);
    let torn: Harm = |bytes, ends| bytes.truncate(ends[4] - 7);
    let no_pack: Harm = |bytes, _| record::append(bytes, b"[]", 1, NOW);
    for (harm, sound) in [(torn, 0..4), (no_pack, 0..5)] {
        let directory = TempDir::new().unwrap();
        let (path, ends) = left(&directory).await;
        let mut bytes = std::fs::read(&path).unwrap();
        harm(&mut bytes, &ends);
        std::fs::write(&path, &bytes).unwrap();
        // A directory of that name stands for a disk that takes no file.
        let aside = path.with_extension("corrupt");
        std::fs::create_dir(&aside).unwrap();
        let spool = opened(&directory, 1 << 30, &TestDisk::default());
        spool.append(&events(8..9)).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.extend(drained_until_trouble(&spool));
        }
        assert_eq!(seen.iter().filter(|it| **it == event(8)).count(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(spool.ledger().metrics.corrupt.get(), 0);
        std::fs::remove_dir(&aside).unwrap();
        assert_eq!(drained(&spool), events(sound));
        assert_eq!(spool.ledger().metrics.corrupt.get(), 1);
        assert!(aside.exists() && !path.exists());
    }
}

/// Confirms what comes before the reader says that something is wrong.
fn drained_until_trouble(spool: &Spool) -> Vec<Event> {
    let mut reader = lock(&spool.0.reader);
    let reader = reader.as_mut().unwrap();
    let mut events = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(batch)) => {
                reader.confirm(&batch);
                events.extend(batch.events);
            }
            Ok(None) => panic!("nothing is wrong"),
            Err(error) => {
                assert!(error.to_string().contains("kept aside"), "{error}");
                return events;
            }
        }
    }
}
