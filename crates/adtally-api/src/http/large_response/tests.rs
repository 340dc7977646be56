use actix_web::HttpResponse;
use actix_web::body::to_bytes;
use actix_web::test::TestRequest;

use super::*;
use crate::testing::{BODY_MEMORY, TestApi};

fn answer(api: &TestApi, bytes: usize) -> ServiceResponse<EitherBody<Bytes, EitherBody<Pieces>>> {
    answer_to(TestRequest::get().uri("/v1/ads"), api, bytes)
}

fn answer_to(
    request: TestRequest,
    api: &TestApi,
    bytes: usize,
) -> ServiceResponse<EitherBody<Bytes, EitherBody<Pieces>>> {
    let request = request.to_http_request();
    let body = Bytes::from(vec![b'x'; bytes]);
    let response = HttpResponse::Ok().finish().set_body(body);
    bounded(
        ServiceResponse::new(request, response),
        Some(&api.app.bodies),
    )
}

#[actix_web::test]
async fn a_large_answer_holds_memory_until_its_last_piece_is_taken() {
    let api = TestApi::new();
    let memory = api.app.bodies.memory().clone();
    let small = answer(&api, LARGE as usize);
    assert_eq!(memory.used(), 0);
    drop(small);
    let length = 20 * PIECE + 1;
    let mut body = Box::pin(answer(&api, length).into_body());
    assert_eq!(memory.used(), length);
    assert_eq!(body.size(), BodySize::Sized(length as u64));
    let mut taken = 0;
    while let Some(piece) = std::future::poll_fn(|context| body.as_mut().poll_next(context)).await {
        let piece = piece.map_err(|_| "a piece").unwrap();
        assert!(piece.len() <= PIECE);
        taken += piece.len();
    }
    assert_eq!(taken, length);
    drop(body);
    assert_eq!(memory.used(), 0);
}

#[actix_web::test]
async fn answers_that_nobody_reads_fill_no_more_than_the_memory_for_bodies() {
    let api = TestApi::new();
    let mut unread = Vec::new();
    let refused = loop {
        let answer = answer(&api, 1_500_000);
        if answer.status() != 200 {
            break answer;
        }
        unread.push(answer);
        assert!(unread.len() * 1_500_000 < BODY_MEMORY);
    };
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let problem = to_bytes(refused.into_body())
        .await
        .map_err(|_| "a body")
        .unwrap();
    assert!(String::from_utf8_lossy(&problem).contains("overloaded"));
    // A small one is sent all the same.
    assert_eq!(answer(&api, 1_000).status(), 200);
}

#[actix_web::test]
async fn without_memory_changes_and_health_are_answered_all_the_same() {
    let api = TestApi::new();
    let _taken = api.exhaust_memory();
    let length = LARGE as usize + 1;
    assert_eq!(answer(&api, length).status(), 503);
    let mut served: Vec<_> = HEALTH_PATHS.map(|path| TestRequest::get().uri(path)).into();
    let changes = [Method::POST, Method::PATCH, Method::PUT, Method::DELETE];
    served.extend(changes.map(|method| TestRequest::default().method(method)));
    for request in served {
        let answer = answer_to(request, &api, length);
        assert_eq!(answer.status(), 200, "{:?}", answer.request());
        let body = to_bytes(answer.into_body()).await;
        assert_eq!(body.map_err(|_| "a body").unwrap().len(), length);
    }
}

#[actix_web::test]
async fn an_answer_keeps_as_much_of_its_requests_memory_as_it_needs() {
    let api = TestApi::new();
    let memory = api.app.bodies.memory().clone();
    for (bytes, needed) in [(1_000, 0), (100_000, 100_000)] {
        let request = TestRequest::post().to_http_request();
        let mut reservation = api.app.bodies.reserve(&request);
        reservation.grow_to(3_000_000).unwrap();
        let mut response = HttpResponse::Ok().finish();
        response.extensions_mut().insert(reservation);
        let response = response.set_body(Bytes::from(vec![b'x'; bytes]));
        let response = ServiceResponse::new(request, response);
        let answer = bounded(response, Some(&api.app.bodies));
        assert_eq!(memory.used(), needed);
        drop(answer);
        assert_eq!(memory.used(), 0);
    }
}
