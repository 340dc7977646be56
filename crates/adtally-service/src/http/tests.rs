use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

use actix_web::{App, HttpRequest, web};

use super::*;

const HEAD_TIME: Duration = Duration::from_millis(500);

/// A server that answers what it was asked for, and where it listens.
fn echo() -> (SocketAddr, Registry) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let options = HttpOptions {
        threads: 1,
        connections_per_thread: 100,
        connections_check: None,
        head: HeadLimits {
            bytes: 2_048,
            time: HEAD_TIME,
        },
        keep_alive: Duration::from_secs(60),
        disconnect_timeout: Duration::from_secs(1),
        stop_seconds: 1,
    };
    let registry = Registry::new();
    let app = || App::new().default_service(web::to(said));
    let server = serve_http(listener, &options, &registry, app).unwrap();
    tokio::spawn(server);
    (address, registry)
}

async fn said(request: HttpRequest, body: web::Bytes) -> String {
    let header = request.headers().get("x-quoted");
    let header = header.map_or("", |value| value.to_str().unwrap());
    let body = String::from_utf8_lossy(&body);
    format!("<{} {header} {body}>", request.uri())
}

/// Everything a server answers to `pieces`, each sent when the one before was answered.
async fn exchange(address: SocketAddr, pieces: &[&[u8]]) -> String {
    let pieces: Vec<_> = pieces.iter().map(|piece| piece.to_vec()).collect();
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let (mut answers, last) = (Vec::new(), pieces.len() - 1);
        for piece in &pieces[..last] {
            stream.write_all(piece).unwrap();
            let mut buffer = [0; 4_096];
            let read = stream.read(&mut buffer).unwrap();
            answers.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(&pieces[last]).unwrap();
        let _reset = stream.read_to_end(&mut answers);
        String::from_utf8_lossy(&answers).into_owned()
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

fn refused(registry: &Registry, reason: &str) -> u64 {
    let line = format!("adtally_http_refused_total{{reason=\"{reason}\"}} ");
    let text = registry.render();
    let value = text.lines().find_map(|found| found.strip_prefix(&line));
    value.unwrap().parse().unwrap()
}

const END: &[u8] = b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const MORE: &[u8] = b" HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn raw_bytes_of_a_target_arrive_encoded_on_any_request_of_a_connection() {
    let (address, _) = echo();
    let raw = [b"GET /x?a=\"<\xE9>\"&p=".as_slice(), "کل".as_bytes()].concat();
    let (first, last) = ([&raw, MORE].concat(), [&raw, END].concat());
    let post = b"POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 13\r\n\r\nGET /\"\r\n\r\n\"\"\"";
    let chunked = b"POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\n\"\r\n\r\n0\r\n\r\n";
    let pieces = [&first, post.as_slice(), &first, chunked, &last];
    let answers = exchange(address, &pieces).await;
    let target = "</x?a=%22%3C%E9%3E%22&p=%DA%A9%D9%84  >";
    assert_eq!(answers.matches(target).count(), 3, "{answers}");
    assert!(answers.contains("</p  GET /\"\r\n\r\n\"\"\">"), "{answers}");
    assert!(answers.contains("</p  \"\r\n>"), "{answers}");
}

#[tokio::test]
async fn a_target_longer_than_the_buffer_it_is_read_into_arrives_whole() {
    let (address, _) = echo();
    let target = "\"".repeat(1_900);
    let head = [b"GET /?", target.as_bytes(), END].concat();
    let answer = exchange(address, &[&head]).await;
    assert!(
        answer.contains(&format!("</?{}  >", "%22".repeat(1_900))),
        "{answer}"
    );
}

#[tokio::test]
async fn nothing_but_the_request_line_is_encoded() {
    let (address, _) = echo();
    let head = b"GET /a HTTP/1.1\r\nhost: a\r\nx-quoted: \"q\"\r\n\r\n";
    let last = b"GET /b HTTP/1.1\r\nhost: a\r\nx-quoted: \"q\"\r\nconnection: close\r\n\r\n";
    // Two at once, and one in two parts.
    let half = &last[..40];
    let pieces = [&[head.as_slice(), head, half].concat(), &last[40..]];
    let answers = exchange(address, &pieces).await;
    assert_eq!(answers.matches("</a \"q\" >").count(), 2, "{answers}");
    assert!(answers.contains("</b \"q\" >"), "{answers}");
}

#[tokio::test]
async fn every_head_has_a_deadline_and_a_size() {
    let (address, registry) = echo();
    let first = [b"GET /1".as_slice(), MORE].concat();
    let post = b"POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx";
    let chunked = b"POST /1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let half: &[u8] = b"GET /2 HTTP/1.1\r\nhost:";
    let large = [half, "a".repeat(2_048).as_bytes()].concat();
    let started = Instant::now();
    let mut late = 0;
    for before in [&first, post.as_slice(), chunked] {
        let with = [before, half].concat();
        for pieces in [&[half][..], &[before, half], &[&with, b"x"]] {
            let answer = exchange(address, pieces).await;
            assert!(
                answer.ends_with(
                    "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                ),
                "{answer}"
            );
            late += 1;
        }
        assert_eq!(refused(&registry, "head_timeout"), late);
    }
    assert!(started.elapsed() >= HEAD_TIME * 9);
    for pieces in [&[large.as_slice()][..], &[&first, &large], &[post, &large]] {
        let answer = exchange(address, pieces).await;
        assert!(answer.contains("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(refused(&registry, "head_too_large"), 3);
}

#[tokio::test]
async fn what_no_route_sees_is_counted_by_reason() {
    let (address, registry) = echo();
    let many = "x: 1\r\n".repeat(100);
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n");
    let cases: [(&[u8], &str); 12] = [
        (b"GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n", "header"),
        (b"GET /<>`\"?` HTTP/1.1\r\nhost: a\r\n\r\n", "target"),
        (b"GET / HTTP/1.1\nhost: a\n\n", "bare_line_feed"),
        (b"GET / HTTP/1.1\r\nhost: a\n\r\n", "bare_line_feed"),
        (b"GET / HTTP/3.1\r\nhost: a\r\n\r\n", "version"),
        (many.as_bytes(), "head_too_large"),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "header"),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: WebSocket\r\ncontent-length: 1\r\n\r\nx",
            "upgrade",
        ),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nupgrade: websocket\r\ncontent-length: 1\r\n\r\nx",
            "upgrade",
        ),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", "upgrade"),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\n\r\n",
            "bare_line_feed",
        ),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
              000000000000000000000000000000001\r\nx\r\n0\r\n\r\n",
            "header",
        ),
    ];
    for (bytes, reason) in cases {
        let before = refused(&registry, reason);
        let answer = exchange(address, &[bytes]).await;
        let shown = String::from_utf8_lossy(bytes);
        assert!(answer.starts_with("HTTP/1.1 4"), "{shown}: {answer}");
        // Actix says so once the connection is over.
        let deadline = Instant::now() + Duration::from_secs(20);
        while refused(&registry, reason) != before + 1 {
            assert!(Instant::now() < deadline, "{shown}\n{}", registry.render());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn requests_before_a_fault_are_answered() {
    let (address, registry) = echo();
    let post = b"POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx".as_slice();
    let quoted = b"POST /\" HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx".as_slice();
    let large = "a".repeat(2_049);
    let chunked = b"POST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\n";
    let faults: [(&[u8], &str); 3] = [
        (b"GET /2 HTTP/1.1\n", "bare_line_feed"),
        (large.as_bytes(), "head_too_large"),
        (chunked, "bare_line_feed"),
    ];
    for (fault, reason) in faults {
        for (before, count) in [(quoted.to_vec(), 1), (post.repeat(40), 40)] {
            let earlier = refused(&registry, reason);
            let answers = exchange(address, &[&[&before, fault].concat()]).await;
            assert_eq!(answers.matches("  x>").count(), count, "{answers}");
            assert_eq!(answers.matches("HTTP/1.1").count(), count, "{answers}");
            assert_eq!(refused(&registry, reason), earlier + 1);
        }
    }
}

#[tokio::test]
async fn a_line_behind_a_body_costs_neither_its_answer_nor_the_next() {
    let (address, registry) = echo();
    let post = b"POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx";
    for blank in ["\n", "\r\n", "\r\n\n"] {
        let with = [post, blank.as_bytes()].concat();
        let next = [&with, b"GET /\"2".as_slice(), END].concat();
        for pieces in [
            [with.as_slice(), &next],
            [post, &[blank.as_bytes(), &next].concat()],
        ] {
            let answers = exchange(address, &pieces).await;
            assert_eq!(answers.matches("</1  x>").count(), 2, "{answers}");
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 3, "{answers}");
        }
        // And then nothing: the connection ends without a word.
        let started = Instant::now();
        let answer = exchange(address, &[&with]).await;
        assert!(started.elapsed() >= HEAD_TIME);
        assert!(answer.ends_with("</1  x>"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    assert_eq!(refused(&registry, "head_timeout"), 0);
}

#[tokio::test]
async fn idle_connections_of_whoever_has_many_make_room_for_newcomers() {
    let (address, registry) = echo();
    let talk = move || {
        let idle: Vec<_> = (0..300)
            .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).unwrap())
            .collect();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&[b"GET /in", END].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        drop(idle);
        answer
    };
    let answer = tokio::task::spawn_blocking(talk).await.unwrap();
    assert!(answer.contains("</in"), "{answer}");
    let metrics = registry.render();
    let closed = "adtally_http_connections_closed_total{reason=\"idle\"} ";
    let closed = metrics.lines().find_map(|line| line.strip_prefix(closed));
    // Some may have run into their deadline before.
    assert!(closed.unwrap().parse::<u64>().unwrap() > 0, "{metrics}");
}
