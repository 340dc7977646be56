//! How the AdTally of a test comes to be.

use std::process::{Command, Stdio};
use std::sync::Arc;

use adtally_devstack::testing::TestStack;

use crate::database::{Database, Psql};
use crate::{System, programs};

/// How a [`System`] is to be set up.
#[derive(Clone)]
pub struct SystemBuilder {
    pub(crate) name: String,
    pub(crate) stack: &'static TestStack,
    pub(crate) timezone: Option<String>,
    pub(crate) max_event_age: String,
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) wrapper: Vec<String>,
    database: Option<(String, Arc<Psql>)>,
}

impl SystemBuilder {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            stack: TestStack::shared(),
            timezone: None,
            max_event_age: "35d".to_owned(),
            variables: Vec::new(),
            wrapper: Vec::new(),
            database: None,
        }
    }

    /// Uses other servers than those all tests of a process share.
    #[must_use]
    pub fn stack(mut self, stack: &'static TestStack) -> Self {
        self.stack = stack;
        self
    }

    /// Uses a database outside the stack, whose schema is up to date, at `url`; `psql` runs SQL in it.
    #[must_use]
    pub fn database(
        mut self,
        url: impl Into<String>,
        psql: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        self.database = Some((url.into(), Arc::new(psql)));
        self
    }

    /// One more variable for every process; it wins over the system's own.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Starts each process through another program, which becomes it: the process's path follows these
    /// arguments. The operator's tool is started without.
    #[must_use]
    pub fn wrapper<A: Into<String>>(mut self, command: impl IntoIterator<Item = A>) -> Self {
        self.wrapper = command.into_iter().map(Into::into).collect();
        self
    }

    /// Reports in another zone than the stored one or UTC.
    #[must_use]
    pub fn timezone(mut self, zone: &str) -> Self {
        self.timezone = Some(zone.to_owned());
        self
    }

    /// Takes older events.
    #[must_use]
    pub fn max_event_age(mut self, age: &str) -> Self {
        self.max_event_age = age.to_owned();
        self
    }

    /// Makes the database and starts the API.
    #[must_use]
    pub fn start(self) -> System {
        let mut system = self.without_api();
        system.start_api();
        system
    }

    /// Makes the database only.
    #[must_use]
    pub fn without_api(self) -> System {
        let database = match self.database.clone() {
            Some((url, psql)) => Database::elsewhere(url, psql),
            None => Database::own(self.stack.prepared_database("migrated", migrate)),
        };
        System::new(self, database)
    }
}

/// Brings the schema of the database at `url` up to date.
///
/// # Panics
/// When that fails.
pub fn migrate(url: &str) {
    let status = Command::new(programs::path("adtally"))
        .args(["migrate", "--database-url", url])
        .stdout(Stdio::null())
        .status();
    assert!(
        status.expect("the tool starts").success(),
        "the database is migrated"
    );
}
