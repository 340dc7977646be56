//! Totals per hour and per day.

mod body;
mod period;
#[cfg(test)]
mod tests;

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use adtally_domain::{AdId, ReportingZone, Timestamp};
use adtally_store::{StatsCursor, StatsSpan, Store};

use crate::http::ids::{id_in_path, id_number};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::manage::zone::Zone;

pub(crate) use body::{AdStats, AllStats};
use period::PARAMETERS;

const DEFAULT_LIMIT: usize = 1_000;
const MAX_LIMIT: usize = 10_000;

/// How totals are reported.
pub(crate) struct Reporting {
    /// The zone to report in.
    pub(crate) zone: Zone,
    /// How long after its end a bucket becomes final.
    pub(crate) final_after: Duration,
    /// The wall clock.
    pub(crate) clock: fn() -> Timestamp,
}

impl Reporting {
    /// The zone, and the period that `query` asks for.
    async fn period(
        &self,
        store: &Store,
        query: &Query<'_>,
    ) -> Result<(ReportingZone, StatsSpan), Problem> {
        let span = period::parse(query, (self.clock)(), self.final_after)?;
        let zone = self.zone.current(store).await?;
        period::check(&span, zone)?;
        Ok((zone, span))
    }
}

/// One ad's totals
///
/// Every hour or day of the period is there, in order, with zeros where nothing happened. Numbers of
/// an open bucket are live. An ad nobody registered has totals too.
#[utoipa::path(
    get, path = "/v1/ads/{ad_id}/stats", tag = "stats",
    params(("ad_id" = i64, Path, minimum = 1, description = "The ad's id"), period::PeriodParameters),
    responses(
        (status = 200, body = AdStats),
        (status = 400, description = "A parameter is wrong"),
        (status = 422, description = "The period holds more than 10,000 buckets"),
    )
)]
pub(crate) async fn of_ad(
    request: HttpRequest,
    store: Data<Store>,
    reporting: Data<Reporting>,
) -> Result<HttpResponse, Problem> {
    let ad = id_in_path(&request, "ad_id").and_then(AdId::new);
    let ad = ad.ok_or_else(|| Problem::not_found("ad"))?;
    let query = Query::parse(request.query_string(), &PARAMETERS)?;
    let (zone, span) = reporting.period(&store, &query).await?;
    let rows = store.ad_stats(zone, ad, span).await?;
    Ok(HttpResponse::Ok().json(AdStats::new(ad, zone, span.granularity, &rows)))
}

/// All ads' totals
///
/// Only hours or days in which an ad had events, ordered by start and ad.
#[utoipa::path(
    get, path = "/v1/stats", tag = "stats",
    params(
        period::PeriodParameters,
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10_000, description = "The most rows to answer; 1,000 when left out"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the answer before; repeat the other parameters with it"),
    ),
    responses(
        (status = 200, body = AllStats),
        (status = 400, description = "A parameter is wrong"),
        (status = 422, description = "The period holds more than 10,000 buckets"),
    )
)]
pub(crate) async fn of_all(
    request: HttpRequest,
    store: Data<Store>,
    reporting: Data<Reporting>,
) -> Result<HttpResponse, Problem> {
    let [granularity, from, to] = PARAMETERS;
    let known = [granularity, from, to, "limit", "cursor"];
    let query = Query::parse(request.query_string(), &known)?;
    let limit = query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = query.get("cursor").map(cursor).transpose()?;
    let (zone, span) = reporting.period(&store, &query).await?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let page = store.all_stats(zone, span, after, limit).await?;
    Ok(HttpResponse::Ok().json(AllStats::new(zone, span.granularity, &page)))
}

/// Reads what [`body::cursor`] wrote.
fn cursor(text: &str) -> Result<StatsCursor, Problem> {
    let parts = text.split_once('.').and_then(|(start, ad)| {
        let start = Timestamp::from_millis(start.parse().ok()?).ok()?;
        Some(StatsCursor {
            start,
            ad_id: AdId::new(id_number(ad)?)?,
        })
    });
    parts.ok_or_else(|| {
        Problem::invalid_parameter("cursor", "cursor is not a next_cursor of this list")
    })
}
