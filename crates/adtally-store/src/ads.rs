//! What is advertised, and where a click leads.

use adtally_domain::{AdId, AdvertiserId};
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::advertisers::{FIRST_UNUSABLE, with_id};
use crate::error::is_foreign_key_violation;
use crate::schema::ads::{self, dsl};
use crate::{Store, StoreError};

/// An ad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ad {
    /// Its id.
    pub id: AdId,
    /// Whose it is.
    pub advertiser_id: AdvertiserId,
    /// Its title.
    pub title: String,
    /// Where its image is.
    pub image_url: Option<String>,
    /// Where a click leads.
    pub target_url: Option<String>,
    /// Whether clicks are led there.
    pub approved: bool,
}

/// An ad to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAd {
    /// Its id; `None` to have one made.
    pub id: Option<AdId>,
    /// Whose it is.
    pub advertiser_id: AdvertiserId,
    /// Its title.
    pub title: String,
    /// Where its image is.
    pub image_url: Option<String>,
    /// Where a click leads.
    pub target_url: Option<String>,
    /// Whether clicks are led there.
    pub approved: bool,
}

/// What to change of an ad; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdPatch {
    /// Another advertiser.
    pub advertiser_id: Option<AdvertiserId>,
    /// Another title.
    pub title: Option<String>,
    /// Another image, or none.
    pub image_url: Option<Option<String>>,
    /// Another target, or none.
    pub target_url: Option<Option<String>>,
    /// Approved, or not any more.
    pub approved: Option<bool>,
}

type Row = (i64, i64, String, Option<String>, Option<String>, bool);

const COLUMNS: (
    dsl::id,
    dsl::advertiser_id,
    dsl::title,
    dsl::image_url,
    dsl::target_url,
    dsl::approved,
) = (
    dsl::id,
    dsl::advertiser_id,
    dsl::title,
    dsl::image_url,
    dsl::target_url,
    dsl::approved,
);

fn ad((id, advertiser_id, title, image_url, target_url, approved): Row) -> Option<Ad> {
    Some(Ad {
        id: AdId::new(id)?,
        advertiser_id: AdvertiserId::new(advertiser_id)?,
        title,
        image_url,
        target_url,
        approved,
    })
}

#[derive(AsChangeset)]
#[diesel(table_name = ads)]
struct Changes {
    advertiser_id: Option<i64>,
    title: Option<String>,
    image_url: Option<Option<String>>,
    target_url: Option<Option<String>>,
    approved: Option<bool>,
}

impl Store {
    /// Creates an ad.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken, [`StoreError::UnknownAdvertiser`], and the
    /// transient ones.
    pub async fn create_ad(&self, new: NewAd) -> Result<Ad, StoreError> {
        self.run(move |conn| {
            let asked = new.id.map(AdId::get);
            let id = with_id(conn, asked, next_id, |conn, id| insert(conn, id, &new));
            let id = match id {
                Err(error) if is_foreign_key_violation(&error) => {
                    return Err(StoreError::UnknownAdvertiser(new.advertiser_id));
                }
                id => id?.and_then(AdId::new),
            };
            Ok(Ad {
                id: id.ok_or(StoreError::Conflict {
                    what: "ad",
                    id: asked.unwrap_or_default(),
                })?,
                advertiser_id: new.advertiser_id,
                title: new.title,
                image_url: new.image_url,
                target_url: new.target_url,
                approved: new.approved,
            })
        })
        .await
    }

    /// The ad `id`, when there is one.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn ad(&self, id: AdId) -> Result<Option<Ad>, StoreError> {
        self.run(move |conn| {
            let row: Option<Row> = dsl::ads
                .find(id.get())
                .select(COLUMNS)
                .first(conn)
                .optional()?;
            Ok(row.and_then(ad))
        })
        .await
    }

    /// At most `limit` ads with ids above `after`, in the order of ids.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn ads(&self, after: Option<AdId>, limit: u32) -> Result<Vec<Ad>, StoreError> {
        self.run(move |conn| {
            let rows: Vec<Row> = dsl::ads
                .filter(dsl::id.gt(after.map_or(0, AdId::get)))
                .order(dsl::id)
                .limit(i64::from(limit))
                .select(COLUMNS)
                .load(conn)?;
            Ok(rows.into_iter().filter_map(ad).collect())
        })
        .await
    }

    /// Changes the ad `id`, when there is one.
    ///
    /// # Errors
    /// [`StoreError::UnknownAdvertiser`], and the transient ones.
    pub async fn update_ad(&self, id: AdId, patch: AdPatch) -> Result<Option<Ad>, StoreError> {
        self.run(move |conn| {
            let changes = Changes {
                advertiser_id: patch.advertiser_id.map(AdvertiserId::get),
                title: patch.title,
                image_url: patch.image_url,
                target_url: patch.target_url,
                approved: patch.approved,
            };
            let row: Result<Option<Row>, _> = diesel::update(dsl::ads.find(id.get()))
                .set((changes, dsl::updated_at.eq(diesel::dsl::now)))
                .returning(COLUMNS)
                .get_result(conn)
                .optional();
            match (row, patch.advertiser_id) {
                (Err(error), Some(advertiser)) if is_foreign_key_violation(&error) => {
                    Err(StoreError::UnknownAdvertiser(advertiser))
                }
                (row, _) => Ok(row?.and_then(ad)),
            }
        })
        .await
    }
}

fn insert(conn: &mut PgConnection, id: i64, new: &NewAd) -> QueryResult<usize> {
    diesel::insert_into(dsl::ads)
        .values((
            dsl::id.eq(id),
            dsl::advertiser_id.eq(new.advertiser_id.get()),
            dsl::title.eq(&new.title),
            dsl::image_url.eq(&new.image_url),
            dsl::target_url.eq(&new.target_url),
            dsl::approved.eq(new.approved),
        ))
        .execute(conn)
}

fn next_id(conn: &mut PgConnection) -> QueryResult<i64> {
    dsl::ads
        .filter(dsl::id.lt(FIRST_UNUSABLE))
        .select(sql::<BigInt>("coalesce(max(id), 0) + 1"))
        .first(conn)
}
