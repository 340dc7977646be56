//! Private servers, as durable as their defaults, and fresh ground on them for each arm.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use adtally_broker::BrokerConfig;
use adtally_devstack::packages::{Install, ensure};
use adtally_devstack::{PostgresOptions, PostgresServer, RabbitmqOptions, RabbitmqServer, Storage};
use adtally_domain::ReportingZone;
use adtally_store::{Store, StoreConfig};
use anyhow::{Context, ensure};

/// Settings of PostgreSQL beside its defaults, for all arms: room for a few million rows, and no
/// checkpoint in the middle of one arm that the other is spared. Durability is as it comes.
const POSTGRES: [(&str, &str); 6] = [
    ("shared_buffers", "2GB"),
    ("max_wal_size", "24GB"),
    ("min_wal_size", "4GB"),
    ("checkpoint_timeout", "60min"),
    ("autovacuum", "off"),
    ("max_parallel_workers_per_gather", "2"),
];

/// Has PostgreSQL make the files of its log, as a server that has run for a while has them. Else the
/// first arm would pay for all of them. `min_wal_size` keeps them through checkpoints.
const MAKE_LOG: &str = "SELECT count(pg_logical_emit_message(false, 'bench', repeat('x', 1048576))) \
                        FROM generate_series(1, 2048)";

/// What a stored event takes, with its part of the index, more or less.
const BYTES_OF_ROW: u32 = 180;

/// Free memory that is touched before an arm under load, and the pieces in which it is taken.
const TOUCHED_BYTES: u64 = 3 * 1_024 * 1_024 * 1_024;
const PIECE_BYTES: usize = 1_024 * 1_024;

/// The servers. They end with it.
pub(crate) struct Lab {
    pub(crate) postgres: PostgresServer,
    pub(crate) rabbitmq: RabbitmqServer,
    grounds: AtomicU32,
    dir: tempfile::TempDir,
}

/// A database, with AdTally's tables unless it is empty, and a prefix of queues, used by nobody before.
pub(crate) struct Ground<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) database: String,
    pub(crate) prefix: String,
}

impl Lab {
    /// Starts the servers, with their data below `parent`: a temporary directory of the system may be
    /// in memory.
    pub(crate) async fn open(parent: &Path) -> anyhow::Result<Self> {
        let programs = ensure(Install::Allowed).await?;
        std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        let dir = tempfile::tempdir_in(parent)?;
        let postgres = POSTGRES.into_iter().fold(
            PostgresOptions::new(&programs).storage(Storage::Kept(dir.path().join("postgres"))),
            |options, (name, value)| options.setting(name, value),
        );
        let rabbitmq =
            RabbitmqOptions::new(&programs).storage(Storage::Kept(dir.path().join("rabbitmq")));
        let postgres = PostgresServer::start(postgres).await?;
        postgres.psql(MAKE_LOG).await?;
        Ok(Self {
            postgres,
            rabbitmq: RabbitmqServer::start(rabbitmq).await?,
            grounds: AtomicU32::new(0),
            dir,
        })
    }

    /// A directory for files, gone at the end.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Fresh ground.
    pub(crate) async fn ground(&self) -> anyhow::Result<Ground<'_>> {
        let ground = self.empty_ground().await?;
        let store = ground.store();
        store.migrate().await?;
        store.claim_zone(Some(ReportingZone::UTC)).await?;
        Ok(ground)
    }

    /// Fresh ground without AdTally's tables.
    pub(crate) async fn empty_ground(&self) -> anyhow::Result<Ground<'_>> {
        let number = self.grounds.fetch_add(1, Ordering::Relaxed);
        let ground = Ground {
            lab: self,
            database: format!("bench_{number}"),
            prefix: format!("bench{number}"),
        };
        let create = format!("CREATE DATABASE {}", ground.database);
        self.postgres.psql(&create).await?;
        Ok(ground)
    }

    /// Writes everything to disk that waits for it, so that no arm pays for the one before.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        self.postgres.psql("CHECKPOINT").await?;
        tokio::task::spawn_blocking(rustix::fs::sync).await?;
        Ok(())
    }
}

/// Has the machine's free memory be used as if arms had run before: see [`Ground::touch_memory`].
///
/// RabbitMQ, which keeps bodies in memory and writes them to two files, takes gigabytes of it in
/// seconds, a bare handler none.
pub(crate) async fn touch_free_memory() -> anyhow::Result<()> {
    tokio::task::spawn_blocking(|| {
        let system = rustix::system::sysinfo();
        let free = system.freeram.saturating_mul(system.mem_unit.into());
        let pieces = (free / 2).min(TOUCHED_BYTES) / PIECE_BYTES as u64;
        let touched: Vec<_> = (0..pieces).map(|_| vec![1_u8; PIECE_BYTES]).collect();
        std::hint::black_box(touched);
    })
    .await?;
    Ok(())
}

impl Ground<'_> {
    pub(crate) fn database_url(&self) -> String {
        self.lab.postgres.database_url(&self.database)
    }

    /// A store on this ground's database.
    pub(crate) fn store(&self) -> Store {
        Store::connect(StoreConfig::new(self.database_url()))
    }

    /// How this ground's queues are reached.
    pub(crate) fn broker(&self) -> anyhow::Result<BrokerConfig> {
        Ok(BrokerConfig::new(
            &[self.lab.rabbitmq.url()],
            &self.prefix,
            "adtally-bench",
        )?)
    }

    /// Runs SQL in this ground's database.
    pub(crate) async fn psql(&self, sql: &str) -> anyhow::Result<String> {
        Ok(self.lab.postgres.psql_in(&self.database, sql).await?)
    }

    /// Has the machine's memory be used as it is once `events` events have been stored and dropped.
    ///
    /// The first pages that a table takes after a while cost several times as much as those that one
    /// dropped before it has just left: the machine has given them back to its host meanwhile.
    pub(crate) async fn touch_memory(&self, events: u64) -> anyhow::Result<()> {
        // By INSERT: what is made in bulk goes through few of the server's own buffers.
        self.psql("CREATE TABLE touched (filler text)").await?;
        let fill = format!(
            "INSERT INTO touched SELECT repeat('x', {BYTES_OF_ROW}) FROM generate_series(1, {events})"
        );
        self.psql(&fill).await?;
        self.psql("DROP TABLE touched").await?;
        Ok(())
    }

    /// How many rows `events` has.
    pub(crate) async fn rows(&self) -> anyhow::Result<u64> {
        let rows = self.psql("SELECT count(*) FROM events").await?;
        rows.parse().with_context(|| format!("counting: {rows}"))
    }

    /// Fails unless each of so many events is one row.
    pub(crate) async fn has_rows(&self, events: u64) -> anyhow::Result<()> {
        let rows = self.rows().await?;
        ensure!(rows == events, "{events} events are stored as {rows} rows");
        Ok(())
    }

    /// What every process on this ground finds in its environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("ADTALLY_DATABASE_URL", self.database_url()),
            ("ADTALLY_AMQP_URL", self.lab.rabbitmq.url()),
            ("ADTALLY_PREFIX", self.prefix.clone()),
            ("ADTALLY_DRAIN", "0".to_owned()),
        ]
    }

    /// Drops the database. The queues are left to the end of the servers.
    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.database);
        self.lab.postgres.psql_in("postgres", &drop).await?;
        self.lab.settle().await
    }
}
