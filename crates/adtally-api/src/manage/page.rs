//! Lists, some rows at a time, in the order of ids.

use actix_web::HttpRequest;
use utoipa::IntoParams;

use crate::http::ids::id_number;
use crate::http::problem::Problem;
use crate::http::query::Query;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Which part of a list to answer.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "only its shape matters: the query is read parameter by parameter"
)]
pub(crate) struct PageParameters {
    /// The most rows to answer; 100 when left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// The part of a list that a request asks for.
#[derive(Debug)]
pub(super) struct Page {
    /// The id before the first one wanted.
    pub(super) after: Option<i64>,
    limit: usize,
}

impl Page {
    /// Reads `limit` and `cursor` from the query.
    pub(super) fn parse(request: &HttpRequest) -> Result<Self, Problem> {
        let query = Query::parse(request.query_string(), &["limit", "cursor"])?;
        let limit = query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?;
        let after = match query.get("cursor") {
            None => None,
            Some(cursor) => Some(id_number(cursor).ok_or_else(|| {
                Problem::invalid_parameter("cursor", "cursor is not a next_cursor of this list")
            })?),
        };
        Ok(Self { after, limit })
    }

    /// How many rows to fetch: one more than wanted tells whether there are more.
    pub(super) fn fetch(&self) -> u32 {
        u32::try_from(self.limit + 1).unwrap_or(u32::MAX)
    }

    /// The wanted rows of those fetched, and the cursor of the next ones.
    pub(super) fn cut<T>(&self, mut rows: Vec<T>, id: fn(&T) -> i64) -> (Vec<T>, Option<String>) {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows
            .last()
            .filter(|_| has_more)
            .map(|last| id(last).to_string());
        (rows, next)
    }
}
