//! What a row plays on: AdTally's processes under supervision, with ad servers before them.

use std::net::SocketAddr;
use std::time::Duration;

use adtally_tests::proxy::Proxy;
use adtally_tests::reckoning::Reckoning;
use adtally_tests::traffic::{Manners, Told, Traffic};
use adtally_tests::{Supervised, System, SystemBuilder};

use crate::ground::Ground;

/// One API, its workers and its beats, each started again whatever ends it.
pub(crate) struct Stage {
    name: &'static str,
    pub(crate) system: System,
    pub(crate) api: Supervised,
    pub(crate) workers: Vec<Supervised>,
    worker_variables: Vec<(&'static str, String)>,
    _spool: tempfile::TempDir,
    spool: std::path::PathBuf,
}

/// How a stage is set.
pub(crate) struct Setting {
    name: &'static str,
    builder: SystemBuilder,
    api: Vec<(&'static str, String)>,
    worker: Vec<(&'static str, String)>,
    workers: usize,
    spools: bool,
    database_url: Option<DatabaseUrl>,
    spool: tempfile::TempDir,
}

/// Makes the URL by which the processes reach a system's database.
type DatabaseUrl = Box<dyn FnOnce(&System) -> String>;

impl Setting {
    /// One API with a spool and one worker, on the ground's servers.
    pub(crate) fn new(ground: &Ground, name: &'static str) -> Self {
        let builder = System::builder(name).stack(ground.stack());
        Self {
            name,
            builder,
            api: Vec::new(),
            worker: Vec::new(),
            workers: 1,
            spools: true,
            database_url: None,
            spool: tempfile::tempdir().expect("a directory for the spool"),
        }
    }

    /// So many workers.
    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// An API that keeps nothing by itself.
    pub(crate) fn without_spool(mut self) -> Self {
        self.spools = false;
        self
    }

    /// Processes that log in to the database as a role that owns nothing.
    pub(crate) fn plain_role(self) -> Self {
        self.database_url(make_plain_role)
    }

    /// Processes that reach the database by another URL than the operator's tool.
    pub(crate) fn database_url(mut self, url: impl FnOnce(&System) -> String + 'static) -> Self {
        self.database_url = Some(Box::new(url));
        self
    }

    /// One more variable of the API alone.
    pub(crate) fn api(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.api.push((name, value.into()));
        self
    }

    /// One more variable of the workers alone.
    pub(crate) fn worker(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.worker.push((name, value.into()));
        self
    }

    /// Workers that store two batches of a queue at a time.
    pub(crate) fn two_batches_at_a_time(self) -> Self {
        self.worker("ADTALLY_STORE_CONNECTIONS", "2")
    }

    /// Changes what all processes share.
    pub(crate) fn all(mut self, change: impl FnOnce(SystemBuilder) -> SystemBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// Starts everything and waits until it can do its work.
    pub(crate) fn start(mut self) -> Stage {
        let spool = self.spool.path().join("spool");
        if self.spools {
            self.api
                .push(("ADTALLY_SPOOL_DIR", spool.display().to_string()));
        }
        let system = self.builder.without_api();
        if let Some(url) = self.database_url {
            let url = ("ADTALLY_DATABASE_URL", url(&system));
            self.api.push(url.clone());
            self.worker.push(url);
        }
        let api = system.supervised("adtally-api", "ADTALLY_BIND", &self.api);
        api.until_ready();
        let worker = |_| system.supervised("adtally-worker", "ADTALLY_HEALTH_BIND", &self.worker);
        let workers: Vec<_> = (0..self.workers).map(worker).collect();
        for worker in &workers {
            worker.until_ready();
        }
        Stage {
            name: self.name,
            system,
            api,
            workers,
            worker_variables: self.worker,
            _spool: self.spool,
            spool,
        }
    }
}

impl Stage {
    /// The directory of the API's spool.
    pub(crate) fn spool(&self) -> &std::path::Path {
        &self.spool
    }

    /// Where the API listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.system.api()
    }

    /// The worker, of one or several.
    pub(crate) fn worker(&self) -> &Supervised {
        &self.workers[0]
    }

    /// One more worker.
    pub(crate) fn hire(&mut self) {
        let variables = &self.worker_variables;
        let worker = self
            .system
            .supervised("adtally-worker", "ADTALLY_HEALTH_BIND", variables);
        worker.until_ready();
        self.workers.push(worker);
    }

    /// Ad servers begin to send.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic_with(Manners::default())
    }

    /// Ad servers of other manners begin to send.
    pub(crate) fn traffic_with(&self, manners: Manners) -> Traffic {
        let traffic = Traffic::begin(self.address(), manners);
        traffic.until_accepted(100);
        traffic
    }

    /// Reckons, prints what came of it, and fails unless all is as promised.
    pub(crate) fn reckon(&self, told: &Told) -> Reckoning {
        for worker in &self.workers {
            worker.until_ready();
        }
        let reckoning = self.system.reckon(told, &self.workers);
        println!("{}: {reckoning}", self.name);
        assert!(
            reckoning.broken.is_empty(),
            "{}\nanswers: {:?}\n{}",
            reckoning.broken.join("\n"),
            told.answers,
            self.system.all_logs(),
        );
        reckoning
    }

    /// Ends the traffic, reckons, and checks that no client waited longer than `limit`.
    pub(crate) fn end(&self, traffic: Traffic, limit: Duration) -> Reckoning {
        let told = traffic.end();
        let reckoning = self.reckon(&told);
        assert!(
            reckoning.longest_wait <= limit,
            "an answer took {:?}; {:?}",
            reckoning.longest_wait,
            told.answers
        );
        reckoning
    }
}

/// Makes a role named like the system's queues, with the rights its processes need and no others;
/// the URL it logs in with.
fn make_plain_role(system: &System) -> String {
    let role = system.prefix();
    system.sql(&format!(
        "CREATE ROLE \"{role}\" LOGIN PASSWORD 'plain'; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO \"{role}\"; \
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO \"{role}\"; \
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO \"{role}\""
    ));
    let url = system.database_url();
    let (_, place) = url.split_once('@').expect("a URL with a user");
    format!("postgres://{role}:plain@{place}")
}

/// A proxy before the ground's RabbitMQ, and the URL that leads through it.
pub(crate) fn before_rabbitmq(ground: &Ground) -> (Proxy, String) {
    let rabbitmq = ground.rabbitmq();
    let server = SocketAddr::from(([127, 0, 0, 1], rabbitmq.port()));
    let proxy = Proxy::before(server);
    let url = proxy.url(&rabbitmq.url(), server);
    (proxy, url)
}

/// Puts something right when it is dropped, also when a row fails: the next row needs the servers.
pub(crate) struct Afterwards<F: FnMut()>(F);

impl<F: FnMut()> Afterwards<F> {
    pub(crate) fn run(put_right: F) -> Self {
        Self(put_right)
    }
}

impl<F: FnMut()> Drop for Afterwards<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
