use std::collections::HashSet;

use actix_web::body::to_bytes;

use super::*;

async fn json_of(problem: &Problem) -> serde_json::Value {
    let body = to_bytes(problem.error_response().into_body())
        .await
        .unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[actix_web::test]
async fn every_problem_is_problem_json_with_its_own_code() {
    let mut seen = HashSet::new();
    for &code in ProblemCode::ALL {
        let problem = Problem::new(code, "a detail");
        let response = problem.error_response();
        assert_eq!(
            response.headers().get("content-type").unwrap(),
            "application/problem+json"
        );
        assert_eq!(
            response.status() == 503,
            response.headers().contains_key("retry-after")
        );
        let json = json_of(&problem).await;
        assert_eq!(json["status"], u16::from(response.status()));
        assert_eq!(json["code"], code.as_str());
        assert_eq!(
            json["type"],
            format!("urn:adtally:problem:{}", code.as_str())
        );
        assert!(
            seen.insert(code.as_str()),
            "{} is used twice",
            code.as_str()
        );
    }
}

#[actix_web::test]
async fn a_fault_on_our_side_never_shows_its_cause() {
    for error in [
        StoreError::Unavailable("host db.internal:5432 refused".to_owned()),
        StoreError::Database("relation \"secret\" is broken".to_owned()),
        StoreError::StillNeeded("events_20261122".to_owned()),
        StoreError::Refused {
            statement: "SELECT secret".to_owned(),
            sqlstate: "42501".to_owned(),
            message: "permission denied for table secret".to_owned(),
        },
        StoreError::SchemaOutdated(vec!["events_20261122".to_owned()]),
    ] {
        let json = json_of(&error.into()).await;
        assert!(json["status"].as_u64().unwrap() >= 500);
        let text = json.to_string();
        assert!(
            !text.contains("db.internal") && !text.contains("secret"),
            "{text}"
        );
        assert!(!text.contains("events_20261122"), "{text}");
    }
}

#[actix_web::test]
async fn what_waiting_does_not_mend_is_not_to_be_tried_again() {
    let refused = || StoreError::Refused {
        statement: "SELECT ads".to_owned(),
        sqlstate: "42501".to_owned(),
        message: "permission denied".to_owned(),
    };
    for (error, status, code) in [
        (refused(), 500, "database_refused"),
        (StoreError::SchemaMissing, 500, "database_refused"),
        (
            StoreError::SchemaOutdated(Vec::new()),
            500,
            "database_refused",
        ),
        (
            StoreError::Unavailable(String::new()),
            503,
            "database_unavailable",
        ),
        (
            StoreError::Database(String::new()),
            503,
            "database_unavailable",
        ),
    ] {
        let problem = Problem::from(error);
        let response = problem.error_response();
        assert_eq!(response.status(), status, "{code}");
        let is_to_be_tried_again = response.headers().contains_key("retry-after");
        assert_eq!(is_to_be_tried_again, status == 503, "{code}");
        assert_eq!(json_of(&problem).await["code"], code);
    }
}

#[actix_web::test]
async fn wrong_fields_are_listed_one_by_one() {
    let errors = vec![
        FieldError {
            field: "title",
            detail: "title is required".to_owned(),
        },
        FieldError {
            field: "target_url",
            detail: "target_url has no host".to_owned(),
        },
    ];
    let json = json_of(&Problem::invalid_fields(errors)).await;
    assert_eq!(json["status"], 422);
    assert_eq!(json["errors"][1]["field"], "target_url");
}
