//! From entries to events: each is judged alone, all by one reading of the clock.

use adtally_domain::{Event, Intake, Rejection, Timestamp};

use crate::batch::Entry;

/// What became of the entries of one request.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// The events that may be kept, each with the index of its entry.
    pub(crate) events: Vec<(usize, Event)>,
    /// The refusals, each with the index of its entry, in order.
    pub(crate) refused: Vec<(usize, Rejection)>,
}

/// Judges `entries`, received at `now` from `source`.
pub(crate) fn judge(
    intake: &Intake,
    entries: Vec<Entry<'_>>,
    now: Timestamp,
    source: Option<&str>,
) -> Judged {
    let mut judged = Judged::default();
    for (index, entry) in entries.into_iter().enumerate() {
        let verdict =
            entry.and_then(|input| intake.accept(&input, now, source, rand::random::<[u8; 10]>));
        match verdict {
            Ok(event) => judged.events.push((index, event)),
            Err(rejection) => judged.refused.push((index, rejection)),
        }
    }
    judged
}
