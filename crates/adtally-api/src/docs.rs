//! `GET /openapi.json` and `GET /api-docs/`: the API's description, and a page to read it on. The
//! page is part of the binary and loads nothing from elsewhere.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use utoipa_swagger_ui::Config;

use crate::http::problem::Problem;
use crate::openapi;

/// The page shows data of its own making as pictures and styles; all else comes from here.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
                      frame-ancestors 'none'; base-uri 'none'";

static DESCRIPTION: LazyLock<String> = LazyLock::new(openapi::json);

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // Swagger UI would else ask an outside host to judge the description.
    Arc::new(
        Config::new(["/openapi.json"])
            .validator_url("none")
            .use_base_layout(),
    )
});

pub(crate) async fn description() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(DESCRIPTION.as_str())
}

pub(crate) async fn to_page() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/api-docs/"))
        .finish()
}

pub(crate) async fn page(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = request.match_info().query("file");
    let file = utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).map_err(|error| {
        log::error!("a file of the API's pages cannot be made: {error}");
        Problem::internal()
    })?;
    let file = file.ok_or_else(|| Problem::not_found("page"))?;
    Ok(HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(file.bytes.into_owned()))
}
