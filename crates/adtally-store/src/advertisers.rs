//! Who advertises.

use adtally_domain::AdvertiserId;
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::error::is_unique_violation;
use crate::schema::advertisers::{self, dsl};
use crate::{Store, StoreError};

/// Tries to find an id that nobody takes meanwhile.
const TRIES: u32 = 20;

/// An advertiser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertiser {
    /// Its id.
    pub id: AdvertiserId,
    /// Its name.
    pub name: String,
}

/// An advertiser to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAdvertiser {
    /// Its id; `None` to have one made.
    pub id: Option<AdvertiserId>,
    /// Its name.
    pub name: String,
}

type Row = (i64, String);

fn advertiser((id, name): Row) -> Option<Advertiser> {
    Some(Advertiser {
        id: AdvertiserId::new(id)?,
        name,
    })
}

impl Store {
    /// Creates an advertiser.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken, and the transient ones.
    pub async fn create_advertiser(&self, new: NewAdvertiser) -> Result<Advertiser, StoreError> {
        self.run(move |conn| {
            let asked = new.id.map(AdvertiserId::get);
            let id = with_id(conn, asked, next_id, |conn, id| {
                diesel::insert_into(dsl::advertisers)
                    .values((dsl::id.eq(id), dsl::name.eq(&new.name)))
                    .execute(conn)
            })?;
            Ok(Advertiser {
                id: id.and_then(AdvertiserId::new).ok_or(StoreError::Conflict {
                    what: "advertiser",
                    id: asked.unwrap_or_default(),
                })?,
                name: new.name,
            })
        })
        .await
    }

    /// The advertiser `id`, when there is one.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn advertiser(&self, id: AdvertiserId) -> Result<Option<Advertiser>, StoreError> {
        self.run(move |conn| {
            let row: Option<Row> = dsl::advertisers
                .find(id.get())
                .select((dsl::id, dsl::name))
                .first(conn)
                .optional()?;
            Ok(row.and_then(advertiser))
        })
        .await
    }

    /// At most `limit` advertisers with ids above `after`, in the order of ids.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn advertisers(
        &self,
        after: Option<AdvertiserId>,
        limit: u32,
    ) -> Result<Vec<Advertiser>, StoreError> {
        self.run(move |conn| {
            let rows: Vec<Row> = dsl::advertisers
                .filter(dsl::id.gt(after.map_or(0, AdvertiserId::get)))
                .order(dsl::id)
                .limit(i64::from(limit))
                .select((dsl::id, dsl::name))
                .load(conn)?;
            Ok(rows.into_iter().filter_map(advertiser).collect())
        })
        .await
    }

    /// Renames the advertiser `id`, when there is one.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn rename_advertiser(
        &self,
        id: AdvertiserId,
        name: String,
    ) -> Result<Option<Advertiser>, StoreError> {
        self.run(move |conn| {
            let row: Option<Row> = diesel::update(dsl::advertisers.find(id.get()))
                .set((dsl::name.eq(name), dsl::updated_at.eq(diesel::dsl::now)))
                .returning((dsl::id, dsl::name))
                .get_result(conn)
                .optional()?;
            Ok(row.and_then(advertiser))
        })
        .await
    }
}

fn next_id(conn: &mut PgConnection) -> QueryResult<i64> {
    advertisers::table
        .filter(advertisers::id.lt(FIRST_UNUSABLE))
        .select(sql::<BigInt>("coalesce(max(id), 0) + 1"))
        .first(conn)
}

/// Ids are made up to here, so that an ad server that counts down from the largest one leaves room.
pub(crate) const FIRST_UNUSABLE: i64 = 1 << 62;

/// Inserts a row under the id that was asked for, or the next free one. Returns the id; `None` when
/// the one asked for is taken.
pub(crate) fn with_id(
    conn: &mut PgConnection,
    asked: Option<i64>,
    next_id: fn(&mut PgConnection) -> QueryResult<i64>,
    insert: impl Fn(&mut PgConnection, i64) -> QueryResult<usize>,
) -> QueryResult<Option<i64>> {
    let mut tries = 1;
    loop {
        let id = match asked {
            Some(id) => id,
            None => next_id(conn)?,
        };
        match insert(conn, id) {
            Ok(_) => return Ok(Some(id)),
            Err(error) if is_unique_violation(&error) && asked.is_some() => return Ok(None),
            // Somebody else took it meanwhile.
            Err(error) if is_unique_violation(&error) && tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}
