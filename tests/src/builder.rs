//! How the AdTally of a test comes to be.

use std::process::{Command, Stdio};

use adtally_devstack::testing::TestStack;

use crate::{System, programs};

/// How a [`System`] is to be set up.
#[derive(Debug, Clone)]
pub struct SystemBuilder {
    pub(crate) name: String,
    pub(crate) timezone: Option<String>,
    pub(crate) max_event_age: String,
}

impl SystemBuilder {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            timezone: None,
            max_event_age: "35d".to_owned(),
        }
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
        let database = TestStack::shared().prepared_database("migrated", migrate);
        System::new(self, database)
    }
}

fn migrate(url: &str) {
    let status = Command::new(programs::path("adtally"))
        .args(["migrate", "--database-url", url])
        .stdout(Stdio::null())
        .status();
    assert!(
        status.expect("the tool starts").success(),
        "the database is migrated"
    );
}
