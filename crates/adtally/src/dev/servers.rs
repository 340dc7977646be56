//! PostgreSQL and RabbitMQ: private ones, or those that were named.

use std::path::Path;
use std::sync::Arc;

use adtally_devstack::packages::{self, ServerPrograms};
use adtally_devstack::{
    DevstackError, PostgresOptions, PostgresServer, RabbitmqOptions, RabbitmqServer, Storage,
};
use adtally_service::{ExitKind, Failure, ResultExt, SecretUrl};

use super::DevArgs;
use super::watch::{Member, Watch};

/// Where the servers are.
pub(super) struct Servers {
    pub(super) database_url: String,
    pub(super) amqp_url: String,
}

impl Servers {
    /// Starts the servers whose URL was not given, side by side, and has them watched.
    ///
    /// # Errors
    /// A server that is missing or does not start (69), a malformed URL (78).
    pub(super) async fn start(
        args: &DevArgs,
        data_dir: &Path,
        watch: &Watch,
    ) -> Result<Self, Failure> {
        let given_database = args.database.is_given().then(|| args.database.resolve());
        let given_broker = args.broker.is_given().then(|| args.broker.resolve());
        let (given_database, given_broker) =
            (given_database.transpose()?, given_broker.transpose()?);
        let programs = match (&given_database, &given_broker) {
            (Some(_), Some(_)) => None,
            _ => Some(
                packages::ensure(args.install())
                    .await
                    .or_exit(ExitKind::Unavailable)?,
            ),
        };
        let (postgres, rabbitmq) = tokio::join!(
            postgres(
                programs.as_ref().filter(|_| given_database.is_none()),
                data_dir
            ),
            rabbitmq(
                programs.as_ref().filter(|_| given_broker.is_none()),
                data_dir
            ),
        );
        let (postgres, rabbitmq) = (
            postgres.or_exit(ExitKind::Unavailable)?,
            rabbitmq.or_exit(ExitKind::Unavailable)?,
        );
        let servers = Self {
            database_url: match (&postgres, given_database) {
                (Some(server), _) => server.url(),
                (None, given) => given
                    .map(|given| given.url.expose().to_owned())
                    .unwrap_or_default(),
            },
            amqp_url: match (&rabbitmq, given_broker) {
                (Some(server), _) => server.url(),
                (None, given) => given.map(|given| joined(&given.urls)).unwrap_or_default(),
            },
        };
        watch.add(postgres.map(|server| Member::Postgres(Arc::new(server))));
        watch.add(rabbitmq.map(|server| Member::Rabbitmq(Arc::new(server))));
        Ok(servers)
    }
}

fn joined(urls: &[SecretUrl]) -> String {
    urls.iter()
        .map(SecretUrl::expose)
        .collect::<Vec<_>>()
        .join(",")
}

async fn postgres(
    programs: Option<&ServerPrograms>,
    data_dir: &Path,
) -> Result<Option<PostgresServer>, DevstackError> {
    let Some(programs) = programs else {
        return Ok(None);
    };
    let storage = Storage::Kept(data_dir.join("postgres"));
    PostgresServer::start(PostgresOptions::new(programs).storage(storage))
        .await
        .map(Some)
}

async fn rabbitmq(
    programs: Option<&ServerPrograms>,
    data_dir: &Path,
) -> Result<Option<RabbitmqServer>, DevstackError> {
    let Some(programs) = programs else {
        return Ok(None);
    };
    let storage = Storage::Kept(data_dir.join("rabbitmq"));
    RabbitmqServer::start(RabbitmqOptions::new(programs).storage(storage))
        .await
        .map(Some)
}
