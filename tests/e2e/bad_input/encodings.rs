//! Content types and encodings, honest and not.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::subject::Subject;
use super::wire;

const EVENT: &[u8] = br#"{"ad_id": 1, "kind": "click"}"#;
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn only_the_promised_content_types_are_read() {
    let mut subject = Subject::new("content-types");
    for content_type in [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/ld+json",
        "application/json, text/plain",
        "application/x-msgpack",
        "*/*",
        "json",
        "",
        ";",
    ] {
        let response = subject.post_with(&[("Content-Type", content_type)], EVENT);
        subject.problem(content_type, &response, 415, "unsupported_media_type");
    }
    let response = subject.post_with(&[], EVENT);
    subject.problem("none at all", &response, 415, "unsupported_media_type");
    for content_type in [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/json;",
    ] {
        let response = subject.post_with(&[("Content-Type", content_type)], EVENT);
        subject.taken(content_type, &response);
    }
    subject.stored_only_what_was_taken();
}

#[test]
fn only_plain_and_gzip_are_read_and_a_bomb_fills_no_memory() {
    let mut subject = Subject::new("encodings");
    let gzipped = [JSON, ("Content-Encoding", "gzip")];
    let response = subject.post_with(&gzipped, &gzip(EVENT));
    subject.taken("an honest one", &response);
    let honest = gzip(EVENT);
    let mut flipped = honest.clone();
    let crc = flipped.len() - 6;
    flipped[crc] ^= 1;
    for (what, body) in [
        ("plain text", EVENT.to_vec()),
        ("nothing", Vec::new()),
        ("a header only", honest[..10].to_vec()),
        ("cut off", honest[..honest.len() - 9].to_vec()),
        ("a wrong checksum", flipped),
        ("garbage behind", [&honest[..], b"garbage"].concat()),
        ("random bytes", (0..=255).cycle().take(4_000).collect()),
    ] {
        let response = subject.post_with(&gzipped, &body);
        let code = if body.is_empty() {
            "malformed_json"
        } else {
            "malformed_encoding"
        };
        if response.status != 400
            || ![code, "malformed_encoding"].contains(&response.code().as_str())
        {
            subject.problem(what, &response, 400, "malformed_encoding");
        }
    }
    let twice = subject.post_with(&gzipped, &gzip(&honest));
    subject.problem("gzip within gzip", &twice, 400, "malformed_json");
    for encoding in ["br", "deflate", "zstd", "gzip, gzip", "identity, gzip", "x"] {
        let response = subject.post_with(&[JSON, ("Content-Encoding", encoding)], &honest);
        subject.problem(encoding, &response, 415, "unsupported_encoding");
    }

    // A thousand members of a megabyte of spaces each: a gigabyte in a megabyte.
    let bomb = gzip(&vec![b' '; 1 << 20]).repeat(1_000);
    let before = peak_memory(subject.system.api_process().pid());
    for _ in 0..8 {
        let response = subject.post_with(&gzipped, &bomb);
        subject.problem("a bomb", &response, 413, "body_too_large");
    }
    let grown = peak_memory(subject.system.api_process().pid()) - before;
    subject.compare("the bomb filled memory", grown > 128 * 1_024, false);
    let too_large = subject.post_with(&gzipped, &gzip(&vec![b' '; (4 << 20) + 1]));
    subject.problem("one byte over the limit", &too_large, 413, "body_too_large");
    subject.stored_only_what_was_taken();
}

#[test]
fn the_source_of_events_is_one_short_plain_text() {
    let mut subject = Subject::new("sources");
    let long = "x".repeat(65);
    for source in [long.as_str(), "a\tb", "\u{85}"] {
        let response = subject.post_with(&[JSON, ("X-Adtally-Source", source)], EVENT);
        subject.problem(source, &response, 400, "invalid_source");
    }
    let two = [JSON, ("X-Adtally-Source", "a"), ("X-Adtally-Source", "b")];
    let response = subject.post_with(&two, EVENT);
    subject.problem("two of them", &response, 400, "invalid_source");
    let head = b"POST /v1/events HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 29\r\nX-Adtally-Source: \xff\xfe\r\n\r\n";
    let heard = wire::exchange(subject.system.api(), &[head, EVENT].concat());
    subject.compare("not UTF-8", heard.statuses(), vec![400]);
    for source in ["", "dsp 1/é", &long[..64]] {
        let response = subject.post_with(&[JSON, ("X-Adtally-Source", source)], EVENT);
        subject.taken(source, &response);
    }
    subject.stored_only_what_was_taken();
}

/// The most memory the process ever held, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok())
        .unwrap()
}
