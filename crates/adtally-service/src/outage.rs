//! Saying once that something is wrong, and once that it is over.

use std::collections::VecDeque;

/// How many different words for its trouble an outage remembers. One that is away has two or three:
/// refused, reset, timed out.
const REMEMBERED: usize = 8;

/// Trouble that comes back with every attempt, told as one line in the log instead of hundreds.
#[derive(Debug)]
pub struct Outage {
    target: &'static str,
    told: VecDeque<String>,
}

impl Outage {
    /// No trouble yet. The log shows it under `target`, a module's path.
    #[must_use]
    pub fn of(target: &'static str) -> Self {
        Self {
            target,
            told: VecDeque::new(),
        }
    }

    /// Warns of `trouble`, unless that was said since it began.
    pub fn tell(&mut self, trouble: impl Into<String>) {
        let trouble = trouble.into();
        if self.told.contains(&trouble) {
            return;
        }
        log::warn!(target: self.target, "{trouble}");
        if self.told.len() == REMEMBERED {
            self.told.pop_front();
        }
        self.told.push_back(trouble);
    }

    /// Tells `news` if there was trouble before it, and says whether there was.
    pub fn over(&mut self, news: &str) -> bool {
        let was_told = !self.told.is_empty();
        if was_told {
            log::info!(target: self.target, "{news}");
        }
        self.told.clear();
        was_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_again_only_after_it_was_over_or_when_it_is_another() {
        let mut outage = Outage::of(module_path!());
        assert!(!outage.over("fine"));
        for trouble in ["away", "away", "refused", "away"] {
            outage.tell(trouble);
        }
        assert_eq!(outage.told, ["away", "refused"]);
        assert!(outage.over("back"));
        assert!(!outage.over("back"));
        outage.tell("away");
        assert_eq!(outage.told, ["away"]);
    }

    #[test]
    fn no_outage_remembers_more_than_a_few_words() {
        let mut outage = Outage::of(module_path!());
        for n in 0..100 {
            outage.tell(n.to_string());
        }
        assert_eq!(outage.told.len(), REMEMBERED);
    }
}
