//! Names cannot be resolved, or mean another address.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use adtally_tests::proxy::{Fault, Proxy};
use adtally_tests::until;

use super::Row;
use crate::ground::Ground;
use crate::resolver::{Answer, Resolver};
use crate::stage::{Setting, Stage};

pub(super) const ROWS: [Row; 1] = [Row::of_processes(
    "row_52_names_do_not_resolve_and_servers_move",
    names_fail_and_servers_move,
)];

const LIMIT: Duration = Duration::from_secs(6);

/// The name of both servers (`test` is nobody's domain, RFC 6761).
const NAME: &str = "servers.adtally.test";
const BEFORE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const AFTER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A server that is reached at either address, at the same port.
struct Moving {
    server: SocketAddr,
    before: Proxy,
    after: Proxy,
}

impl Moving {
    fn new(port: u16) -> Self {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let before = Proxy::before(server);
        let after = Proxy::at((AFTER, before.address().port()).into(), server);
        after.set(Fault::Refuse);
        Self {
            server,
            before,
            after,
        }
    }

    /// Puts the name in the place of the server's address in a URL.
    fn named(&self) -> impl FnOnce(&str) -> String + use<> {
        let server = self.server.to_string();
        let named = format!("{NAME}:{}", self.before.address().port());
        move |url| url.replace(&server, &named)
    }
}

fn names_fail_and_servers_move(ground: &Ground) {
    let Some(resolver) = Resolver::start("row-52", Answer::Address(BEFORE)) else {
        return;
    };
    let rabbitmq = ground.rabbitmq();
    let broker = Moving::new(rabbitmq.port());
    let database = Moving::new(ground.postgres().port());
    let amqp_url = broker.named()(&rabbitmq.url());
    let named = database.named();
    let stage = Setting::new(ground, "row-52")
        .api("ADTALLY_AMQP_URL", amqp_url.clone())
        .worker("ADTALLY_AMQP_URL", amqp_url)
        .database_url(move |system| named(system.database_url()))
        .all(|system| system.wrapper(resolver.wrapper()))
        .start();
    let traffic = stage.traffic();
    for answer in [Answer::NoSuchName, Answer::Failure, Answer::Silence] {
        resolver.set(answer);
        for server in [&broker, &database] {
            server.before.set(Fault::Reset);
        }
        // One that starts meanwhile stays alive and says why it can't work.
        stage.worker().kill();
        until_it_says_that_no_name_resolves(&stage);
        thread::sleep(ground.lasting(1, 60));
        traffic.until_accepted(100);
        resolver.set(Answer::Address(BEFORE));
        stage.worker().until_ready();
        traffic.until_accepted(100);
    }
    let restarts = stage.worker().restarts();
    assert_eq!(
        restarts, 3,
        "it was killed three times and never ended by itself"
    );
    resolver.set(Answer::Address(AFTER));
    for server in [&broker, &database] {
        server.before.set(Fault::Refuse);
        server.after.set(Fault::Pass);
    }
    until("nothing is spooled any more", || {
        (stage.api.process().metric("adtally_spool_events") == 0.0).then_some(())
    });
    let reckoning = stage.end(traffic, LIMIT);
    assert_eq!(reckoning.dead, 0, "an outage makes no dead letters");
    assert_eq!(stage.api.restarts(), 0, "it needed nobody's hand");
}

fn until_it_says_that_no_name_resolves(stage: &Stage) {
    until("the worker says that a name does not resolve", || {
        let worker = stage.worker().process();
        let alive = worker.readiness()?;
        (alive.status == 503 && worker.log().contains(NAME)).then_some(())
    });
}
