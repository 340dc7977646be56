//! The servers that are made to fail, and who may harm them when.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use adtally_devstack::testing::{TestStack, programs};
use adtally_devstack::{PostgresServer, RabbitmqServer, ServerPrograms};
use chrono::{DateTime, Utc};

use crate::rows::{Harm, Row};

/// Short enough that a dead connection is noticed within a test.
const HEARTBEAT: Duration = Duration::from_secs(5);

static STACK: TestStack = TestStack::new(Some(HEARTBEAT));

/// The time by this machine's clock.
pub(crate) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// What all rows stand on.
pub(crate) struct Ground {
    long: bool,
    soak: (u64, Duration),
    /// Held by many rows that only harm what is theirs, or by one that harms the servers.
    servers: RwLock<()>,
    runtime: tokio::runtime::Runtime,
}

impl Ground {
    pub(crate) fn new(long: bool, soak: (u64, Duration)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Self {
            long,
            soak,
            servers: RwLock::new(()),
            runtime: runtime.expect("a runtime"),
        }
    }

    /// Runs a row, alone when it harms the servers.
    pub(crate) fn run(&self, row: &Row) {
        match row.harm {
            Harm::Processes => {
                let _shared = self.servers.read().unwrap_or_else(PoisonError::into_inner);
                (row.run)(self);
            }
            Harm::Servers => {
                let _alone = self.servers.write().unwrap_or_else(PoisonError::into_inner);
                (row.run)(self);
            }
        }
    }

    /// How long a fault lasts: `short`, or with `--long` as long as in life.
    pub(crate) fn lasting(&self, short: u64, long: u64) -> Duration {
        Duration::from_secs(if self.long { long } else { short })
    }

    /// How often a fault is repeated that takes a server long to get over.
    pub(crate) fn rounds(&self) -> usize {
        if self.long { 3 } else { 1 }
    }

    /// The seed and the length of the soak.
    pub(crate) fn soak(&self) -> (u64, Duration) {
        self.soak
    }

    pub(crate) fn stack(&self) -> &'static TestStack {
        &STACK
    }

    pub(crate) fn rabbitmq(&self) -> &'static RabbitmqServer {
        STACK.rabbitmq()
    }

    pub(crate) fn postgres(&self) -> &'static PostgresServer {
        STACK.postgres()
    }

    /// Waits for something that a server does.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The servers' programs, for rows that start more of them.
    pub(crate) fn programs(&self) -> ServerPrograms {
        let found = self.block_on(programs());
        found.expect("the servers' programs")
    }
}
