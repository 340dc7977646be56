//! `GET /v1/pixel.gif`: one impression for one picture.

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, EXPIRES, PRAGMA};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use adtally_domain::EventKind;

use crate::ingest::browser::{AdSource, BrowserContext, BrowserParameters};

/// The smallest transparent GIF: one pixel, 43 bytes.
const GIF: &[u8; 43] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// Count an impression
///
/// For pages that show an ad: put the address into an `img` element. The answer is always the
/// picture, whatever became of the event, and is never cached. The visitor's address, user agent and
/// referer are taken from the request; a `HEAD` request counts nothing.
#[utoipa::path(
    get,
    path = "/v1/pixel.gif",
    tag = "browsers",
    params(BrowserParameters, ("ad_id" = i64, Query, minimum = 1, description = "The ad that was shown")),
    responses((status = 200, description = "A transparent picture of one pixel", content_type = "image/gif"))
)]
pub(crate) async fn pixel(request: HttpRequest, browser: Data<BrowserContext>) -> HttpResponse {
    if request.method() == Method::GET {
        browser
            .record(&request, EventKind::Impression, AdSource::Query)
            .await;
    }
    HttpResponse::Ok()
        .content_type("image/gif")
        .insert_header((
            CACHE_CONTROL,
            "no-store, no-cache, must-revalidate, private",
        ))
        .insert_header((PRAGMA, "no-cache"))
        .insert_header((EXPIRES, "0"))
        // Pages that let in only what says so (COEP) show it too.
        .insert_header(("cross-origin-resource-policy", "cross-origin"))
        .body(GIF.as_slice())
}
