//! From parsed items to events. Each item is validated alone, all by one reading of the clock.

use adtally_domain::{Event, EventId, EventKind, Intake, Rejection, Timestamp};

use crate::ingest::parse::Item;

/// The outcome for each item of one request.
#[derive(Debug)]
pub(crate) struct Validated {
    /// The valid events.
    pub(crate) events: Vec<Event>,
    /// What the answer needs of each of them, in the same order.
    pub(crate) valid: Vec<ValidEvent>,
    /// The rejections, each with the index of its item, in order.
    pub(crate) rejected: Vec<(usize, Rejection)>,
}

/// What the answer needs of a valid event, which is gone by then.
#[derive(Debug)]
pub(crate) struct ValidEvent {
    /// The index of its item.
    pub(crate) index: usize,
    /// The id it is stored under.
    pub(crate) id: EventId,
    /// What it counts as.
    pub(crate) kind: EventKind,
}

/// What an item holds until it is answered, beside its texts: the event, its [`ValidEvent`], its entry in a
/// pack, which names each field, and its durability; or the reason of a rejection.
const ITEM_BYTES: usize = size_of::<Event>() + 320;

impl Validated {
    /// About how many bytes it holds, now and until the request is answered.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.events.iter().flat_map(Event::texts);
        let texts: usize = texts.map(String::len).sum();
        (self.events.len() + self.rejected.len()) * ITEM_BYTES + texts
    }
}

/// Validates `items`, received at `now` from `source`.
pub(crate) fn validate(
    intake: &Intake,
    items: Vec<Item<'_>>,
    now: Timestamp,
    source: Option<&str>,
) -> Validated {
    let mut validated = Validated {
        events: Vec::with_capacity(items.len()),
        valid: Vec::with_capacity(items.len()),
        rejected: Vec::new(),
    };
    for (index, item) in items.into_iter().enumerate() {
        let event =
            item.and_then(|input| intake.accept(&input, now, source, rand::random::<[u8; 10]>));
        match event {
            Ok(event) => {
                let (id, kind) = (event.id, event.kind);
                validated.valid.push(ValidEvent { index, id, kind });
                validated.events.push(event);
            }
            Err(rejection) => validated.rejected.push((index, rejection)),
        }
    }
    validated
}
