use proptest::prelude::*;
use proptest::{collection, prop_oneof};

use super::*;

const LIMIT: usize = 1_024;

/// Follows `text` in pieces of `size` bytes; where it is then.
fn followed(text: &str, size: usize) -> Result<Requests, Fault> {
    let mut requests = Requests::default();
    for piece in text.as_bytes().chunks(size) {
        let followed = requests.follow(piece, LIMIT);
        followed.map_err(|faulty| faulty.fault)?;
    }
    Ok(requests)
}

#[test]
fn heads_are_told_from_bodies_in_pieces_of_any_size() {
    let extension = "x".repeat(LIMIT * 2);
    let stream = format!(
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n\
        POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 12\r\n\r\n{{\n\r\n\r\nGET /x\
        \r\nPOST / HTTP/1.1\r\ntransfer-ENCODING: chunked\r\n\r\n\
        A;x=1\r\n\r\n\r\n012345\r\n1;{extension}\r\n\n\r\n0\r\nt: {extension}\r\n\r\n\
        GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    );
    for size in (1..80).chain([LIMIT, stream.len()]) {
        let mut requests = followed(&stream, size).unwrap();
        assert_eq!(requests.complete_heads(), 4, "{size}");
        assert!(requests.is_at_request_line() && !requests.is_inside_head());
        requests.follow(b"GET", LIMIT).unwrap();
        assert!(requests.is_inside_head() && requests.is_at_request_line());
        requests.follow(b" / HTTP/1.1\r\n", LIMIT).unwrap();
        assert!(requests.is_inside_head() && !requests.is_at_request_line());
    }
}

#[test]
fn a_head_has_a_bound_and_a_body_has_none() {
    for method in ["GET", "POST"] {
        let start = format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000\r\n");
        let body = format!("{start}\r\n{}", "x".repeat(2_000));
        let head = format!("{start}x: {}", "x".repeat(2_000));
        for size in [1, 7, 4_096] {
            let requests = followed(&body, size).unwrap();
            assert!(requests.is_at_request_line() && !requests.is_inside_head());
            assert_eq!(followed(&head, size).unwrap_err(), Fault::HeadTooLarge);
            let second = format!("{body}{head}");
            assert_eq!(followed(&second, size).unwrap_err(), Fault::HeadTooLarge);
        }
    }
    assert_eq!(
        followed(&"\r\n".repeat(2_000), 9).unwrap_err(),
        Fault::HeadTooLarge
    );
}

#[test]
fn a_line_that_ends_without_carriage_return_is_a_fault_but_in_bodies_and_before_heads() {
    let sound = "\n\r\n\nPOST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n\n\n\n\n\n\r\n\n";
    let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    for size in [1, 3, 40, 400] {
        followed(sound, size).unwrap();
        for fault in [
            "GET / HTTP/1.1\n\n".to_owned(),
            "GET / HTTP/1.1\r\nhost: a\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nhost: a\r\n\n".to_owned(),
            format!("{chunked}1\n"),
            format!("{chunked}1;{}\n", "x".repeat(100)),
            format!("{chunked}0\r\n\n\r\nPOST / HTTP/1.1\r\ncontent-length: 99999\r\n\r\n"),
            format!("{chunked}0\r\n{}\n\r\n", "x".repeat(100)),
        ] {
            assert_eq!(followed(&fault, size).unwrap_err(), Fault::BareLineFeed);
        }
    }
}

#[test]
fn a_chunks_size_is_never_cut_short() {
    let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = format!("{chunked}{}5\r\n", "0".repeat(40));
    for size in 1..long.len() {
        assert_eq!(followed(&long, size).unwrap_err(), Fault::ChunkSize);
    }
}

#[test]
fn a_fault_leaves_the_requests_before_it() {
    let get = b"GET / HTTP/1.1\r\n\r\n";
    let chunked = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    for fault in [
        b"\r\nGET\n".as_slice(),
        &[chunked.as_slice(), b"2\n".as_slice()].concat(),
    ] {
        let mut requests = Requests::default();
        let stream = [get, get, fault].concat();
        let faulty = requests.follow(&stream, LIMIT).unwrap_err();
        assert_eq!(
            (faulty.sound, requests.complete_heads()),
            (2 * get.len(), 2)
        );
    }
    // The head of this one was handed on before.
    let mut requests = Requests::default();
    requests.follow(chunked, LIMIT).unwrap();
    let faulty = requests.follow(b"2\n", LIMIT).unwrap_err();
    assert_eq!((faulty.sound, requests.complete_heads()), (0, 1));
}

/// A request, and the text of the empty lines before it.
fn any_request() -> impl Strategy<Value = String> {
    let chunk =
        ("0{0,20}", 1..300_usize, "[ \t]{0,3}(;[a-z=]{0,60})?").prop_map(|(zeros, size, rest)| {
            format!("{zeros}{size:x}{rest}\r\n{}\r\n", "\n".repeat(size))
        });
    let chunks = (
        collection::vec(chunk, 0..4),
        "0{1,20}(;[a-z]{0,60})?",
        "(t: [a-z]{0,60}\r\n){0,3}",
    )
        .prop_map(|(chunks, last, trailers)| {
            format!(
                "transfer-encoding: chunked\r\n\r\n{}{last}\r\n{trailers}\r\n",
                chunks.concat()
            )
        });
    let length = "[\r\n a-z]{0,200}"
        .prop_map(|body| format!("content-length: {}\r\n\r\n{body}", body.len()));
    let body = prop_oneof![Just("\r\n".to_owned()), length, chunks];
    ("(\r?\n){0,3}", "(x: [a-z]{0,40}\r\n){0,3}", body)
        .prop_map(|(blank, headers, body)| format!("{blank}POST / HTTP/1.1\r\n{headers}{body}"))
}

proptest! {
    #[test]
    fn requests_are_followed_to_their_ends_however_they_are_split(
        all in collection::vec(any_request(), 1..6),
        sizes in collection::vec(1..60_usize, 1..20),
    ) {
        let stream = all.concat();
        let mut ends: Vec<_> = all.iter().scan(0, |end, one| { *end += one.len(); Some(*end) }).collect();
        let mut requests = Requests::default();
        let (mut at, mut sizes) = (0, sizes.iter().cycle());
        while at < stream.len() {
            let to = (at + sizes.next().unwrap()).min(stream.len());
            requests.follow(&stream.as_bytes()[at..to], LIMIT).unwrap();
            at = to;
            ends.retain(|end| *end > at);
            let over = all.len() - ends.len();
            prop_assert!(requests.complete_heads() >= over as u64);
            prop_assert!(requests.complete_heads() <= over as u64 + 1);
        }
        prop_assert_eq!(requests.complete_heads(), all.len() as u64);
        prop_assert!(requests.is_at_request_line() && !requests.is_inside_head());
    }
}
