//! `GET /v1/click/{ad_id}`: one click for one redirect.

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use adtally_domain::{AdId, EventKind};

use crate::ad_cache::AdCache;
use crate::cached::Lookup;
use crate::http::ids::id_in_path;
use crate::http::problem::{Problem, ProblemCode};
use crate::ingest::browser::{AdSource, BrowserContext, BrowserParameters};

/// Count a click and go on to the ad's target
///
/// The redirect leads to the `target_url` stored for the ad, never to an address from the request,
/// and is never cached. A `HEAD` request is redirected and counts nothing.
#[utoipa::path(
    get,
    path = "/v1/click/{ad_id}",
    tag = "browsers",
    params(BrowserParameters, ("ad_id" = i64, Path, minimum = 1, description = "The ad that was clicked")),
    responses(
        (status = 302, description = "On to the ad's target", headers(("location" = String))),
        (status = 404, description = "No such ad, or it is not approved, or it has no target; nothing is counted"),
        (status = 503, description = "The ads are not loaded yet"),
    )
)]
pub(crate) async fn click(
    request: HttpRequest,
    ads: Data<AdCache>,
    browser: Data<BrowserContext>,
) -> Result<HttpResponse, Problem> {
    let ad = id_in_path(&request, "ad_id").and_then(AdId::new);
    let ad = ad.ok_or_else(|| Problem::not_found("ad"))?;
    let location = match ads.target(ad) {
        Lookup::Found(location) => location,
        Lookup::Missing => return Err(Problem::not_found("ad")),
        Lookup::NotLoaded => {
            return Err(Problem::new(
                ProblemCode::AdsNotLoaded,
                "the database did not answer yet",
            ));
        }
    };
    if request.method() == Method::GET {
        browser
            .record(&request, EventKind::Click, AdSource::Path(ad))
            .await;
    }
    Ok(HttpResponse::Found()
        .insert_header((LOCATION, location))
        .insert_header((
            CACHE_CONTROL,
            "no-store, no-cache, must-revalidate, private",
        ))
        // The advertiser learns the site that the visitor comes from, not the page.
        .insert_header((REFERRER_POLICY, "strict-origin-when-cross-origin"))
        .finish())
}
