//! What became of the letters of one command.

use std::io::{self, Write};

use adtally_api::{DeadLetterAction, DeadLetterOutcome};
use uuid::Uuid;

use super::escape::line;
use crate::numbers::{counted, thousands};

/// How many failures are told one by one.
const TOLD: usize = 1_000;

/// Counts, and the first failures.
#[derive(Debug, Default)]
pub(super) struct Tally {
    done: u64,
    already: u64,
    failed: u64,
    told: Vec<(Uuid, String)>,
}

impl Tally {
    pub(super) fn add(&mut self, id: Uuid, outcome: DeadLetterOutcome) {
        match outcome {
            DeadLetterOutcome::Done => self.done += 1,
            DeadLetterOutcome::Already => self.already += 1,
            DeadLetterOutcome::Failed(fault) => {
                self.failed += 1;
                if self.told.len() < TOLD {
                    self.told.push((id, line(&fault.to_string())));
                }
            }
        }
    }

    /// How many stayed as they were.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    pub(super) fn write(&self, action: &DeadLetterAction, out: &mut impl Write) -> io::Result<()> {
        let (verb, hint) = match action {
            DeadLetterAction::Requeue { .. } => ("requeued", "; --again sends them once more"),
            DeadLetterAction::Discard => ("discarded", ""),
        };
        writeln!(out, "{verb} {}", counted(self.done, "dead letter"))?;
        if self.already > 0 {
            let already = counted(self.already, "dead letter");
            writeln!(out, "already {verb}: {already}{hint}")?;
        }
        if self.failed > 0 {
            writeln!(out, "failed: {}", counted(self.failed, "dead letter"))?;
        }
        for (id, fault) in &self.told {
            writeln!(out, "  {id}: {fault}")?;
        }
        let untold = self.failed - u64::try_from(self.told.len()).unwrap_or(self.failed);
        if untold > 0 {
            writeln!(out, "  and {} more", thousands(untold))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use adtally_api::DeadLetterFault;

    use super::*;

    #[test]
    fn failures_are_told_one_by_one_up_to_a_bound() {
        let mut tally = Tally::default();
        tally.add(Uuid::nil(), DeadLetterOutcome::Already);
        let fault = DeadLetterFault::ForeignQueue("\u{1b}".to_owned());
        for _ in 0..=TOLD {
            tally.add(Uuid::nil(), DeadLetterOutcome::Failed(fault.clone()));
        }
        let mut out = Vec::new();
        tally.write(&DeadLetterAction::Discard, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "discarded 0 dead letters");
        assert_eq!(lines[1], "already discarded: 1 dead letter");
        assert_eq!(lines[2], "failed: 1,001 dead letters");
        assert!(lines[3].starts_with("  00000000-0000-0000-0000-000000000000: it cannot"));
        assert_eq!(lines[TOLD + 3], "  and 1 more");
        assert!(!text.contains('\u{1b}'));
    }
}
