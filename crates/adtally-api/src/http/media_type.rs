//! The media type of a request's body.

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;

use crate::http::problem::{Problem, ProblemCode};

/// How a body's content is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// `application/json`.
    Json,
    /// `application/x-ndjson`: one JSON text per line.
    Ndjson,
}

impl MediaType {
    /// The media type of a request's body, its parameters left aside.
    ///
    /// # Errors
    /// [`ProblemCode::UnsupportedMediaType`] when it is missing, another one, or given twice: a proxy may
    /// have read the other.
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let mut headers = request.headers().get_all(CONTENT_TYPE);
        let header = headers.next().and_then(|value| value.to_str().ok());
        if headers.next().is_some() {
            let detail = "send content-type once";
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail));
        }
        let essence = header
            .and_then(|value| value.split(';').next())
            .unwrap_or_default()
            .trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Ok(Self::Json)
        } else if essence.eq_ignore_ascii_case("application/x-ndjson") {
            Ok(Self::Ndjson)
        } else {
            let detail = "send content-type: application/json, or application/x-ndjson for events";
            Err(Problem::new(ProblemCode::UnsupportedMediaType, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn media_types_may_have_parameters() {
        let of = |value: &str| {
            let request = TestRequest::post().insert_header(("content-type", value));
            MediaType::of(&request.to_http_request())
        };
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json ;a=b",
        ] {
            assert_eq!(of(json).unwrap(), MediaType::Json, "{json}");
        }
        assert_eq!(
            of("application/x-ndjson;charset=UTF-8").unwrap(),
            MediaType::Ndjson
        );
        for other in [
            "",
            "text/plain",
            "application/jsonp",
            "application/xml",
            "json",
            ";",
        ] {
            assert_eq!(
                of(other).unwrap_err().code(),
                ProblemCode::UnsupportedMediaType,
                "{other}"
            );
        }
        let missing = MediaType::of(&TestRequest::post().to_http_request()).unwrap_err();
        assert_eq!(missing.code(), ProblemCode::UnsupportedMediaType);
    }
}
