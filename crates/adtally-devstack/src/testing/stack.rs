//! The servers all tests of a process share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use super::TestDatabase;
use crate::{
    DevstackError, PostgresOptions, PostgresServer, RabbitmqOptions, RabbitmqServer, ServerPrograms,
};

static SHARED: TestStack = TestStack::new(None);
static PACKAGES: Mutex<()> = Mutex::new(());

/// The servers all tests of a process share; each is started when it is first asked for.
///
/// They end with the process. Usable with and without an async runtime. A test whose servers
/// can't be had panics with the reason.
#[derive(Debug)]
pub struct TestStack {
    postgres: OnceLock<Result<PostgresServer, String>>,
    rabbitmq: OnceLock<Result<RabbitmqServer, String>>,
    heartbeat: Option<Duration>,
    templates: Mutex<BTreeMap<String, Arc<OnceLock<()>>>>,
    counter: AtomicU32,
}

impl TestStack {
    /// Servers apart from the shared ones, for tests that do them harm. RabbitMQ proposes `heartbeat`
    /// to its clients, its own default unless given.
    pub const fn new(heartbeat: Option<Duration>) -> Self {
        Self {
            heartbeat,
            postgres: OnceLock::new(),
            rabbitmq: OnceLock::new(),
            templates: Mutex::new(BTreeMap::new()),
            counter: AtomicU32::new(1),
        }
    }

    /// The process's stack.
    pub fn shared() -> &'static TestStack {
        &SHARED
    }

    /// The PostgreSQL server.
    pub fn postgres(&self) -> &PostgresServer {
        let server = self.postgres.get_or_init(|| {
            started(async |programs| {
                let options = PostgresOptions::new(&programs).max_connections(500);
                PostgresServer::start(options).await
            })
        });
        had(server.as_ref())
    }

    /// The RabbitMQ server. Starting it takes five to seven seconds.
    pub fn rabbitmq(&self) -> &RabbitmqServer {
        let server = self.rabbitmq.get_or_init(|| {
            started(async |programs| {
                let options = RabbitmqOptions::new(&programs);
                let options = match self.heartbeat {
                    Some(interval) => options.heartbeat(interval),
                    None => options,
                };
                RabbitmqServer::start(options).await
            })
        });
        had(server.as_ref())
    }

    /// The URL of the RabbitMQ server.
    pub fn amqp_url(&self) -> String {
        self.rabbitmq().url()
    }

    /// A prefix for exchange and queue names that no other test of this process has.
    pub fn queue_prefix(&self, hint: &str) -> String {
        self.unique(hint, '-')
    }

    /// A new, empty database.
    pub fn database(&self, hint: &str) -> TestDatabase<'_> {
        let name = self.unique(hint, '_');
        had(TestDatabase::create(self.postgres(), name, "template0"))
    }

    /// A new database, copied from the one named `template`, to which nobody may be connected.
    pub fn database_from_template(&self, template: &str) -> TestDatabase<'_> {
        let name = self.unique(template, '_');
        had(TestDatabase::create(self.postgres(), name, template))
    }

    /// A new database, copied from one that `prepare` has filled: it is called with the URL of
    /// an empty database, by the first test that asks for this `name`. Copying takes tens of
    /// milliseconds, so this is how tests get a migrated database each.
    pub fn prepared_database(&self, name: &str, prepare: impl FnOnce(&str)) -> TestDatabase<'_> {
        let template = format!("template_{}", words(name, '_'));
        let prepared = {
            let mut templates = self
                .templates
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(templates.entry(template.clone()).or_default())
        };
        prepared.get_or_init(|| {
            let server = self.postgres();
            let database = had(TestDatabase::create(server, template.clone(), "template0"));
            prepare(database.keep().url());
        });
        self.database_from_template(&template)
    }

    fn unique(&self, hint: &str, separator: char) -> String {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let hint = words(hint, separator);
        format!("t{separator}{hint}{separator}{number}")
    }
}

/// A hint as it may stand in a name: lower case, and short.
fn words(hint: &str, separator: char) -> String {
    let word = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            separator
        }
    };
    hint.chars().map(word).take(30).collect()
}

/// Starts a server on a thread of its own: the caller may or may not be in a runtime.
fn started<S: Send>(
    start: impl AsyncFnOnce(ServerPrograms) -> Result<S, DevstackError> + Send,
) -> Result<S, String> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime =
            runtime.map_err(|error| format!("no runtime for the test servers: {error}"))?;
        let programs = {
            // One look at a time: two package managers would refuse each other.
            let _looking = PACKAGES.lock().unwrap_or_else(PoisonError::into_inner);
            runtime.block_on(super::programs())
        };
        let started = programs.and_then(|programs| runtime.block_on(start(programs)));
        started.map_err(|error| error.to_string())
    };
    let done = thread::scope(|scope| scope.spawn(run).join());
    done.unwrap_or_else(|_| Err("starting the test servers panicked".to_owned()))
}

#[expect(clippy::panic, reason = "a test without its servers can only fail")]
fn had<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("test servers: {error}"))
}
