//! `/v1/advertisers`: who advertises.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use adtally_domain::AdvertiserId;
use adtally_store::{Advertiser, NewAdvertiser, Store};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Page, PageParameters};
use crate::http::body::BodyReader;
use crate::http::ids::id_in_path;
use crate::http::problem::Problem;
use crate::manage::fields::{self, Fields, Sent};

/// An advertiser.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Advertiser)]
pub(crate) struct AdvertiserBody {
    /// Its id.
    id: i64,
    /// Its name.
    name: String,
}

/// An advertiser to create.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = NewAdvertiser)]
pub(crate) struct NewAdvertiserBody {
    /// Its id, when the sender chooses it.
    #[schema(value_type = Option<i64>, minimum = 1)]
    #[serde(default)]
    id: Sent,
    /// Its name.
    #[schema(value_type = String, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", required = true)]
    #[serde(default)]
    name: Sent,
}

/// What to change of an advertiser; what is missing stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = AdvertiserChange)]
pub(crate) struct AdvertiserChangeBody {
    /// Another name.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", nullable = false)]
    #[serde(default)]
    name: Sent,
    #[schema(ignore)]
    #[serde(default)]
    id: Sent,
}

/// Some advertisers in the order of their ids.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Advertisers)]
pub(crate) struct AdvertiserPage {
    /// The advertisers.
    data: Vec<AdvertiserBody>,
    /// Ask again with this as `cursor` for more; null at the end.
    next_cursor: Option<String>,
}

impl From<Advertiser> for AdvertiserBody {
    fn from(advertiser: Advertiser) -> Self {
        Self {
            id: advertiser.id.get(),
            name: advertiser.name,
        }
    }
}

impl NewAdvertiserBody {
    fn validated(&self) -> Result<NewAdvertiser, Problem> {
        let mut fields = Fields::default();
        let id = fields.id("id", &self.id).and_then(AdvertiserId::new);
        let name = fields.name("name", &self.name);
        let name = fields.required("name", &self.name, name);
        fields.finish(name.map(|name| NewAdvertiser { id, name }))
    }
}

/// Create an advertiser
#[utoipa::path(
    post, path = "/v1/advertisers", tag = "advertisers",
    request_body(content = NewAdvertiserBody, content_type = "application/json"),
    responses(
        (status = 201, body = AdvertiserBody),
        (status = 409, description = "The id is taken"),
        (status = 422, description = "Fields are wrong"),
    )
)]
pub(crate) async fn create(
    request: HttpRequest,
    payload: Payload,
    bodies: Data<BodyReader>,
    store: Data<Store>,
) -> Result<HttpResponse, Problem> {
    let body: NewAdvertiserBody = fields::read(&bodies, &request, payload).await?;
    let advertiser = store.create_advertiser(body.validated()?).await?;
    let location = format!("/v1/advertisers/{}", advertiser.id);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(AdvertiserBody::from(advertiser)))
}

/// One advertiser
#[utoipa::path(
    get, path = "/v1/advertisers/{id}", tag = "advertisers",
    params(("id" = i64, Path, minimum = 1, description = "The advertiser's id")),
    responses(
        (status = 200, body = AdvertiserBody),
        (status = 404, description = "No such advertiser"),
    )
)]
pub(crate) async fn get(request: HttpRequest, store: Data<Store>) -> Result<HttpResponse, Problem> {
    let advertiser = store.advertiser(id(&request)?).await?;
    let advertiser = advertiser.ok_or_else(|| Problem::not_found("advertiser"))?;
    Ok(HttpResponse::Ok().json(AdvertiserBody::from(advertiser)))
}

/// Advertisers in the order of their ids
#[utoipa::path(
    get, path = "/v1/advertisers", tag = "advertisers",
    params(PageParameters),
    responses((status = 200, body = AdvertiserPage))
)]
pub(crate) async fn list(
    request: HttpRequest,
    store: Data<Store>,
) -> Result<HttpResponse, Problem> {
    let page = Page::parse(&request)?;
    let after = page.after.and_then(AdvertiserId::new);
    let found = store.advertisers(after, page.fetch()).await?;
    let (found, next_cursor) = page.cut(found, |advertiser| advertiser.id.get());
    let data = found.into_iter().map(AdvertiserBody::from).collect();
    Ok(HttpResponse::Ok().json(AdvertiserPage { data, next_cursor }))
}

/// Change an advertiser
#[utoipa::path(
    patch, path = "/v1/advertisers/{id}", tag = "advertisers",
    params(("id" = i64, Path, minimum = 1, description = "The advertiser's id")),
    request_body(content = AdvertiserChangeBody, content_type = "application/json"),
    responses(
        (status = 200, body = AdvertiserBody),
        (status = 404, description = "No such advertiser"),
        (status = 422, description = "Fields are wrong"),
    )
)]
pub(crate) async fn change(
    request: HttpRequest,
    payload: Payload,
    bodies: Data<BodyReader>,
    store: Data<Store>,
) -> Result<HttpResponse, Problem> {
    let id = id(&request)?;
    let body: AdvertiserChangeBody = fields::read(&bodies, &request, payload).await?;
    let mut fields = Fields::default();
    fields.same_id(&body.id, id.get());
    let name = fields.name("name", &body.name);
    let changed = match fields.finish(Some(name))? {
        Some(name) => store.rename_advertiser(id, name).await?,
        None => store.advertiser(id).await?,
    };
    let changed = changed.ok_or_else(|| Problem::not_found("advertiser"))?;
    Ok(HttpResponse::Ok().json(AdvertiserBody::from(changed)))
}

fn id(request: &HttpRequest) -> Result<AdvertiserId, Problem> {
    let id = id_in_path(request, "id").and_then(AdvertiserId::new);
    id.ok_or_else(|| Problem::not_found("advertiser"))
}
