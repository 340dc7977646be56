//! Events on their way into the table, each already the row that COPY takes.
//!
//! A row is all of an event, so events need not be kept beside their rows; what is asked of each of
//! them is kept in a form of its own.

#[cfg(test)]
mod tests;

use adtally_domain::{Event, EventId, EventKind, Timestamp};

use super::columns::{self, ColumnSet};

/// How many of the 256 values of an id's last byte are of the first half. They are a little more than half: what
/// then comes between the ids of a page of the index is seldom more than the page still takes, although
/// chance decides.
const FIRST: u8 = 144;

/// Where rows enter the index in two halves ([`InsertOrder`](super::insert_order::InsertOrder)), in which
/// of them: a property of the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    First,
    Second,
}

impl Half {
    /// The last byte is random: an id is a UUIDv7 or a hash. With ids of a client's own that are not, less is
    /// gained.
    fn of(id: EventId) -> Self {
        let [.., last] = *id.as_uuid().as_bytes();
        if last < FIRST {
            Self::First
        } else {
            Self::Second
        }
    }
}

/// Rows, one after the other, those of each half in data of its own: so COPY reads memory in its order, where
/// it would wait for every other row.
#[derive(Debug, Clone, Default)]
pub(super) struct CopyBuffer {
    first: Vec<u8>,
    second: Vec<u8>,
    index: Vec<RowIndex>,
}

/// Where a row is, and what is in it. There are as many as rows, and they are moved to sort them: each
/// byte counts.
#[derive(Debug, Clone, Copy)]
struct RowIndex {
    id: EventId,
    start: u32,
    payload: u32,
    end: u32,
    columns: u8,
    kind: EventKind,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowRef<'a> {
    buffer: &'a CopyBuffer,
    index: &'a RowIndex,
}

impl CopyBuffer {
    pub(super) fn push<Text: AsRef<str>>(&mut self, event: &Event<Text>) {
        let data = match Half::of(event.id) {
            Half::First => &mut self.first,
            Half::Second => &mut self.second,
        };
        let start = offset(data.len());
        let extent = columns::encode(data, event);
        self.index.push(RowIndex {
            id: event.id,
            kind: event.kind,
            start,
            payload: start.saturating_add(offset(extent.before_payload)),
            end: offset(data.len()),
            columns: extent.columns,
        });
    }

    /// Room for as much as there is in `other`, and for a little more: batches are not quite of one size,
    /// and memory that grows is left behind in pieces.
    pub(super) fn reserve_as_for(&mut self, other: &Self) {
        let room = |len: usize| len + len / 16;
        self.index.reserve_exact(room(other.index.len()));
        self.first.reserve_exact(room(other.first.len()));
        self.second.reserve_exact(room(other.second.len()));
    }

    pub(super) fn clear(&mut self) {
        self.first.clear();
        self.second.clear();
        self.index.clear();
    }

    /// Takes out the rows that were added last, beyond the first `count`. Those have not been sorted.
    pub(super) fn truncate(&mut self, count: usize) {
        let added = self.index.get(count..).unwrap_or_default();
        let both = [
            (Half::First, &mut self.first),
            (Half::Second, &mut self.second),
        ];
        for (half, data) in both {
            if let Some(row) = added.iter().find(|row| row.half() == half) {
                data.truncate(row.start as usize);
            }
        }
        self.index.truncate(count);
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// By id. Of events with one id the first stays first.
    pub(super) fn sort(&mut self) {
        // Ids begin with their time, in whose order events mostly come.
        if self.index.is_sorted_by_key(RowIndex::time) {
            let of_one_time = |one: &RowIndex, next: &RowIndex| one.time() == next.time();
            for rows in self.index.chunk_by_mut(of_one_time) {
                rows.sort_unstable_by_key(RowIndex::order);
            }
        } else {
            self.index.sort_unstable_by_key(RowIndex::order);
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<RowRef<'_>> {
        self.index.get(index).map(|index| self.row(index))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = RowRef<'_>> + Clone {
        self.index.iter().map(|index| self.row(index))
    }

    fn row<'a>(&'a self, index: &'a RowIndex) -> RowRef<'a> {
        RowRef {
            buffer: self,
            index,
        }
    }
}

impl RowIndex {
    fn half(&self) -> Half {
        Half::of(self.id)
    }

    /// What rows are sorted by: the id, and for one id the order of arrival. A stable sort would need memory for
    /// half of the rows each time, which the allocator then keeps for each thread that has sorted.
    fn order(&self) -> (u128, u32) {
        // Compared as one number: as bytes, each comparison would be a call.
        (self.id.as_uuid().as_u128(), self.start)
    }

    fn time(&self) -> Timestamp {
        self.id.time()
    }
}

impl<'a> RowRef<'a> {
    /// By id, and for one id by arrival.
    pub(super) fn order(&self) -> (u128, u32) {
        self.index.order()
    }

    pub(super) fn id(&self) -> EventId {
        self.index.id
    }

    pub(super) fn kind(&self) -> EventKind {
        self.index.kind
    }

    /// The ad, with which the payload begins.
    pub(super) fn ad_id(&self) -> i64 {
        let id = self.payload().get(4..).and_then(|rest| rest.first_chunk());
        id.map_or(0, |id| i64::from_be_bytes(*id))
    }

    pub(super) fn occurred_at(&self) -> Timestamp {
        self.index.time()
    }

    pub(super) fn half(&self) -> Half {
        self.index.half()
    }

    /// Its source if it has one, and the other columns up to the last one that is not NULL.
    pub(super) fn columns(&self) -> ColumnSet {
        let before_payload = self.index.payload.saturating_sub(self.index.start);
        ColumnSet {
            source: columns::has_source(before_payload as usize),
            others: self.index.columns,
        }
    }

    /// The fields of its columns but the id, as COPY takes them.
    pub(super) fn fields(&self) -> &'a [u8] {
        self.from(self.index.start)
    }

    /// What its sender said. When and through whom it came is not the sender's.
    pub(super) fn payload(&self) -> &'a [u8] {
        self.from(self.index.payload)
    }

    fn from(&self, start: u32) -> &'a [u8] {
        let range = start as usize..self.index.end as usize;
        let data = match self.half() {
            Half::First => &self.buffer.first,
            Half::Second => &self.buffer.second,
        };
        // Both ends were taken from the data's own length.
        data.get(range).unwrap_or_default()
    }

    /// The values of all columns but the id, in their order.
    pub(super) fn values(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        columns::values(self.columns().source, self.fields())
    }

    /// The event itself.
    pub(super) fn event(&self) -> Event {
        columns::decode(self.id(), self.columns().source, self.fields()).into_owned()
    }
}

/// An offset in the data. Rows are hardly longer than the JSON they were read from, and of that a batch has a few
/// megabytes and one message, which RabbitMQ bounds at 512 MB.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
