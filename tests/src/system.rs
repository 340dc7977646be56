//! A whole AdTally for one test: its own database, its own queues, real processes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use adtally_broker::{BrokerConfig, Publisher, PublisherOptions};
use adtally_devstack::free_port;
use adtally_domain::{Task, TaskMessage};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::database::Database;
use crate::{Process, Supervised, SystemBuilder, http, programs, until};

/// One API, and as many workers and beats as the test starts.
pub struct System {
    database: Arc<Database>,
    prefix: String,
    builder: SystemBuilder,
    logs: tempfile::TempDir,
    started: AtomicU32,
    api: Option<Process>,
    /// Where an API under a supervisor listens.
    supervised_api: OnceLock<SocketAddr>,
}

impl System {
    /// A system whose database and queues carry `name`.
    #[must_use]
    pub fn builder(name: &str) -> SystemBuilder {
        SystemBuilder::new(name)
    }

    /// A system with an API and one worker, reporting in UTC.
    #[must_use]
    pub fn with_worker(name: &str) -> (Self, Process) {
        let system = Self::builder(name).start();
        let worker = system.worker();
        (system, worker)
    }

    pub(crate) fn new(builder: SystemBuilder, database: Database) -> Self {
        Self {
            database: Arc::new(database),
            prefix: builder.stack.queue_prefix(&builder.name),
            builder,
            logs: tempfile::tempdir().expect("a directory for logs"),
            started: AtomicU32::new(0),
            api: None,
            supervised_api: OnceLock::new(),
        }
    }

    pub(crate) fn start_api(&mut self) {
        self.api = Some(self.start("adtally-api", "ADTALLY_BIND").ready());
    }

    /// The URL of its database.
    #[must_use]
    pub fn database_url(&self) -> &str {
        self.database.url()
    }

    /// The prefix of its queues.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The address of its API, under a supervisor or not.
    ///
    /// # Panics
    /// When the test has started none.
    #[must_use]
    pub fn api(&self) -> SocketAddr {
        self.api_address().expect("a test that starts an API")
    }

    fn api_address(&self) -> Option<SocketAddr> {
        let own = self.api.as_ref().map(|api| api.address);
        own.or(self.supervised_api.get().copied())
    }

    /// The API's process.
    ///
    /// # Panics
    /// When the test stopped it.
    #[must_use]
    pub fn api_process(&self) -> &Process {
        self.api.as_ref().expect("the API was not stopped")
    }

    /// Takes the API's process, to stop it.
    ///
    /// # Panics
    /// When the test stopped it before.
    pub fn take_api(&mut self) -> Process {
        self.api.take().expect("the API was not stopped")
    }

    /// Starts one more worker and waits until it is subscribed.
    #[must_use]
    pub fn worker(&self) -> Process {
        self.start("adtally-worker", "ADTALLY_HEALTH_BIND").ready()
    }

    /// Starts one more beat and waits until it can do its work.
    #[must_use]
    pub fn beat(&self) -> Process {
        self.start("adtally-beat", "ADTALLY_HEALTH_BIND").ready()
    }

    /// What every process of this system finds in its environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("ADTALLY_DATABASE_URL", self.database.url().to_owned()),
            ("ADTALLY_AMQP_URL", self.builder.stack.amqp_url()),
            ("ADTALLY_PREFIX", self.prefix.clone()),
            ("ADTALLY_DRAIN", "0".to_owned()),
            ("ADTALLY_MAX_EVENT_AGE", self.builder.max_event_age.clone()),
        ];
        variables.extend(
            self.builder
                .timezone
                .clone()
                .map(|zone| ("ADTALLY_TIMEZONE", zone)),
        );
        variables.extend(self.builder.variables.clone());
        variables
    }

    /// The URLs of its broker, separated by commas.
    fn amqp_urls(&self) -> String {
        let mut urls = self.environment();
        urls.retain(|(name, _)| *name == "ADTALLY_AMQP_URL");
        urls.pop().expect("every system has a broker").1
    }

    /// Runs the operator's tool to its end; its exit code, standard output and standard error.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn adtally(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(programs::path("adtally"));
        command.args(args).envs(self.environment());
        if let Some(address) = self.api_address() {
            command.env("ADTALLY_API_URL", format!("http://{address}"));
        }
        let output = command.output().expect("the tool starts");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code().unwrap_or(-1),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    fn start(&self, program: &str, bind: &str) -> Process {
        self.start_with(program, bind, &[])
    }

    /// Starts a binary that finds its address in the variable `bind`, with more variables than
    /// every process of this system has, and does not wait for it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(&self, program: &str, bind: &str, more: &[(&'static str, &str)]) -> Process {
        let log = self.log(program);
        let more = more
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let environment = self.environment().into_iter().chain(more);
        let wrapper = &self.builder.wrapper;
        Process::start(program, wrapper, bind, None, environment, log)
    }

    /// Starts a binary under a supervisor, with more variables than every process of this system
    /// has, and does not wait for it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn supervised(
        &self,
        program: &'static str,
        bind: &'static str,
        more: &[(&'static str, String)],
    ) -> Supervised {
        let log = self.log(program);
        let environment = [self.environment(), more.to_vec()].concat();
        let port = free_port().expect("a free port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if program == "adtally-api" {
            // A second one is another's business.
            let _ = self.supervised_api.set(address);
        }
        let wrapper = self.builder.wrapper.clone();
        Supervised::new(move || {
            let (address, environment) = (Some(address), environment.iter().cloned());
            Process::start(program, &wrapper, bind, address, environment, log.clone())
        })
    }

    fn log(&self, program: &str) -> PathBuf {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        self.logs.path().join(format!("{program}.{number}.log"))
    }

    /// What all its processes logged.
    #[must_use]
    pub fn all_logs(&self) -> String {
        let files = std::fs::read_dir(self.logs.path()).expect("the directory for logs");
        let mut paths: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        paths.sort();
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            format!(
                "== {}\n{text}",
                path.file_name().unwrap_or_default().display()
            )
        };
        paths.iter().map(read).collect()
    }

    /// Posts events, one or an array of them, and returns the whole answer.
    ///
    /// # Panics
    /// When the API does not answer.
    #[must_use]
    pub fn post(&self, events: &Value) -> http::Response {
        self.post_as(events, "/v1/events?ids=1", &[])
    }

    /// [`System::post`] to another target, with more headers.
    ///
    /// # Panics
    /// When the API does not answer.
    #[must_use]
    pub fn post_as(&self, body: &Value, target: &str, more: &[(&str, &str)]) -> http::Response {
        let headers = [&[("Content-Type", "application/json")], more].concat();
        http::request(
            self.api(),
            "POST",
            target,
            &headers,
            body.to_string().as_bytes(),
        )
        .expect("the API answers")
    }

    /// Posts events that must all be accepted; their ids.
    ///
    /// # Panics
    /// When one of them is not.
    pub fn accept(&self, events: &Value) -> Vec<String> {
        let response = self.post(events);
        let body = response.json();
        assert_eq!(
            (response.status, &body["rejected"]),
            (202, &json!([])),
            "{body}"
        );
        let ids = body["ids"].as_array().expect("ids");
        ids.iter()
            .map(|id| id.as_str().expect("an id").to_owned())
            .collect()
    }

    /// GETs a path of the API.
    ///
    /// # Panics
    /// When the API does not answer.
    #[must_use]
    pub fn get(&self, target: &str) -> http::Response {
        http::request(self.api(), "GET", target, &[], b"").expect("the API answers")
    }

    /// What a query gives, columns separated by `|`, rows by line feeds. Sessions are in UTC.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, query: &str) -> String {
        let query = format!("SET timezone = 'UTC'; {query}");
        self.database
            .psql(&query)
            .expect("the query succeeds")
            .trim_start_matches("SET\n")
            .to_owned()
    }

    /// The way to run SQL in its database from elsewhere; it fails with PostgreSQL's words.
    pub fn psql(&self) -> impl Fn(&str) -> Result<String, String> + Send + use<> {
        let database = Arc::clone(&self.database);
        move |sql| database.psql(sql)
    }

    /// The number a query gives.
    ///
    /// # Panics
    /// When it gives something else.
    #[must_use]
    pub fn count(&self, query: &str) -> u64 {
        let answer = self.sql(query);
        answer
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("{query} gave {answer:?}"))
    }

    /// The ids of all stored events, in lower case with hyphens.
    #[must_use]
    pub fn event_ids(&self) -> BTreeSet<String> {
        let ids = self.sql("SELECT event_id FROM events");
        ids.lines().map(str::to_owned).collect()
    }

    /// Puts a task on the queue.
    ///
    /// # Panics
    /// When the broker does not confirm it.
    pub fn publish(&self, task: &TaskMessage) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let sent = runtime.expect("a runtime").block_on(async {
            let urls = self.amqp_urls();
            let urls: Vec<_> = urls.split(',').collect();
            let config = BrokerConfig::new(&urls, &self.prefix, "test").expect("a broker");
            let publisher = Publisher::start(config, PublisherOptions::default());
            let sent = publisher.publish_task(task).await;
            publisher.close().await;
            sent
        });
        sent.expect("the task is on the queue");
    }

    /// Puts a task on the queue under a new id and waits until a worker is done with it.
    pub fn run(&self, task: &impl Task) {
        let message = task.message(Uuid::new_v4());
        self.publish(&message);
        let state = format!(
            "SELECT state FROM task_runs WHERE task_id = '{}'",
            message.id
        );
        until(&format!("{} is done", message.name), || {
            (self.sql(&state).trim() == "succeeded").then_some(())
        });
    }
}
