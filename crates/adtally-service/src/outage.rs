//! Saying once that something is wrong, and once that it is over.

/// Trouble that comes back with every attempt, told as one line in the log instead of hundreds.
#[derive(Debug, Default)]
pub struct Outage {
    told: Option<String>,
}

impl Outage {
    /// Warns of `trouble`, unless that was the last word already.
    pub fn tell(&mut self, trouble: impl Into<String>) {
        let trouble = trouble.into();
        if self.told.as_ref() != Some(&trouble) {
            log::warn!("{trouble}");
            self.told = Some(trouble);
        }
    }

    /// Tells `news` if there was trouble before it, and says whether there was.
    pub fn over(&mut self, news: &str) -> bool {
        let was_told = self.told.take().is_some();
        if was_told {
            log::info!("{news}");
        }
        was_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_again_only_after_it_was_over_or_when_it_is_another() {
        let mut outage = Outage::default();
        assert!(!outage.over("fine"));
        outage.tell("away");
        outage.tell("away");
        assert_eq!(outage.told.as_deref(), Some("away"));
        outage.tell("refused");
        assert_eq!(outage.told.as_deref(), Some("refused"));
        assert!(outage.over("back"));
        assert!(!outage.over("back"));
    }
}
