//! `adtally dev`: everything AdTally needs, on this machine, with one command.
//!
//! Private servers and the real processes are started, watched and restarted; a Ctrl-C stops them
//! in order and leaves nothing behind.

mod args;
mod board;
mod demo;
mod environment;
mod servers;
mod services;
mod watch;

use std::path::Path;
use std::time::Duration;

use adtally_devstack::DirectoryLock;
use adtally_domain::ReportingZone;
use adtally_service::{ExitKind, Failure, LogFormat, ResultExt, Shutdown};
use adtally_store::{Store, StoreConfig};
use anyhow::Context;

use crate::database;
use crate::queues::Queues;
pub use args::DevArgs;
use board::Board;
use demo::Demo;
use servers::Servers;
use services::Services;
use watch::Watch;

/// How long the API may take to answer for the first time.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Runs `adtally dev` until `shutdown`; its processes log in the form `log_format`.
///
/// # Errors
/// A server that is missing or does not start (69), a configuration that contradicts itself or
/// what is stored (78).
pub(crate) async fn run(
    args: &DevArgs,
    log_format: LogFormat,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    args.check()?;
    if !args.database.is_given() {
        environment::forget_libpq().context("starting anew without the variables of libpq")?;
    }
    let data_dir = args.prepare_data_dir()?;
    let _lock = DirectoryLock::acquire(&data_dir).or_exit(ExitKind::Failure)?;
    let board = Board::new(&data_dir);
    // Left by a run that was killed: whoever waits for the file must not find that one's servers.
    board.remove_env();
    let watch = Watch::new(board.clone());

    let run = async {
        let demo = start(args, log_format, &data_dir, &board, &watch).await?;
        match demo {
            Some(mut demo) => {
                demo.show().await?;
                demo.trickle().await
            }
            None => std::future::pending().await,
        }
    };
    let result = tokio::select! {
        () = shutdown.requested() => Ok(()),
        failure = watch.failure() => Err(failure.into()),
        result = run => result,
    };
    board.say("stopping");
    watch.stop_all().await;
    board.remove_env();
    result
}

async fn start(
    args: &DevArgs,
    log_format: LogFormat,
    data_dir: &Path,
    board: &Board,
    watch: &Watch,
) -> anyhow::Result<Option<Demo>> {
    reach_named(args).await?;
    let servers = Servers::start(args, data_dir, watch).await?;
    let zone = migrate(args, &servers).await?;
    board.set("ADTALLY_DATABASE_URL", &servers.database_url);
    board.set("ADTALLY_AMQP_URL", &servers.amqp_url);
    board.set("ADTALLY_PREFIX", &*args.broker.prefix);
    board.set("ADTALLY_TIMEZONE", zone.name());
    let mut demo = None;
    if !args.services_only {
        let services = Services::start(args, log_format, &servers, data_dir, board, watch)?;
        services.wait_until_ready(READY_WITHIN, watch).await?;
        if args.demo {
            demo = Some(Demo::new(
                &servers,
                &args.broker.prefix,
                &services.api_url(),
                zone,
            )?);
        }
    }
    board.publish().context("writing the environment file")?;
    board.announce(args);
    Ok(demo)
}

/// Gives up at once on a server that was named and is not there.
async fn reach_named(args: &DevArgs) -> Result<(), Failure> {
    if args.database.is_given() {
        database::open(&args.database).await?;
    }
    if args.broker.is_given() {
        Queues::connect(&args.broker).await?.close().await;
    }
    Ok(())
}

async fn migrate(args: &DevArgs, servers: &Servers) -> Result<ReportingZone, Failure> {
    let store = Store::connect(StoreConfig::new(&servers.database_url));
    store.migrate().await.map_err(database::failure)?;
    let zone = store.claim_zone(args.zone.resolve()?).await;
    zone.map_err(database::failure)
}
