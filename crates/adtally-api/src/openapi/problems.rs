//! The problems that routes answer, so that no route describes their shape itself.

use utoipa::Modify;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{
    Content, ContentBuilder, HeaderBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
};

const MEDIA_TYPE: &str = "application/problem+json";

/// Gives every error that a route names without a body the shape of a problem. Any route may answer a problem
/// it does not name, such as 404, 415 or 503, and any route that reads the database those of the database.
pub(super) struct Problems;

impl Modify for Problems {
    fn modify(&self, description: &mut OpenApi) {
        for item in description.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.patch];
            for operation in operations.into_iter().flatten() {
                describe(operation);
            }
        }
    }
}

fn describe(operation: &mut Operation) {
    let reads_database = operation
        .tags
        .iter()
        .flatten()
        .any(|tag| ["stats", "ads", "advertisers", "dead letters"].contains(&tag.as_str()));
    let responses = &mut operation.responses.responses;
    for (status, response) in &mut *responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && response.content.is_empty()
        {
            response
                .content
                .insert(MEDIA_TYPE.to_owned(), content().into());
        }
    }
    if reads_database {
        let (away, refused) = (database_away(), database_refused());
        for (status, response) in [("503", away), ("500", refused)] {
            let named = responses.entry(status.to_owned());
            named.or_insert_with(|| response.into());
        }
    }
    let any = problem("A problem").build();
    responses.insert("default".to_owned(), any.into());
}

fn database_away() -> Response {
    let seconds = Object::with_type(Type::Integer);
    let after = HeaderBuilder::new().schema(Some(seconds)).build();
    problem("The database is away, or too busy; try again")
        .header("retry-after", after)
        .build()
}

fn database_refused() -> Response {
    problem("Something is wrong with the server; trying again does not help").build()
}

fn problem(description: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .content(MEDIA_TYPE, content())
}

fn content() -> Content {
    let schema = Ref::from_schema_name("Problem");
    ContentBuilder::new().schema(Some(schema)).build()
}
