use super::*;

const POSTGRES: [&str; 2] = ["postgres", "postgresql"];

#[test]
fn what_libpq_would_read_otherwise_is_refused_and_never_quoted() {
    for (url, hint) in [
        ("postgres://u:s@cret@h/d", "%40"),
        ("postgres://u:p@s@cret@h1:1,h2:2/d", "%40"),
        ("postgres://u:12/s@cret@h/d", "%40"),
        ("postgres://u:12/secret@h/d", "%2F"),
        ("postgres://u:12?secret@h/d", "%3F"),
        ("postgres://u:p@secret?w@h/d", "%40"),
        ("postgres://u:sec%ret@h/d", "%25"),
        ("postgres://u:secret%@h/d", "%25"),
        ("postgres://u:secret%00@h/d", "%25"),
        ("postgres://u:sec ret@h/d", "%20"),
        ("postgres://u:secret@[::1/d", "no URL"),
        ("postgres://u:secret@h1:1,[::1/d", "no URL"),
        ("postgres://u:secret@h1:1,h2:port/d", "no URL"),
        ("postgres://u:secret/,x", "no URL"),
        ("postgres:/u:secret@h/d", "no URL"),
        ("host=a,b password=secret", "no URL"),
        ("Postgres://u:secret@h/d", "scheme"),
    ] {
        let fault = url_fault(url, &POSTGRES).unwrap_or_else(|| panic!("{url} is taken"));
        assert!(fault.contains(hint), "{url}: {fault}");
        for part in ["secret", "cret", "ret@"] {
            assert!(!fault.contains(part), "{url}: {fault}");
        }
    }
}

#[test]
fn urls_that_libpq_reads_as_they_are_meant_are_taken() {
    for url in [
        "postgres://h",
        "postgresql:///d?host=/run/postgresql",
        "postgres://u:p%40ss%2fw@h:5432/d",
        "postgres://u:a,b@h1,h2/d",
        "postgres://u:p@h1:1,h2:2,[::1]:3/d?target_session_attrs=read-write",
        "postgres://u:p@h?application_name=a%20b",
        "postgres://%2Frun%2Fpostgresql/d",
    ] {
        assert_eq!(url_fault(url, &POSTGRES), None, "{url}");
    }
}

#[test]
fn only_libpq_stops_at_the_first_at_sign() {
    let schemes = ["amqp", "amqps"];
    assert_eq!(url_fault("amqp://u:s@cret@h/%2f", &schemes), None);
    assert!(url_fault("amqp://u:secret/w@h", &schemes).is_some());
}
