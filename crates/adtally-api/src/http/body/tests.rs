use std::io::Write;
use std::task::Poll;

use actix_web::FromRequest;
use actix_web::test::TestRequest;
use adtally_service::metrics::Registry;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const LIMIT: usize = 1_000;

/// Enough for many, but for few large ones.
const MEMORY: usize = 1_000_000;

fn reader() -> BodyReader {
    let memory = BodyMemory::new(MEMORY, &Registry::new());
    BodyReader::new(memory, Duration::from_secs(5), 0)
}

async fn read_with(reader: &BodyReader, request: TestRequest) -> Result<Body, Problem> {
    let (request, mut parts) = request.to_http_parts();
    let payload = Payload::from_request(&request, &mut parts).await.unwrap();
    reader.read(&request, payload, LIMIT).await
}

async fn code(request: TestRequest) -> ProblemCode {
    read_with(&reader(), request).await.unwrap_err().code()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn gzipped(body: Vec<u8>) -> TestRequest {
    TestRequest::post()
        .insert_header(("content-encoding", "gzip"))
        .set_payload(body)
}

#[actix_web::test]
async fn a_body_at_the_limit_is_read_and_one_byte_more_is_refused() {
    let body = read_with(
        &reader(),
        TestRequest::post().set_payload(vec![b'x'; LIMIT]),
    )
    .await;
    assert_eq!(body.unwrap().bytes().len(), LIMIT);
    let over = TestRequest::post().set_payload(vec![b'x'; LIMIT + 1]);
    assert_eq!(code(over).await, ProblemCode::BodyTooLarge);
    let announced = TestRequest::post().insert_header(("content-length", "99999999999999"));
    assert_eq!(code(announced).await, ProblemCode::BodyTooLarge);
}

#[actix_web::test]
async fn gzip_counts_once_it_is_decompressed() {
    let body = read_with(&reader(), gzipped(gzip(b"content")))
        .await
        .unwrap();
    assert_eq!(body.bytes(), b"content");
    let two_members = [gzip(b"con"), gzip(b"tent")].concat();
    assert_eq!(
        read_with(&reader(), gzipped(two_members))
            .await
            .unwrap()
            .bytes(),
        b"content"
    );
    let bomb = gzip(&vec![0; 800_000]);
    assert!(bomb.len() < LIMIT, "{}", bomb.len());
    assert_eq!(code(gzipped(bomb)).await, ProblemCode::BodyTooLarge);
}

#[actix_web::test]
async fn a_body_that_is_not_what_it_says_is_refused() {
    assert_eq!(
        code(gzipped(b"plain".to_vec())).await,
        ProblemCode::MalformedEncoding
    );
    let mut cut = gzip(b"content");
    cut.truncate(cut.len() - 3);
    assert_eq!(code(gzipped(cut)).await, ProblemCode::MalformedEncoding);
    for encoding in ["br", "deflate", "zstd", "gzip, gzip"] {
        let request = TestRequest::post().insert_header(("content-encoding", encoding));
        assert_eq!(
            code(request).await,
            ProblemCode::UnsupportedEncoding,
            "{encoding}"
        );
    }
}

#[actix_web::test]
async fn a_body_holds_its_memory_until_what_was_made_of_it_is_gone() {
    let reader = reader();
    let read = async || {
        let request = TestRequest::post().set_payload(vec![b'x'; LIMIT]);
        read_with(&reader, request).await.unwrap()
    };
    for (made, held) in [
        (1, LIMIT + HEADROOM),
        (LIMIT + HEADROOM, LIMIT + HEADROOM),
        (200_000, 200_000),
    ] {
        let reservation = read().await.swap_for(made).unwrap();
        assert_eq!(reader.memory.used(), held, "{made}");
        drop(reservation);
        assert_eq!(reader.memory.used(), 0);
    }
    let refused = read().await.swap_for(MEMORY).unwrap_err();
    assert_eq!(refused.code(), ProblemCode::Overloaded);
    assert_eq!(reader.memory.used(), 0);
}

#[actix_web::test]
async fn a_small_body_is_decoded_inline_and_a_large_one_is_not() {
    let decoded = async |body: Vec<u8>, is_gzip: bool| {
        let mut request = TestRequest::post().set_payload(body);
        if is_gzip {
            request = request.insert_header(("content-encoding", "gzip"));
        }
        let (request, mut parts) = request.to_http_parts();
        let payload = Payload::from_request(&request, &mut parts).await.unwrap();
        let received = reader().receive(&request, payload, 10 * INLINE_BYTES).await;
        received.unwrap().decode_inline().unwrap()
    };
    assert!(decoded(vec![b' '; INLINE_BYTES], false).await.is_ok());
    assert!(decoded(vec![b' '; INLINE_BYTES + 1], false).await.is_err());
    assert!(decoded(gzip(&[b' '; INLINE_BYTES]), true).await.is_ok());
    let large = decoded(gzip(&[b' '; INLINE_BYTES + 1]), true)
        .await
        .unwrap_err();
    assert_eq!(large.decode().unwrap().bytes().len(), INLINE_BYTES + 1);
}

#[actix_web::test]
async fn a_body_that_stops_is_given_up_long_before_its_deadline() {
    let memory = BodyMemory::new(MEMORY, &Registry::new());
    let reader = BodyReader::new(memory, Duration::from_secs(3_600), 0);
    let first = actix_web::web::Bytes::from_static(&[b' '; 999]);
    let pieces = futures_util::stream::iter([Ok(first)]).chain(futures_util::stream::pending());
    let mut parts: dev::Payload = dev::Payload::Stream {
        payload: Box::pin(pieces),
    };
    let request = TestRequest::post().to_http_request();
    let payload = Payload::from_request(&request, &mut parts).await.unwrap();
    let started = Instant::now();
    let problem = reader.read(&request, payload, LIMIT).await.unwrap_err();
    assert_eq!(problem.code(), ProblemCode::BodyTimeout);
    let took = started.elapsed();
    assert!(
        took >= Duration::from_secs(6) && took < Duration::from_secs(60),
        "{took:?}"
    );
    assert_eq!(reader.memory.used(), 0);
}

#[actix_web::test]
async fn a_body_that_is_not_actix_s_own_is_waited_for() {
    let mut is_first = true;
    let pieces = futures_util::stream::poll_fn(move |context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(actix_web::web::Bytes::from_static(b"late"))))
    });
    let mut parts: dev::Payload = dev::Payload::Stream {
        payload: Box::pin(pieces.take(1)),
    };
    let request = TestRequest::post().to_http_request();
    let payload = Payload::from_request(&request, &mut parts).await.unwrap();
    let body = reader().read(&request, payload, LIMIT).await;
    assert_eq!(body.unwrap().bytes(), b"late");
}
