//! The broker's certificate is not what it should be.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adtally_devstack::{RabbitmqOptions, RabbitmqServer, free_port};
use adtally_tests::until;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::Row;
use super::broker::until_all_is_well;
use crate::ground::Ground;
use crate::stage::Setting;

pub(super) const ROWS: [Row; 2] = [
    Row::of_processes(
        "row_53_certificate_expired_foreign_or_of_another_host",
        bad_certificates,
    ),
    Row::of_processes("row_53_nothing_is_said_in_plain_text", never_plain),
];

const LIMIT: Duration = Duration::from_secs(6);

/// The year in which certificates end that have expired, and the others.
const PAST: i32 = 2020;
const FUTURE: i32 = 2120;

/// An authority that nobody knows by itself.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Writes a certificate for `host`, valid until `year`, and its key into `directory`.
    fn certify(&self, host: &str, year: i32, directory: &Path) {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        fs::write(directory.join("certificate.pem"), certificate.pem()).expect("written");
        fs::write(directory.join("key.pem"), key.serialize_pem()).expect("written");
    }
}

/// A broker that takes TLS, whose certificate can be changed.
struct TlsBroker {
    server: RabbitmqServer,
    port: u16,
    directory: tempfile::TempDir,
}

impl TlsBroker {
    fn start(ground: &Ground, authority: &Authority) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port().expect("a free port");
        let file = |name: &str| directory.path().join(name).display().to_string();
        authority.certify("127.0.0.1", FUTURE, directory.path());
        fs::write(file("authority.pem"), authority.0.pem()).expect("written");
        let options = RabbitmqOptions::new(&ground.programs())
            .heartbeat(Duration::from_secs(5))
            .conf(format!("listeners.ssl.1 = 127.0.0.1:{port}"))
            .conf(format!(
                "ssl_options.cacertfile = {}",
                file("authority.pem")
            ))
            .conf(format!(
                "ssl_options.certfile = {}",
                file("certificate.pem")
            ))
            .conf(format!("ssl_options.keyfile = {}", file("key.pem")));
        let server = ground.block_on(RabbitmqServer::start(options));
        Self {
            server: server.expect("a broker"),
            port,
            directory,
        }
    }

    fn url(&self) -> String {
        let (user, password) = self.server.credentials();
        format!("amqps://{user}:{password}@127.0.0.1:{}/%2f", self.port)
    }

    fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// Shows another certificate from now on, and ends all connections.
    fn show(&self, authority: &Authority, host: &str, year: i32) {
        authority.certify(host, year, self.directory.path());
        for command in [
            ["eval", "ssl:clear_pem_cache()."],
            ["close_all_connections", "a test"],
        ] {
            self.server.ctl_blocking(&command).expect("rabbitmqctl");
        }
    }
}

fn bad_certificates(ground: &Ground) {
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let broker = TlsBroker::start(ground, &ours);
    let (plain, url) = (broker.server.url(), broker.url());
    let trusted = broker.authority().display().to_string();
    // The test itself and the operator's tool stay out of it.
    let stage = Setting::new(ground, "row-53")
        .all(|system| system.variable("ADTALLY_AMQP_URL", plain))
        .all(|system| system.variable("SSL_CERT_FILE", trusted))
        .api("ADTALLY_AMQP_URL", url.clone())
        .worker("ADTALLY_AMQP_URL", url)
        .start();
    let traffic = stage.traffic();
    let cases = [
        (&ours, "127.0.0.1", PAST, "expired"),
        (&ours, "another.test", FUTURE, "name"),
        (&foreign, "127.0.0.1", FUTURE, "issuer"),
    ];
    for (authority, host, year, words) in cases {
        broker.show(authority, host, year);
        until(&format!("the worker says: {words}"), || {
            let worker = stage.worker().process();
            let log = worker.log().to_lowercase();
            (!worker.is_ready() && log.contains(words)).then_some(())
        });
        traffic.until_accepted(100);
        broker.show(&ours, "127.0.0.1", FUTURE);
        until_all_is_well(&stage, &traffic);
    }
    stage.end(traffic, LIMIT);
}

fn never_plain(ground: &Ground) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let url = format!("amqps://guest:secret-word@{address}/%2f");
    let stage = Setting::new(ground, "row-53-plain").start();
    let variables = [("ADTALLY_AMQP_URL", url.as_str())];
    let worker = stage
        .system
        .start_with("adtally-worker", "ADTALLY_HEALTH_BIND", &variables);
    for _ in 0..3 {
        let (mut connection, _) = listener.accept().expect("a connection");
        let mut begin = [0; 5];
        connection.read_exact(&mut begin).expect("it speaks first");
        // A handshake record of TLS (RFC 8446, 5.1), and no header of AMQP.
        assert_eq!((begin[0], begin[1]), (22, 3), "{begin:?}");
        // What it hears is no TLS: it comes again, and tries nothing else.
        drop(connection);
    }
    assert!(worker.exit_status().is_none(), "{}", worker.log());
    assert!(!worker.is_ready());
    assert!(!worker.log().contains("secret-word"));
}
