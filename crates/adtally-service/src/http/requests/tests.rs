use super::*;

const LIMIT: usize = 1_024;

/// Follows `text` in pieces of `size` bytes; where it is then.
fn followed(text: &str, size: usize) -> Result<Requests, HeadFault> {
    let mut requests = Requests::default();
    for piece in text.as_bytes().chunks(size) {
        requests.follow(piece, LIMIT)?;
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
            assert_eq!(followed(&head, size).unwrap_err(), HeadFault::TooLarge);
            let second = format!("{body}{head}");
            assert_eq!(followed(&second, size).unwrap_err(), HeadFault::TooLarge);
        }
    }
    assert_eq!(
        followed(&"\r\n".repeat(2_000), 9).unwrap_err(),
        HeadFault::TooLarge
    );
}

#[test]
fn a_line_that_ends_without_carriage_return_is_a_fault_in_a_head_only() {
    let sound = "POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n\n\n\n\n";
    followed(sound, 3).unwrap();
    for head in ["GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\nhost: a\n\r\n"] {
        for size in [1, 40] {
            assert_eq!(followed(head, size).unwrap_err(), HeadFault::BareLineFeed);
        }
    }
}
