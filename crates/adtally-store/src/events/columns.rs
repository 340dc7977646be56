//! The columns of `events`, once. What concerns all of them is made of one table:
//!
//! | what | used to |
//! |---|---|
//! | [`encode`], [`decode`] | write an event as fields of binary COPY, and read it back |
//! | [`Shortest`], [`Middle`], [`Longest`] | name COPY's columns |
//! | [`SELECT_PAYLOAD`], [`Payload`] | look for events that exist, and compare them |
//! | [`PARAMETERS`], [`bind`] | ask which events the table rejects |
//! | [`to_json`] | write the body of a dead letter |
//!
//! A field of [`Event`] that is missing here does not compile. Nor does a column that the schema has not, or
//! has of another type. `verdict` and `rule_version` are of no event: they take their defaults.

use adtally_domain::{Event, EventId};
use diesel::dsl::SqlTypeOf;
use diesel::pg::{CopyTarget, Pg};
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, Nullable};
use diesel::{Column, Expression};
use serde_json::{Map, Value};

use super::column_value::{ColumnValue, Encoded, ParameterOf, next_field};
use crate::schema::events;

/// Some of the columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ColumnSet {
    pub(super) source: bool,
    /// The first so many of the others.
    pub(super) others: u8,
}

/// What [`encode`] added to the data.
pub(super) struct Extent {
    /// Bytes before the payload, which is the rest: what the sender said, without when and through whom it
    /// came.
    pub(super) before_payload: usize,
    /// Columns up to the last one that is not NULL, `source` not among them.
    pub(super) columns: u8,
}

/// Bytes of `received_at`, which is before the payload in any case.
const RECEIVED_AT: usize = 4 + 8;

/// Whether the fields begin with a source.
pub(super) fn has_source(before_payload: usize) -> bool {
    before_payload > RECEIVED_AT
}

/// The values of all columns but the key, in their order, from what [`encode`] wrote.
pub(super) fn values(has_source: bool, mut fields: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let source = has_source.then(|| next_field(&mut fields)).flatten();
    // What is left out at the end is NULL.
    let others = std::iter::repeat_with(move || next_field(&mut fields));
    std::iter::once(source).chain(others)
}

/// One of COPY's lists of columns.
pub(super) trait CopyList {
    /// How many there are, `source` not among them.
    const OTHERS: u8;
    type WithoutSource: CopyTarget<Table = events::table>;
    type WithSource: CopyTarget<Table = events::table>;
    const WITHOUT_SOURCE: Self::WithoutSource;
    const WITH_SOURCE: Self::WithSource;
}

/// The columns up to `user_agent`.
pub(super) struct Shortest;
/// The columns up to `placement`.
pub(super) struct Middle;
/// All columns.
pub(super) struct Longest;

/// A question with a parameter for each column.
pub(super) type Question<'a> = BoxedSqlQuery<'a, Pg, SqlQuery>;

macro_rules! event_columns {
    (
        key $key:ident = $id:ident $keys:literal,
        apart $apart:ident $aparts:literal,
        arrival $arrival:ident $arrivals:literal,
        payload
            { $($short:ident $shorts:literal,)* }
            { $($middle:ident $middles:literal,)* }
            { $($long:ident $longs:literal,)* }
    ) => {
        event_columns! { @list Shortest $key $apart; $arrival $($short)* }
        event_columns! { @list Middle $key $apart; $arrival $($short)* $($middle)* }
        event_columns! { @list Longest $key $apart; $arrival $($short)* $($middle)* $($long)* }
        event_columns! {
            @forms $key $id $keys; $apart $aparts; $arrival $arrivals;
            $($short $shorts,)* $($middle $middles,)* $($long $longs,)*
        }
    };

    (@list $List:ident $key:ident $apart:ident; $($column:ident)*) => {
        impl CopyList for $List {
            const OTHERS: u8 = 1 $(+ one(events::$column::NAME))*;
            type WithoutSource = (events::$key, $(events::$column),*);
            type WithSource = (events::$key, events::$apart, $(events::$column),*);
            const WITHOUT_SOURCE: Self::WithoutSource = (events::$key, $(events::$column),*);
            const WITH_SOURCE: Self::WithSource =
                (events::$key, events::$apart, $(events::$column),*);
        }
    };

    (
        @forms $key:ident $id:ident $keys:literal;
        $apart:ident $aparts:literal;
        $arrival:ident $arrivals:literal;
        $($column:ident $columns:literal,)*
    ) => {
        /// Adds the fields of a row to the data. Left out are the id, which comes before them, a source
        /// that is NULL, and NULLs at the end.
        pub(super) fn encode<Text: AsRef<str>>(data: &mut Vec<u8>, event: &Event<Text>) -> Extent {
            let (event, start) = (event.as_deref(), data.len());
            if event.$apart.is_some() {
                put(data, events::$apart, &event.$apart);
            }
            put(data, events::$arrival, &event.$arrival);
            let before_payload = data.len() - start;
            let (mut column, mut columns, mut end) = (2, 2, data.len());
            $(
                column += 1;
                if put(data, events::$column, &event.$column) {
                    (columns, end) = (column, data.len());
                }
            )*
            data.truncate(end);
            Extent {
                before_payload,
                columns,
            }
        }

        /// The event whose fields [`encode`] wrote. Its id, and whether it has a source, were kept beside
        /// them.
        pub(super) fn decode(id: EventId, has_source: bool, fields: &[u8]) -> Event<&str> {
            let mut values = values(has_source, fields);
            Event {
                $id: id,
                $apart: next(&mut values, events::$apart),
                $arrival: next(&mut values, events::$arrival),
                $($column: next(&mut values, events::$column),)*
            }
        }

        /// The types of the id, and of the columns of a payload in their order.
        pub(super) type Payload = (SqlTypeOf<events::$key>, $(SqlTypeOf<events::$column>),*);

        pub(super) const SELECT_PAYLOAD: &str = concat!(
            "SELECT ", stringify!($key), $(", ", stringify!($column),)* " FROM "
        );

        /// The names of what `adtally_refused_events` takes, in the order of the columns.
        pub(super) const PARAMETERS: &[&str] = &[$keys, $aparts, $arrivals, $($columns),*];

        /// Binds what `adtally_refused_events` takes: the ids of the rows, and their [`values`].
        pub(super) fn bind<'a>(
            question: Question<'a>,
            ids: Vec<uuid::Uuid>,
            mut rows: Vec<impl Iterator<Item = Option<&'a [u8]>>>,
        ) -> Question<'a> {
            let mut next = || -> Vec<Option<Encoded<'a>>> {
                let values = rows.iter_mut().map(|row| row.next().flatten());
                values.map(|value| value.map(Encoded)).collect()
            };
            question
                .bind::<Array<SqlTypeOf<events::$key>>, _>(ids)
                .bind::<Array<ParameterTypeOf<events::$apart>>, _>(next())
                .bind::<Array<ParameterTypeOf<events::$arrival>>, _>(next())
                $(.bind::<Array<ParameterTypeOf<events::$column>>, _>(next()))*
        }

        /// The event as an object with names, so that it can be put into a pack again.
        pub(crate) fn to_json(event: &Event) -> Map<String, Value> {
            let mut fields = Map::new();
            let mut put = |name: &str, value: serde_json::Result<Value>| match value {
                Ok(Value::Null) | Err(_) => {}
                Ok(value) => {
                    fields.insert(name.to_owned(), value);
                }
            };
            put(events::$key::NAME, serde_json::to_value(event.$id));
            put(events::$apart::NAME, serde_json::to_value(&event.$apart));
            put(events::$arrival::NAME, serde_json::to_value(event.$arrival));
            $(put(events::$column::NAME, serde_json::to_value(&event.$column));)*
            fields
        }
    };
}

// The columns in the order in which COPY is told of them, each with its parameter of
// `adtally_refused_events`. Empty ones at the end are not sent, so what is empty most often comes last. The
// payload begins with the ad, which `RowRef::ad_id` reads.
event_columns! {
    key event_id = id "event_ids",
    apart source "sources",
    arrival received_at "received",
    payload
        { ad_id "ad_ids", kind "kinds", ip "ips", user_agent "user_agents", }
        { referer "referers", placement "placements", }
        { visitor_id "visitor_ids", impression_id "impression_ids", }
}

type ParameterTypeOf<C> = Nullable<<SqlTypeOf<C> as ParameterOf>::Type>;

const fn one(_: &str) -> u8 {
    1
}

/// Adds a value to the data, and says whether it is one and not NULL.
#[inline]
fn put<'a, C, V>(data: &mut Vec<u8>, _: C, value: &V) -> bool
where
    C: Expression,
    V: ColumnValue<'a, C::SqlType>,
{
    value.encode(data)
}

#[expect(clippy::expect_used, reason = "it was written from an event's own")]
fn next<'a, C, V>(values: &mut impl Iterator<Item = Option<&'a [u8]>>, _: C) -> V
where
    C: Expression,
    V: ColumnValue<'a, C::SqlType>,
{
    V::decode(values.next().flatten()).expect("what an event holds")
}
