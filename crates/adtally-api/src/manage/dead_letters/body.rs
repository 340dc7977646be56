//! What the routes for dead letters take and answer.

use adtally_domain::{AdId, Timestamp};
use adtally_store::{DeadLetterCursor, DeadLetterFilter, DeadLetterPage, DeadLetterState};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::dead_letters::{DeadLetterAction, DeadLetterRecord};
use crate::http::problem::Problem;
use crate::manage::fields::Fields;

/// The most letters of one request.
pub(super) const MAX_LIMIT: usize = 1_000;

/// Some dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterList {
    /// The letters, newest first.
    data: Vec<DeadLetterRecord>,
    /// Ask again with this as `cursor` for more; null at the end.
    next_cursor: Option<String>,
}

impl From<DeadLetterPage> for DeadLetterList {
    fn from(page: DeadLetterPage) -> Self {
        Self {
            data: page.letters.iter().map(DeadLetterRecord::from).collect(),
            next_cursor: page.next.map(|next| next.to_string()),
        }
    }
}

/// What became of one dead letter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterChange {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Its state now: `requeued` or `discarded`. A requeued letter that fails again is `new` again.
    #[schema(value_type = String, pattern = "^(requeued|discarded)$")]
    state: &'static str,
    /// Whether it had been so before and nothing was done.
    already: bool,
}

impl DeadLetterChange {
    pub(super) fn new(id: Uuid, action: &DeadLetterAction, already: bool) -> Self {
        let state = match action {
            DeadLetterAction::Requeue { .. } => DeadLetterState::Requeued,
            DeadLetterAction::Discard => DeadLetterState::Discarded,
        };
        Self {
            id,
            state: state.as_str(),
            already,
        }
    }
}

/// What a request for many letters asks for.
#[derive(Debug)]
pub(super) struct Bulk {
    pub(super) filter: DeadLetterFilter,
    pub(super) cursor: Option<DeadLetterCursor>,
    pub(super) limit: usize,
}

/// The id of a dead letter.
#[derive(ToSchema)]
#[schema(value_type = String, format = "uuid")]
#[expect(dead_code, reason = "only its shape matters")]
pub(crate) struct LetterId(String);

/// Which dead letters are meant: those that everything given applies to. At least one of `ids`,
/// `reason`, `ad_id`, `from`, `to`, `state` and `all` is required. An unknown field is refused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = DeadLetterSelection)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BulkBody {
    /// These, at most 1,000.
    #[schema(value_type = Option<Vec<LetterId>>, max_items = 1000)]
    ids: Option<Vec<Uuid>>,
    /// The stable name of the reason.
    reason: Option<String>,
    /// The ad of the event.
    #[schema(minimum = 1)]
    ad_id: Option<i64>,
    /// First seen at this time or later, RFC 3339 with offset.
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<DateTime<FixedOffset>>,
    /// First seen before this time, RFC 3339 with offset.
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<DateTime<FixedOffset>>,
    /// The state; `new` when left out and no `ids` are given.
    #[schema(pattern = "^(new|requeued|discarded)$")]
    state: Option<String>,
    /// Really all that are new, when nothing else is given.
    all: Option<bool>,
    /// Also requeue those that were requeued before and have not failed since.
    again: Option<bool>,
    /// The most letters of this request; 1,000 when left out.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the answer before; repeat the other fields with it.
    cursor: Option<String>,
}

impl BulkBody {
    /// Whether those requeued before are to be sent again.
    pub(super) fn again(&self) -> bool {
        self.again == Some(true)
    }

    /// What is asked for.
    ///
    /// # Errors
    /// A problem that lists the wrong fields.
    pub(super) fn validated(self) -> Result<Bulk, Problem> {
        let mut fields = Fields::default();
        let is_narrow = self.ids.is_some()
            || self.reason.is_some()
            || self.ad_id.is_some()
            || self.from.is_some()
            || self.to.is_some()
            || self.state.is_some();
        if !is_narrow && self.all != Some(true) {
            fields.wrong("all", "must be true when nothing narrows the letters down");
        }
        if self.ids.as_ref().is_some_and(|ids| ids.len() > MAX_LIMIT) {
            fields.wrong("ids", "must be at most 1000");
        }
        if self
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains('\0'))
        {
            fields.wrong("reason", "holds NUL");
        }
        let number = "must be a whole number from 1 to 9223372036854775807";
        let ad_id = read(&mut fields, "ad_id", number, self.ad_id, AdId::new);
        let years = "must be from 1970 to 9999";
        let time = |time: DateTime<FixedOffset>| Timestamp::try_from(time.to_utc()).ok();
        let from = read(&mut fields, "from", years, self.from, time);
        let to = read(&mut fields, "to", years, self.to, time);
        let states = "must be new, requeued or discarded";
        let state = read(
            &mut fields,
            "state",
            states,
            self.state.as_deref(),
            DeadLetterState::named,
        );
        let few = "must be a whole number from 1 to 1000";
        let limit = read(&mut fields, "limit", few, self.limit, limit);
        let next = "must be a next_cursor of the same request";
        let cursor = read(
            &mut fields,
            "cursor",
            next,
            self.cursor.as_deref(),
            DeadLetterCursor::parse,
        );
        let usual = Some(DeadLetterState::New).filter(|_| self.ids.is_none());
        fields.finish(Some(Bulk {
            filter: DeadLetterFilter {
                ids: self.ids,
                reason: self.reason,
                ad_id,
                from,
                to,
                state: state.or(usual),
            },
            cursor,
            limit: limit.unwrap_or(MAX_LIMIT),
        }))
    }
}

fn read<T, U>(
    fields: &mut Fields,
    field: &'static str,
    fault: &str,
    given: Option<T>,
    reading: impl FnOnce(T) -> Option<U>,
) -> Option<U> {
    let read = reading(given?);
    if read.is_none() {
        fields.wrong(field, fault);
    }
    read
}

fn limit(number: i64) -> Option<usize> {
    let number = usize::try_from(number).ok()?;
    (1..=MAX_LIMIT).contains(&number).then_some(number)
}

/// What became of many dead letters.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = DeadLetterChanges)]
pub(crate) struct BulkResult {
    /// How many were requeued or discarded now.
    pub(super) done: u64,
    /// How many had been before.
    pub(super) already: u64,
    /// Those that could not be; they are as they were.
    pub(super) failed: Vec<BulkFailure>,
    /// How many letters were not looked at yet; null when the database could not count them any more.
    pub(super) left: Option<u64>,
    /// Ask again with this as `cursor` to go on; null when all letters were looked at.
    pub(super) next_cursor: Option<String>,
}

/// A dead letter that stayed as it was.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterFailure)]
pub(crate) struct BulkFailure {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub(super) id: Uuid,
    /// The stable code of the problem.
    #[schema(value_type = String)]
    pub(super) code: &'static str,
    /// Why.
    pub(super) detail: String,
}
