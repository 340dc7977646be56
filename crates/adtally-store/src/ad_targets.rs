//! Where clicks lead, for who keeps a copy of it: all of it in parts, then what changed.

use adtally_domain::AdId;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::schema::ads::dsl;
use crate::{Store, StoreError};

/// Changes that are answered at once. Of more it is better to read all ads in parts.
const MOST_CHANGES: usize = 20_000;

/// Where clicks on an ad lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdTarget {
    /// The ad.
    pub id: AdId,
    /// Where a click leads.
    pub target_url: Option<String>,
    /// Whether clicks are led there.
    pub approved: bool,
}

/// A point in the history of the ads: what was committed before it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdsWatermark(i64);

/// The ads that changed, and up to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdChanges {
    /// The ads as they are now. Some may have been read before.
    pub ads: Vec<AdTarget>,
    /// From where to read on.
    pub watermark: AdsWatermark,
}

type Row = (i64, Option<String>, bool);

impl Store {
    /// The present point in the history of the ads. Take it before the first part of them is read.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn ads_watermark(&self) -> Result<AdsWatermark, StoreError> {
        self.run(|conn| Ok(watermark(conn)?)).await
    }

    /// At most `limit` approved ads with a target and an id above `after`, in the order of ids.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn ad_targets(
        &self,
        after: Option<AdId>,
        limit: u32,
    ) -> Result<Vec<AdTarget>, StoreError> {
        self.run(move |conn| {
            let rows: Vec<Row> = dsl::ads
                .filter(dsl::id.gt(after.map_or(0, AdId::get)))
                .filter(dsl::approved)
                .filter(dsl::target_url.is_not_null())
                .order(dsl::id)
                .limit(i64::from(limit))
                .select((dsl::id, dsl::target_url, dsl::approved))
                .load(conn)?;
            Ok(targets(rows))
        })
        .await
    }

    /// The ads that changed since `since`, whatever they are now; no change that was committed is missed, but
    /// for ads that were deleted. `None` when they are too many, or the database is not the one that `since`
    /// is of: then all ads are to be read.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn ad_changes(&self, since: AdsWatermark) -> Result<Option<AdChanges>, StoreError> {
        self.run(move |conn| {
            // First: what is committed between the two statements is read now and once more.
            let watermark = watermark(conn)?;
            if watermark.0 < since.0 {
                return Ok(None);
            }
            let rows: Vec<Row> = dsl::ads
                .filter(dsl::changed_in.ge(since.0))
                .limit(i64::try_from(MOST_CHANGES + 1).unwrap_or(i64::MAX))
                .select((dsl::id, dsl::target_url, dsl::approved))
                .load(conn)?;
            let ads = targets(rows);
            Ok((ads.len() <= MOST_CHANGES).then_some(AdChanges { ads, watermark }))
        })
        .await
    }
}

fn targets(rows: Vec<Row>) -> Vec<AdTarget> {
    let targets = rows.into_iter().filter_map(|(id, target_url, approved)| {
        Some(AdTarget {
            id: AdId::new(id)?,
            target_url,
            approved,
        })
    });
    targets.collect()
}

#[derive(QueryableByName)]
struct Xmin {
    #[diesel(sql_type = BigInt)]
    xmin: i64,
}

/// The first transaction that is not over: those before it are, and what they wrote can be seen.
fn watermark(conn: &mut PgConnection) -> QueryResult<AdsWatermark> {
    let Xmin { xmin } =
        diesel::sql_query("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin")
            .get_result(conn)?;
    Ok(AdsWatermark(xmin))
}
