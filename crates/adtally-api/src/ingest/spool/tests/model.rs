//! Random lives of a spool, held against what it promised.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Small, so that a life sees many segments and also a full spool.
const MAX_BYTES: u64 = 12_000;

#[derive(Debug, Clone)]
enum Step {
    Append { events: u32 },
    AppendToFailingDisk,
    Replay { batches: usize },
    EndWhileReplaying,
    Cut { segment: usize, at: usize },
    Flip { segment: usize, bit: usize },
    LoseCheckpoint,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..6_u32).prop_map(|events| Step::Append { events }),
        1 => Just(Step::AppendToFailingDisk),
        4 => (1..4_usize).prop_map(|batches| Step::Replay { batches }),
        2 => Just(Step::EndWhileReplaying),
        1 => any::<(usize, usize)>().prop_map(|(segment, at)| Step::Cut { segment, at }),
        1 => any::<(usize, usize)>().prop_map(|(segment, bit)| Step::Flip { segment, bit }),
        1 => Just(Step::LoseCheckpoint),
    ]
}

/// A spool and what it owes.
struct Life {
    directory: TempDir,
    disk: TestDisk,
    parts: Option<Parts>,
    next: u32,
    /// Acknowledged, not yet seen, not damaged by us.
    owed: BTreeSet<i64>,
    /// May come out: acknowledged, or nothing was said.
    possible: BTreeSet<i64>,
    /// Damaged, or never acknowledged: need not come out, nor in order.
    excused: BTreeSet<i64>,
    seen: Vec<i64>,
}

impl Life {
    fn new() -> Self {
        let mut life = Self {
            directory: TempDir::new().unwrap(),
            disk: TestDisk::default(),
            parts: None,
            next: 0,
            owed: BTreeSet::new(),
            possible: BTreeSet::new(),
            excused: BTreeSet::new(),
            seen: Vec::new(),
        };
        life.restart(|_| {});
        life
    }

    /// `meanwhile` happens while no process has the directory.
    fn restart(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        self.parts = None;
        meanwhile(self);
        let options = options(self.directory.path(), MAX_BYTES);
        let open = || parts(&options, &Registry::new(), Box::new(self.disk.clone()));
        let mut parts = once_unlocked(open);
        parts.1.batch_events = 3;
        self.parts = Some(parts);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Append { events } => self.append(events),
            Step::AppendToFailingDisk => {
                self.disk.0.fails_sync.store(true, Ordering::SeqCst);
                self.append(1);
                self.disk.0.fails_sync.store(false, Ordering::SeqCst);
            }
            Step::Replay { batches } => {
                for _ in 0..batches {
                    self.replay(true);
                }
            }
            Step::EndWhileReplaying => {
                self.replay(false);
                self.restart(|_| {});
            }
            Step::Cut { segment, at } => self.restart(|life| {
                life.damage(segment, |bytes| {
                    let at = at % bytes.len();
                    bytes.truncate(at);
                    at..usize::MAX
                });
            }),
            Step::Flip { segment, bit } => self.restart(|life| {
                life.damage(segment, |bytes| {
                    let bit = bit % (bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    bit / 8..bit / 8 + 1
                });
            }),
            Step::LoseCheckpoint => self.restart(|life| {
                let _none = std::fs::remove_file(life.directory.path().join("position"));
            }),
        }
    }

    fn append(&mut self, count: u32) {
        let batch = events(self.next..self.next + count);
        self.next += count;
        let bytes = records_of(&batch, NOW);
        let (appender, _, ledger) = self.parts.as_mut().unwrap();
        appender.recover();
        if ledger.reserve(bytes.len() as u64).is_err() {
            return;
        }
        let ads = batch.iter().map(|event| event.ad_id.get());
        self.possible.extend(ads.clone());
        match appender.append(&bytes, count.into(), NOW) {
            Ok(()) => self.owed.extend(ads),
            Err(_) => self.excused.extend(ads),
        }
    }

    /// One batch; if it is not confirmed the next process reads it again.
    fn replay(&mut self, confirm: bool) -> bool {
        let (_, reader, _) = self.parts.as_mut().unwrap();
        let Some(batch) = reader.next().unwrap() else {
            return false;
        };
        if confirm {
            reader.confirm(&batch);
        }
        for event in batch.events {
            let ad = event.ad_id.get();
            assert_eq!(event, super::event(u32::try_from(ad - 1).unwrap()));
            assert!(self.possible.contains(&ad), "{ad} is invented");
            self.owed.remove(&ad);
            self.seen.push(ad);
        }
        true
    }

    fn damage(
        &mut self,
        segment: usize,
        harm: impl FnOnce(&mut Vec<u8>) -> std::ops::Range<usize>,
    ) {
        let files = segments(&self.directory);
        let Some(path) = files.get(segment % files.len().max(1)) else {
            return;
        };
        let before = std::fs::read(path).unwrap();
        if before.is_empty() {
            return;
        }
        let mut after = before.clone();
        let harmed = harm(&mut after);
        std::fs::write(path, after).unwrap();
        for piece in record::pieces(&before) {
            if let record::Piece::Record(record) = piece
                && record.bytes().start < harmed.end
                && harmed.start < record.bytes().end
            {
                for event in pack::decode(&before[record.pack]).unwrap() {
                    let ad = event.unwrap().ad_id.get();
                    self.owed.remove(&ad);
                    self.excused.insert(ad);
                }
            }
        }
    }

    fn end(mut self) {
        self.restart(|_| {});
        while self.replay(true) {}
        assert_eq!(self.owed, BTreeSet::new(), "acknowledged, never came out");
        let mut first = BTreeSet::new();
        let firsts = self.seen.iter().filter(|ad| first.insert(**ad));
        let firsts: Vec<_> = firsts.filter(|ad| !self.excused.contains(ad)).collect();
        // Records hold one kind, and `event` gives every other number the other one.
        for parity in 0..2 {
            let mut of_kind = firsts.iter().filter(|ad| **ad % 2 == parity);
            assert!(of_kind.by_ref().is_sorted(), "out of order: {firsts:?}");
        }
        let (.., ledger) = self.parts.as_ref().unwrap();
        assert_eq!(ledger.metrics.events.get(), 0);
        assert_eq!(ledger.metrics.bytes.get(), 0);
        assert!(segments(&self.directory).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_comes_out_in_order_at_least_once_and_nothing_else(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut life = Life::new();
        for step in &steps {
            life.take(step);
        }
        life.end();
    }
}
