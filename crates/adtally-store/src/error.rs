//! What can go wrong, told apart by what the caller does next.

use adtally_domain::AdvertiserId;
use diesel::result::{DatabaseErrorKind, Error};
use thiserror::Error as ThisError;

/// Why a call of [`crate::Store`] did not succeed.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no connection to be had: the same call may succeed later.
    #[error("PostgreSQL is not available: {0}")]
    Unavailable(String),
    /// The connection of this call ended, and another one could be had: somebody ended its session, or
    /// a limit did. What was to be committed may be.
    #[error("the connection to PostgreSQL ended: {0}")]
    ConnectionLost(String),
    /// The server or the database is not one that AdTally can rest on. No waiting mends it.
    #[error("this PostgreSQL cannot be used: {0}")]
    Unsuitable(String),
    /// The server refused the login.
    #[error("PostgreSQL refused the login: {0}")]
    AuthenticationFailed(String),
    /// The URL asks for TLS and this build has none.
    #[error(
        "the database URL, or PGSSLMODE in the environment, asks for TLS, which this build does not have: use the packaged binaries, \
         or build with --no-default-features --features system-pq"
    )]
    NoTls,
    /// The database has no or older tables.
    #[error("the database schema is missing or old: run `adtally migrate`")]
    SchemaMissing,
    /// Migrations that this binary needs are not applied.
    #[error(
        "the database schema is older than this binary: run `adtally migrate` (not applied: {})",
        .0.join(", ")
    )]
    SchemaOutdated(Vec<String>),
    /// PostgreSQL refuses a statement, and will until a person acts: a grant, a column or a table is
    /// missing.
    #[error("PostgreSQL refuses {statement} (SQLSTATE {sqlstate}): {message}")]
    Refused {
        /// What the statement does, and to which table.
        statement: String,
        /// PostgreSQL's code.
        sqlstate: String,
        /// The server's words, and what to do.
        message: String,
    },
    /// The deployment reports in another zone.
    #[error(
        "this database reports in the time zone {stored}, not in {asked}, whose clocks differ: drop \
         the setting or use another database"
    )]
    ZoneMismatch {
        /// The zone the database belongs to.
        stored: String,
        /// The zone the process was started with.
        asked: String,
    },
    /// Something else has the id already.
    #[error("{what} {id} exists already")]
    Conflict {
        /// `ad` or `advertiser`.
        what: &'static str,
        /// The id that is taken.
        id: i64,
    },
    /// An ad names an advertiser that does not exist.
    #[error("there is no advertiser {0}")]
    UnknownAdvertiser(AdvertiserId),
    /// A partition was to be dropped whose hours still wait for a roll-up.
    #[error("{0} still waits for a roll-up: its raw events are needed")]
    StillNeeded(String),
    /// Others held a lock for as long as the call was willing to wait.
    #[error("{what} needs a lock that is held by {held_by}: end that, or try again later")]
    LockHeld {
        /// What was to be done.
        what: String,
        /// The sessions that hold the lock.
        held_by: String,
    },
    /// Totals were to be made anew whose raw events are gone.
    #[error("{0}: totals cannot be made anew without raw events; see `adtally audit`")]
    RawGone(String),
    /// Nobody waits for the call any more.
    #[error("the call was given up")]
    GivenUp,
    /// Other transactions were in the way, again and again.
    #[error("the transaction met others too often and was given up: {0}")]
    Contended(String),
    /// PostgreSQL refused a statement for a reason of its own, such as a full disk.
    #[error("PostgreSQL refused a statement: {0}")]
    Database(String),
}

impl StoreError {
    /// Whether waiting does not help: the call succeeds only after a person has acted on the database.
    /// [`StoreError::is_transient`] is true of these too: nobody need restart anything afterwards.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::AuthenticationFailed(_)
                | Self::SchemaMissing
                | Self::SchemaOutdated(_)
                | Self::Refused { .. }
        )
    }

    /// Whether the same call may succeed later without a change to what was asked.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_)
            | Self::ConnectionLost(_)
            | Self::AuthenticationFailed(_)
            | Self::SchemaMissing
            | Self::SchemaOutdated(_)
            | Self::Refused { .. }
            | Self::LockHeld { .. }
            | Self::GivenUp
            | Self::Contended(_)
            | Self::Database(_) => true,
            Self::NoTls
            | Self::Unsuitable(_)
            | Self::ZoneMismatch { .. }
            | Self::Conflict { .. }
            | Self::UnknownAdvertiser(_)
            | Self::StillNeeded(_)
            | Self::RawGone(_) => false,
        }
    }

    /// The error of a failed attempt to connect, as libpq worded it.
    pub(crate) fn of_connection(message: &str) -> Self {
        const WAITED: &str = "timed out waiting for connection";
        let message = match message.strip_prefix(WAITED) {
            Some("") => "all connections are in use".to_owned(),
            Some(reason) => one_line(reason.trim_start_matches(':')),
            None => one_line(message),
        };
        // libpq's own words, which it does not translate in this build.
        if message.contains("invalid when SSL support is not compiled in") {
            return Self::NoTls;
        }
        // The server's words. In another language the error is the plain one: only the advice is lost.
        let login = [
            "authentication failed",
            "no password supplied",
            "pg_hba.conf",
            "role \"",
        ];
        let is_login = login.iter().any(|words| message.contains(words));
        let message = with_environment(message);
        if is_login {
            Self::AuthenticationFailed(message)
        } else {
            Self::Unavailable(message)
        }
    }
}

impl StoreError {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            // The commit failed, and so did the rollback after it.
            Error::RollbackErrorOnCommit { commit_error, .. } => Self::of(commit_error),
            _ if is_contention(error) => Self::Contended(one_line(&error.to_string())),
            _ if has_ended(error) => Self::ConnectionLost(one_line(&error.to_string())),
            _ if is_lost(error) => Self::Unavailable(one_line(&error.to_string())),
            _ => Self::Database(one_line(&error.to_string())),
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::of(&error)
    }
}

/// Whether the transaction only has to be run again: SQLSTATE 40001 and 40P01.
///
/// diesel keeps the SQLSTATE to itself and tells most codes apart by no kind of their own. A deadlock
/// is known by its words; on a server that words it in another language it is one more error that the
/// caller retries later. Nothing that is dropped or dead-lettered rests on words: what an event itself
/// is to blame for is decided inside the database (`adtally_refused_events`), where codes are exact.
pub(crate) fn is_contention(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        Error::DatabaseError(DatabaseErrorKind::Unknown, info) => {
            info.message() == "deadlock detected"
        }
        _ => false,
    }
}

/// Whether the connection is of no more use: it broke, or leads to a server that became a standby.
pub(crate) fn is_lost(error: &Error) -> bool {
    let is_standby = matches!(
        error,
        Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)
    );
    is_standby || has_ended(error)
}

fn has_ended(error: &Error) -> bool {
    matches!(
        error,
        Error::BrokenTransactionManager
            | Error::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _,
            )
    )
}

pub(crate) fn is_unique_violation(error: &Error) -> bool {
    matches!(
        error,
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)
    )
}

pub(crate) fn is_foreign_key_violation(error: &Error) -> bool {
    matches!(
        error,
        Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _)
    )
}

/// Variables that libpq reads beside the URL, and that can keep a connection from being made or being
/// of use.
const LIBPQ_VARIABLES: [&str; 14] = [
    "PGCHANNELBINDING",
    "PGGSSENCMODE",
    "PGHOSTADDR",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSYSCONFDIR",
    "PGTARGETSESSIONATTRS",
];

/// The message, and which variables of libpq are set: nobody looks for them in the environment.
pub(crate) fn with_environment(message: String) -> String {
    let set: Vec<&str> = LIBPQ_VARIABLES
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some())
        .collect();
    if set.is_empty() {
        return message;
    }
    format!(
        "{message} (set in the environment, and read too: {})",
        set.join(", ")
    )
}

fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}
