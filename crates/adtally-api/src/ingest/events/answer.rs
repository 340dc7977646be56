//! What `POST /v1/events` answers.

use adtally_domain::{EventId, RejectCode, Rejection};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What became of the events of one request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventsAnswer {
    /// How many events are safe.
    accepted: usize,
    /// The events that are not, in order.
    rejected: Vec<RejectedEvent>,
    /// With `?ids=1`: the id of each event in input order, null for those that were rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Option<String>>>)]
    ids: Option<Vec<Option<Uuid>>>,
}

/// An event that was not accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectedEvent {
    /// The event's place in the request, from 0; blank lines of NDJSON are not counted.
    index: usize,
    /// The stable code of the reason.
    #[schema(value_type = String, example = "too_old")]
    code: &'static str,
    /// The reason in words.
    detail: String,
}

impl EventsAnswer {
    /// An answer that begins with refusals; `ids` is the number of items when ids are wanted.
    pub(super) fn new(refused: Vec<(usize, Rejection)>, ids: Option<usize>) -> Self {
        let rejected = refused.into_iter().map(|(index, rejection)| RejectedEvent {
            index,
            code: rejection.code.as_str(),
            detail: rejection.detail,
        });
        Self {
            accepted: 0,
            rejected: rejected.collect(),
            ids: ids.map(|items| vec![None; items]),
        }
    }

    /// Adds an event that is safe.
    pub(super) fn accept(&mut self, index: usize, id: EventId) {
        self.accepted += 1;
        if let Some(place) = self.ids.as_mut().and_then(|ids| ids.get_mut(index)) {
            *place = Some(id.as_uuid());
        }
    }

    /// Adds an event that certainly was not kept.
    pub(super) fn not_kept(&mut self, index: usize) {
        let code = RejectCode::NotKept.as_str();
        let detail = "the event is valid, but could not be kept now; send it again".to_owned();
        self.rejected.push(RejectedEvent {
            index,
            code,
            detail,
        });
    }

    /// The answer with its rejections in input order.
    pub(super) fn in_order(mut self) -> Self {
        self.rejected.sort_by_key(|rejected| rejected.index);
        self
    }
}
