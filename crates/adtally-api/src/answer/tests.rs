use actix_web::HttpResponse;
use actix_web::body::to_bytes;
use actix_web::test::TestRequest;

use super::*;
use crate::testing::{BODY_MEMORY, TestApi};

fn answer(api: &TestApi, bytes: usize) -> ServiceResponse<EitherBody<Bytes, EitherBody<Pieces>>> {
    let request = TestRequest::get().to_http_request();
    let body = Bytes::from(vec![b'x'; bytes]);
    let response = HttpResponse::Ok().finish().set_body(body);
    bounded(
        ServiceResponse::new(request, response),
        Some(&api.context.bodies),
    )
}

#[actix_web::test]
async fn a_large_answer_holds_memory_until_its_last_piece_is_taken() {
    let api = TestApi::new();
    let memory = api.context.bodies.memory().clone();
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
