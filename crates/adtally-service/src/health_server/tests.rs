use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use super::*;

/// The whole answer to a GET request.
async fn get(address: SocketAddr, path: &'static str) -> String {
    exchange(address, "GET", path).await
}

async fn exchange(address: SocketAddr, method: &'static str, path: &'static str) -> String {
    let request = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    tokio::task::spawn_blocking(request).await.unwrap()
}

#[tokio::test]
async fn a_process_answers_for_its_health_on_a_plain_runtime() {
    let (health, registry) = (Health::new(), Registry::new());
    // An address nobody else uses: its port is asked for once more when it is free again.
    let bind = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), 0));
    let server = HealthServer::start(bind, health.clone(), registry).unwrap();
    let address = server.address();

    let early = get(address, "/readyz").await;
    assert!(early.starts_with("HTTP/1.1 503 "), "{early}");
    let check = health.check("broker");
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 OK"));
    let starting = get(address, "/readyz").await;
    assert!(starting.starts_with("HTTP/1.1 503 "), "{starting}");
    assert!(
        starting.contains(r#""broker":{"ready":false,"detail":"starting"}"#),
        "{starting}"
    );
    check.ready();
    let ready = get(address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 OK"), "{ready}");
    assert!(ready.contains("application/json") && ready.contains(r#"{"ready":true,"#));
    health.stopping();
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503 "));
    let metrics = get(address, "/metrics").await;
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"));
    assert!(metrics.contains("adtally_build_info"), "{metrics}");
    assert!(get(address, "/other").await.starts_with("HTTP/1.1 404 "));

    server.stop().await;
    assert!(TcpStream::connect(address).is_err(), "it still listens");
}

#[tokio::test]
async fn a_head_is_answered_as_its_get_is() {
    let (health, registry) = (Health::new(), Registry::new());
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = HealthServer::start(bind, health.clone(), registry).unwrap();
    for path in HEALTH_PATHS {
        let of = |method| exchange(server.address(), method, path);
        let (get, head) = (of("GET").await, of("HEAD").await);
        let status = |answer: &str| answer.split(' ').nth(1).map(str::to_owned);
        assert_eq!(status(&head), status(&get), "{path}");
        assert_ne!(status(&head).unwrap(), "404", "{path}");
        assert!(head.ends_with("\r\n\r\n"), "{path} has a body: {head}");
        let other = of("POST").await;
        assert!(other.starts_with("HTTP/1.1 405 ") && other.contains("allow: GET, HEAD"));
    }
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_its_flag() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let failure = HealthServer::start(address, Health::new(), Registry::new()).unwrap_err();
    assert_eq!(failure.kind, ExitKind::Unavailable);
    assert!(failure.message.contains(&address.to_string()), "{failure}");
    assert!(failure.message.contains("--health-bind"), "{failure}");
}
