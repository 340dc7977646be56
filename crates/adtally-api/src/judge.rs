//! From entries to events: each is judged alone, all by one reading of the clock.

use adtally_domain::{Event, EventId, EventKind, Intake, Rejection, Timestamp};

use crate::batch::Entry;

/// What became of the entries of one request.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The events that may be kept.
    pub(crate) events: Vec<Event>,
    /// What is still to be said of each of them when it is gone.
    pub(crate) acceptable: Vec<Acceptable>,
    /// The refusals, each with the index of its entry, in order.
    pub(crate) refused: Vec<(usize, Rejection)>,
}

/// What an item of a request holds until it is answered, beside its texts: the event (192 bytes),
/// what is still to be said of it, its place in a pack, which names each field, and the broker's
/// verdict; or the reason of a refusal.
const ITEM_BYTES: usize = 512;

impl Judged {
    /// About how many bytes it holds, now and until the request is answered.
    pub(crate) fn bytes(&self) -> usize {
        let texts: usize = self.events.iter().map(text_bytes).sum();
        (self.events.len() + self.refused.len()) * ITEM_BYTES + texts
    }
}

fn text_bytes(event: &Event) -> usize {
    let texts = [
        &event.visitor_id,
        &event.user_agent,
        &event.referer,
        &event.placement,
        &event.source,
    ];
    texts.into_iter().flatten().map(String::len).sum()
}

/// An event that may be kept.
#[derive(Debug)]
pub(crate) struct Acceptable {
    /// The index of its entry.
    pub(crate) index: usize,
    /// The id it is stored under.
    pub(crate) id: EventId,
    /// What it counts as.
    pub(crate) kind: EventKind,
}

/// Judges `entries`, received at `now` from `source`.
pub(crate) fn judge(
    intake: &Intake,
    entries: Vec<Entry<'_>>,
    now: Timestamp,
    source: Option<&str>,
) -> Judged {
    let mut judged = Judged {
        events: Vec::with_capacity(entries.len()),
        acceptable: Vec::with_capacity(entries.len()),
        refused: Vec::new(),
    };
    for (index, entry) in entries.into_iter().enumerate() {
        let verdict =
            entry.and_then(|input| intake.accept(&input, now, source, rand::random::<[u8; 10]>));
        match verdict {
            Ok(event) => {
                let (id, kind) = (event.id, event.kind);
                judged.acceptable.push(Acceptable { index, id, kind });
                judged.events.push(event);
            }
            Err(rejection) => judged.refused.push((index, rejection)),
        }
    }
    judged
}
