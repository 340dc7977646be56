//! What was answered to each event.

use adtally_domain::EventId;
use serde::Serialize;

use crate::api::{Answer, NoAnswer, Response};

/// What an answer promises about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    /// Accepted: it must be stored or be a dead letter, once.
    Accepted,
    /// Refused, by a 4xx or a line in `rejected`: it must not be stored.
    Rejected,
    /// Not kept, by a 5xx, or by `not_kept` in a request that was sent twice: it may be stored
    /// nevertheless.
    Refused,
    /// No answer, or none that can be understood: it may be stored or not.
    Unknown,
}

impl Fate {
    /// All fates, in the order of [`Ledger::counts`].
    pub(super) const ALL: [Self; 4] =
        [Self::Accepted, Self::Rejected, Self::Refused, Self::Unknown];
}

/// How many events had which fate, and on demand their ids.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    counts: [u64; 4],
    /// The ids of each fate, where they are remembered: 16 bytes for each event.
    ids: Option<[Vec<EventId>; 4]>,
}

impl Ledger {
    /// An empty ledger, which remembers ids or only counts.
    pub(super) fn new(remember: bool) -> Self {
        Self {
            counts: [0; 4],
            ids: remember.then(Default::default),
        }
    }

    /// How many events had `fate`.
    pub(super) fn count(&self, fate: Fate) -> u64 {
        self.counts.get(fate as usize).copied().unwrap_or_default()
    }

    /// The remembered ids of the events that had `fate`.
    pub(super) fn ids(&self, fate: Fate) -> &[EventId] {
        let ids = self.ids.as_ref().and_then(|ids| ids.get(fate as usize));
        ids.map_or(&[], Vec::as_slice)
    }

    /// Enters what became of a request with the events `ids`, by its first answer should it be sent
    /// `twice`.
    pub(super) fn enter(
        &mut self,
        ids: &[EventId],
        answer: &Result<Response, NoAnswer>,
        twice: bool,
    ) {
        let Ok(response) = answer else {
            return self.enter_all(ids, Fate::Unknown);
        };
        let refused = match Answer::to(ids.len(), response) {
            Answer::Judged(refused) => refused,
            Answer::Malformed { .. } | Answer::Busy { .. } => {
                return self.enter_all(ids, by_status(response.status));
            }
        };
        let mut fates = vec![Fate::Accepted; if refused.is_empty() { 0 } else { ids.len() }];
        for event in &refused {
            if let Some(fate) = fates.get_mut(event.index) {
                *fate = if twice && event.is_not_kept() {
                    Fate::Refused
                } else {
                    Fate::Rejected
                };
            }
        }
        let fates = fates.into_iter().chain(std::iter::repeat(Fate::Accepted));
        for (id, fate) in ids.iter().zip(fates) {
            self.enter_all(std::slice::from_ref(id), fate);
        }
    }

    fn enter_all(&mut self, ids: &[EventId], fate: Fate) {
        if let Some(count) = self.counts.get_mut(fate as usize) {
            *count += ids.len() as u64;
        }
        let remembered = self.ids.as_mut().and_then(|all| all.get_mut(fate as usize));
        if let Some(remembered) = remembered {
            remembered.extend_from_slice(ids);
        }
    }
}

/// The fate of all events of a request that was answered with `status` and no judgement.
fn by_status(status: u16) -> Fate {
    match status {
        400..500 => Fate::Rejected,
        500.. => Fate::Refused,
        _ => Fate::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use adtally_domain::Timestamp;

    use super::*;

    fn ids(count: u8) -> Vec<EventId> {
        (0..count)
            .map(|n| EventId::v7(Timestamp::EPOCH, [n; 10]))
            .collect()
    }

    fn fates(count: u8, status: u16, body: &str) -> Vec<Vec<u8>> {
        fates_of(count, status, body, false)
    }

    fn fates_of(count: u8, status: u16, body: &str, twice: bool) -> Vec<Vec<u8>> {
        let all = ids(count);
        let mut ledger = Ledger::new(true);
        let response = Response {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec().into(),
        };
        ledger.enter(&all, &Ok(response), twice);
        let number = |id: &EventId| all.iter().position(|other| other == id).unwrap() as u8;
        Fate::ALL
            .iter()
            .map(|fate| {
                let ids: Vec<_> = ledger.ids(*fate).iter().map(number).collect();
                assert_eq!(ledger.count(*fate), ids.len() as u64);
                ids
            })
            .collect()
    }

    #[test]
    fn each_event_of_a_request_has_the_fate_it_was_answered() {
        let body = r#"{"accepted":2,"rejected":[{"index":1,"code":"too_old"},{"index":3,"code":"not_kept"}]}"#;
        assert_eq!(
            fates(4, 202, body),
            [vec![0, 2], vec![1, 3], vec![], vec![]]
        );
        // The second time it may have been kept.
        let twice = fates_of(4, 202, body, true);
        assert_eq!(twice, [vec![0, 2], vec![1], vec![3], vec![]]);
        let body = r#"{"accepted":1,"rejected":[]}"#;
        assert_eq!(fates(1, 202, body), [vec![0], vec![], vec![], vec![]]);
    }

    #[test]
    fn an_answer_to_the_whole_request_holds_for_all_its_events() {
        assert_eq!(fates(2, 413, "{}"), [vec![], vec![0, 1], vec![], vec![]]);
        assert_eq!(fates(2, 429, "{}"), [vec![], vec![0, 1], vec![], vec![]]);
        assert_eq!(fates(2, 503, "{}"), [vec![], vec![], vec![0, 1], vec![]]);
        assert_eq!(fates(2, 202, "{}"), [vec![], vec![], vec![], vec![0, 1]]);
    }

    #[test]
    fn without_an_answer_nothing_is_known() {
        let mut ledger = Ledger::new(false);
        let lost = Err(NoAnswer::Lost("reset".to_owned()));
        ledger.enter(&ids(3), &lost, false);
        assert_eq!(ledger.count(Fate::Unknown), 3);
        assert!(ledger.ids(Fate::Unknown).is_empty());
    }
}
