//! From items to events: each is judged alone, all by one reading of the clock.

use adtally_domain::{Event, EventInput, Intake, RejectCode, Rejection, Timestamp};

use crate::batch::Item;

/// What became of the items of one request.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// The events that may be kept, each with the index of its item.
    pub(crate) events: Vec<(usize, Event)>,
    /// The refusals, each with the index of its item, in order.
    pub(crate) refused: Vec<(usize, Rejection)>,
}

/// Judges `items`, received at `now` from `source`.
pub(crate) fn judge(
    intake: &Intake,
    items: &[Item<'_>],
    now: Timestamp,
    source: Option<&str>,
) -> Judged {
    let mut judged = Judged::default();
    for (index, item) in items.iter().enumerate() {
        let verdict = read(*item)
            .and_then(|input| intake.accept(&input, now, source, rand::random::<[u8; 10]>));
        match verdict {
            Ok(event) => judged.events.push((index, event)),
            Err(rejection) => judged.refused.push((index, rejection)),
        }
    }
    judged
}

fn read(item: Item<'_>) -> Result<EventInput<'_>, Rejection> {
    let invalid = |detail| Rejection::new(RejectCode::InvalidEvent, detail);
    let json = item.ok_or_else(|| invalid("the line is not UTF-8".to_owned()))?;
    // serde would also take an array of the fields' values in order.
    if !json.starts_with('{') {
        return Err(invalid("an event is a JSON object".to_owned()));
    }
    serde_json::from_str(json).map_err(|error| {
        let reason: String = error.to_string().chars().take(120).collect();
        invalid(format!("the event cannot be read: {reason}"))
    })
}
