//! Every error the API answers, from one table, as RFC 9457 `application/problem+json`.

mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use adtally_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use table::ProblemCode;

const CONTENT_TYPE: &str = "application/problem+json";

/// Seconds after which a client may try again what the API could not do now.
const RETRY_SECONDS: u64 = 2;

/// An error as the client sees it. It never carries the cause of a fault on our side.
#[derive(Debug)]
pub(crate) struct Problem {
    code: ProblemCode,
    detail: String,
    errors: Vec<FieldError>,
    allow: Option<String>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// The field's name.
    #[schema(value_type = String)]
    pub(crate) field: &'static str,
    /// What is wrong with it and what would be right.
    pub(crate) detail: String,
}

/// An error, as RFC 9457 shapes it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// A URI that names the kind of problem: `urn:adtally:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// The stable code of the kind of problem.
    code: &'a str,
    /// What is wrong with this request.
    detail: &'a str,
    /// The fields that are wrong, when fields are to blame.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
}

impl Problem {
    /// The problem `code`, explained by `detail`.
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            allow: None,
        }
    }

    /// Fields of the body that break their rules.
    pub(crate) fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let names: Vec<_> = errors.iter().map(|error| error.field).collect();
        let detail = format!("wrong or missing: {}", names.join(", "));
        Self {
            errors,
            ..Self::new(ProblemCode::InvalidFields, detail)
        }
    }

    /// A parameter of the query that breaks its rule.
    pub(crate) fn invalid_parameter(name: &'static str, detail: impl Into<String>) -> Self {
        let errors = vec![FieldError {
            field: name,
            detail: detail.into(),
        }];
        let detail = format!("the query parameter {name} is wrong");
        Self {
            errors,
            ..Self::new(ProblemCode::InvalidParameter, detail)
        }
    }

    /// A route exists, but not for the request's method; `allow` lists those it has.
    pub(crate) fn method_not_allowed(allow: impl Into<String>) -> Self {
        let allow = allow.into();
        let detail = format!("this route answers {allow}");
        Self {
            allow: Some(allow),
            ..Self::new(ProblemCode::MethodNotAllowed, detail)
        }
    }

    /// There is no such `what`.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("there is no such {what}"))
    }

    /// A fault on our side. The cause belongs in the log.
    pub(crate) fn internal() -> Self {
        Self::new(ProblemCode::Internal, "the cause is in the server's log")
    }

    /// The stable code.
    #[cfg(test)]
    pub(crate) fn code(&self) -> ProblemCode {
        self.code
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.code.status();
        let mut response = HttpResponse::build(status);
        response.content_type(CONTENT_TYPE);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, RETRY_SECONDS));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((ALLOW, allow.as_str()));
        }
        let body = ProblemBody {
            kind: format!("urn:adtally:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: status.as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            errors: &self.errors,
        };
        // A struct of texts and numbers always serialises; an empty body is the last resort.
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { what, id } => Self::new(
                ProblemCode::AlreadyExists,
                format!("{what} {id} exists already"),
            ),
            StoreError::UnknownAdvertiser(id) => Self::invalid_fields(vec![FieldError {
                field: "advertiser_id",
                detail: format!("there is no advertiser {id}"),
            }]),
            error if error.is_lasting() => {
                // `watch_obstacles` logs it once and makes the process not ready.
                log::debug!("a request failed in the database: {error}");
                Self::new(
                    ProblemCode::DatabaseRefused,
                    "the cause is in the server's log; trying again does not help",
                )
            }
            error if error.is_transient() => {
                // That the database is away is logged once, where its state is watched.
                log::debug!("a request failed in the database: {error}");
                Self::new(ProblemCode::DatabaseUnavailable, "try again in a moment")
            }
            error => {
                log::error!("a request failed in the database: {error}");
                Self::internal()
            }
        }
    }
}
