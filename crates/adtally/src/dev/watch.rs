//! Keeping everything running, and stopping it in order.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adtally_devstack::{
    DevstackError, ManagedProcess, PostgresServer, ProcessOptions, RabbitmqServer,
};
use adtally_service::{ExitKind, Failure, Shutdown};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::board::Board;

/// How long a process may take to finish what it has begun.
const GRACE: Duration = Duration::from_secs(40);
/// The wait before whatever died is started again, so that a crash loop leaves the machine usable.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// One of AdTally's own processes.
pub(super) struct Service {
    name: String,
    pid_key: String,
    options: ProcessOptions,
    process: Mutex<ManagedProcess>,
}

impl Service {
    /// Starts the process and notes its id on the board.
    pub(super) fn start(
        name: &str,
        pid_key: String,
        options: ProcessOptions,
        board: &Board,
    ) -> Result<Self, DevstackError> {
        let process = ManagedProcess::spawn(options.clone())?;
        board.set(&pid_key, process.pid().to_string());
        let process = Mutex::new(process);
        Ok(Self {
            name: name.to_owned(),
            pid_key,
            options,
            process,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn process(&self) -> ManagedProcess {
        self.process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn restart(&self) -> Result<(), DevstackError> {
        let process = ManagedProcess::spawn(self.options.clone())?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }
}

/// Something that is kept running.
#[derive(Clone)]
pub(super) enum Member {
    Postgres(Arc<PostgresServer>),
    Rabbitmq(Arc<RabbitmqServer>),
    Service(Arc<Service>),
}

impl Member {
    fn name(&self) -> &str {
        match self {
            Self::Postgres(_) => "PostgreSQL",
            Self::Rabbitmq(_) => "RabbitMQ",
            Self::Service(service) => &service.name,
        }
    }

    fn pid_key(&self) -> &str {
        match self {
            Self::Postgres(_) => "ADTALLY_POSTGRES_PID",
            Self::Rabbitmq(_) => "ADTALLY_RABBITMQ_PID",
            Self::Service(service) => &service.pid_key,
        }
    }

    fn process(&self) -> ManagedProcess {
        match self {
            Self::Postgres(server) => server.process(),
            Self::Rabbitmq(server) => server.process(),
            Self::Service(service) => service.process(),
        }
    }

    async fn restart(&self) -> Result<(), DevstackError> {
        match self {
            Self::Postgres(server) => server.restart().await,
            Self::Rabbitmq(server) => server.restart().await,
            Self::Service(service) => service.restart(),
        }
    }

    async fn stop(&self) {
        match self {
            Self::Postgres(server) => server.stop().await,
            Self::Rabbitmq(server) => server.stop().await,
            Self::Service(service) => {
                service.process().stop(GRACE).await;
            }
        }
    }

    /// The order of stopping: who makes work first, who keeps it last.
    fn rank(&self) -> u8 {
        match self {
            Self::Service(service) if service.name.starts_with("api") => 0,
            Self::Service(service) if service.name.starts_with("beat") => 1,
            Self::Service(_) => 2,
            Self::Rabbitmq(_) => 3,
            Self::Postgres(_) => 4,
        }
    }
}

/// Restarts whatever dies.
pub(super) struct Watch {
    board: Board,
    stopping: Shutdown,
    failure: watch::Sender<Option<Failure>>,
    members: Mutex<Vec<(Member, JoinHandle<()>)>>,
}

impl Watch {
    pub(super) fn new(board: Board) -> Self {
        Self {
            board,
            stopping: Shutdown::manual(),
            failure: watch::Sender::new(None),
            members: Mutex::default(),
        }
    }

    /// Keeps `member` running from now on.
    pub(super) fn add(&self, member: Option<Member>) {
        let Some(member) = member else { return };
        self.board
            .set(member.pid_key(), member.process().pid().to_string());
        let keeper = keep_running(
            member.clone(),
            self.board.clone(),
            self.stopping.clone(),
            self.failure.clone(),
        );
        let keeper = tokio::spawn(keeper);
        self.members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((member, keeper));
    }

    /// Waits for something that no restart mends.
    pub(super) async fn failure(&self) -> Failure {
        let mut failures = self.failure.subscribe();
        match failures
            .wait_for(Option::is_some)
            .await
            .map(|failure| failure.clone())
        {
            Ok(Some(failure)) => failure,
            // The sender is part of self: the channel cannot close while this waits.
            _ => Failure::unavailable("nothing is watched any more"),
        }
    }

    /// Stops everything: those of one kind side by side, one kind after the other.
    pub(super) async fn stop_all(&self) {
        self.stopping.trigger();
        let members =
            std::mem::take(&mut *self.members.lock().unwrap_or_else(PoisonError::into_inner));
        let mut stopped = Vec::new();
        for (member, keeper) in members {
            // A restart under way comes to its end first, or it would start what was just stopped.
            let _ended = keeper.await;
            stopped.push(member);
        }
        for rank in 0..=4 {
            let of_rank = stopped.iter().filter(|member| member.rank() == rank);
            futures_util::future::join_all(of_rank.map(Member::stop)).await;
        }
    }
}

async fn keep_running(
    member: Member,
    board: Board,
    stopping: Shutdown,
    failure: watch::Sender<Option<Failure>>,
) {
    loop {
        let process = member.process();
        let status = tokio::select! {
            biased;
            () = stopping.requested() => return,
            status = process.exited() => status,
        };
        if status.code() == Some(i32::from(ExitKind::Configuration.code())) {
            let message = format!("{} refuses its configuration; see its log", member.name());
            failure.send_replace(Some(Failure::configuration(message)));
            return;
        }
        board.say(&format!(
            "{} {}, starting it again",
            member.name(),
            how(status)
        ));
        if stopping.requested_within(RESTART_PAUSE).await {
            return;
        }
        match member.restart().await {
            Ok(()) => board.set(member.pid_key(), member.process().pid().to_string()),
            Err(error) => board.say(&format!("{} does not start: {error}", member.name())),
        }
        if let Err(error) = board.update() {
            board.say(&format!("the environment file cannot be written: {error}"));
        }
    }
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
