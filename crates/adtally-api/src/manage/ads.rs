//! `/v1/ads`: what is advertised, and where a click leads.

mod body;

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use adtally_domain::AdId;
use adtally_store::{Ad, Store};

use super::page::{Page, PageParameters};
use crate::ad_cache::AdCache;
use crate::http::body::BodyReader;
use crate::http::ids::id_in_path;
use crate::http::problem::Problem;
use crate::manage::fields;

pub(crate) use body::{AdBody, AdChangeBody, AdPage, NewAdBody};

/// Create an ad
///
/// The ad server may choose the id. Events of ads that were never created count all the same; an ad
/// is needed for clicks that go through this API.
#[utoipa::path(
    post, path = "/v1/ads", tag = "ads",
    request_body(content = NewAdBody, content_type = "application/json"),
    responses(
        (status = 201, body = AdBody),
        (status = 409, description = "The id is taken"),
        (status = 422, description = "Fields are wrong"),
    )
)]
pub(crate) async fn create(
    request: HttpRequest,
    payload: Payload,
    bodies: Data<BodyReader>,
    store: Data<Store>,
    cache: Data<AdCache>,
) -> Result<HttpResponse, Problem> {
    let body: NewAdBody = fields::read(&bodies, &request, payload).await?;
    let ad = store.create_ad(body.validated()?).await?;
    update(&cache, &ad);
    let location = format!("/v1/ads/{}", ad.id);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(AdBody::from(ad)))
}

/// One ad
#[utoipa::path(
    get, path = "/v1/ads/{id}", tag = "ads",
    params(("id" = i64, Path, minimum = 1, description = "The ad's id")),
    responses(
        (status = 200, body = AdBody),
        (status = 404, description = "No such ad"),
    )
)]
pub(crate) async fn get(request: HttpRequest, store: Data<Store>) -> Result<HttpResponse, Problem> {
    let ad = store.ad(id(&request)?).await?;
    let ad = ad.ok_or_else(|| Problem::not_found("ad"))?;
    Ok(HttpResponse::Ok().json(AdBody::from(ad)))
}

/// Ads in the order of their ids
#[utoipa::path(
    get, path = "/v1/ads", tag = "ads",
    params(PageParameters),
    responses((status = 200, body = AdPage))
)]
pub(crate) async fn list(
    request: HttpRequest,
    store: Data<Store>,
) -> Result<HttpResponse, Problem> {
    let page = Page::parse(&request)?;
    let found = store
        .ads(page.after.and_then(AdId::new), page.fetch())
        .await?;
    let (found, next_cursor) = page.cut(found, |ad| ad.id.get());
    let data = found.into_iter().map(AdBody::from).collect();
    Ok(HttpResponse::Ok().json(AdPage { data, next_cursor }))
}

/// Change an ad
///
/// What is missing stays; null takes an address away.
#[utoipa::path(
    patch, path = "/v1/ads/{id}", tag = "ads",
    params(("id" = i64, Path, minimum = 1, description = "The ad's id")),
    request_body(content = AdChangeBody, content_type = "application/json"),
    responses(
        (status = 200, body = AdBody),
        (status = 404, description = "No such ad"),
        (status = 422, description = "Fields are wrong"),
    )
)]
pub(crate) async fn change(
    request: HttpRequest,
    payload: Payload,
    bodies: Data<BodyReader>,
    store: Data<Store>,
    cache: Data<AdCache>,
) -> Result<HttpResponse, Problem> {
    let id = id(&request)?;
    let body: AdChangeBody = fields::read(&bodies, &request, payload).await?;
    let ad = store.update_ad(id, body.validated(id)?).await?;
    let ad = ad.ok_or_else(|| Problem::not_found("ad"))?;
    update(&cache, &ad);
    Ok(HttpResponse::Ok().json(AdBody::from(ad)))
}

/// The next click on `ad` through this process already goes the new way.
fn update(cache: &AdCache, ad: &Ad) {
    cache.put(ad.id, ad.approved, ad.target_url.as_deref());
}

fn id(request: &HttpRequest) -> Result<AdId, Problem> {
    let id = id_in_path(request, "id").and_then(AdId::new);
    id.ok_or_else(|| Problem::not_found("ad"))
}
