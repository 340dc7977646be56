//! The flags of `adtally dead-letters`.

use std::time::Duration;

use adtally_domain::{AdId, Timestamp};
use adtally_service::{BrokerArgs, DatabaseArgs, Failure, switch};
use adtally_store::{DeadLetterFilter, DeadLetterState, Store};
use clap::{Args, ValueEnum};
use uuid::Uuid;

use crate::database;
use crate::stats::{ad_id, instant};

const EXAMPLES: &str = "\
Examples:
  adtally dead-letters list --reason invalid_event --from 2026-11-22
  adtally dead-letters show 01a201d7-0b7b-88c2-a977-29f3687d4dae
  adtally dead-letters requeue --all --reason invalid_event
  adtally dead-letters discard --all --ad 42 --to '2026-11-22 06:00'
  adtally dead-letters purge --older-than 90d

A dead letter is an event or task that could not be processed. Requeued, it goes back to its queue; an
event counts once however often it is sent, and one that fails again is new again under the same id.
Times are RFC 3339, or local times of the reporting zone without offset; --to is not included.";

/// See what could not be processed, put it back or give it up.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    pub(super) command: Subcommand,
}

/// What to do with dead letters.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum Subcommand {
    /// List dead letters, newest first, and count them by reason
    List(ListArgs),
    /// Show everything that was kept of one dead letter
    Show(ShowArgs),
    /// Put dead letters back on their queues
    Requeue(RequeueArgs),
    /// Give dead letters up; they stay where they are and may still be requeued
    Discard(DiscardArgs),
    /// Delete dead letters for good, bodies included: requeued and discarded ones unless told otherwise
    Purge(PurgeArgs),
}

/// The flags of `adtally dead-letters purge`.
#[derive(Debug, Clone, Args)]
pub(super) struct PurgeArgs {
    /// Only letters first seen so long ago, such as 90d
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_OLDER_THAN", value_name = "AGE",
          value_parser = adtally_domain::parse_age)]
    pub(super) older_than: Duration,
    /// Only letters in this state; may be repeated. Events of discarded and new letters are nowhere else
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_STATE", value_enum, value_name = "STATE", value_delimiter = ',',
          default_values_t = [State::Requeued, State::Discarded])]
    state: Vec<State>,
    /// Only letters with this reason, such as invalid_event
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_REASON", value_name = "REASON")]
    reason: Option<String>,
    /// Delete them; without it they are only counted
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_YES", value_parser = switch)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
}

impl PurgeArgs {
    /// The letters that are meant at `now`, one filter for each state.
    pub(super) fn filters(&self, now: Timestamp) -> Vec<DeadLetterFilter> {
        let age = i64::try_from(self.older_than.as_millis()).unwrap_or(i64::MAX);
        let filter = |state: &State| DeadLetterFilter {
            reason: self.reason.clone(),
            to: Some(now.saturating_add_millis(-age)),
            state: Some(DeadLetterState::from(*state)),
            ..DeadLetterFilter::default()
        };
        self.state.iter().map(filter).collect()
    }
}

/// The flags of `adtally dead-letters list`.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// The most letters to show
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_LIMIT", value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    /// Print one JSON document instead of a table
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_JSON", value_parser = switch)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
}

/// The flags of `adtally dead-letters show`.
#[derive(Debug, Clone, Args)]
pub(super) struct ShowArgs {
    /// The letter's id
    #[arg(value_name = "ID")]
    pub(super) id: Uuid,
    /// Print one JSON document instead of text
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_JSON", value_parser = switch)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
}

/// The flags of `adtally dead-letters requeue`.
#[derive(Debug, Clone, Args)]
pub(super) struct RequeueArgs {
    #[command(flatten)]
    pub(super) selection: SelectionArgs,
    /// Also send letters that were requeued before and have not failed since
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_AGAIN", value_parser = switch)]
    pub(super) again: bool,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
}

/// The flags of `adtally dead-letters discard`.
#[derive(Debug, Clone, Args)]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    pub(super) selection: SelectionArgs,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
}

/// Which letters to change.
#[derive(Debug, Clone, Args)]
pub(super) struct SelectionArgs {
    /// The letters' ids, unless --all is given
    #[arg(value_name = "ID")]
    ids: Vec<Uuid>,
    /// All letters that the filters let through, and of those the new ones unless --state is given
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_ALL", value_parser = switch)]
    all: bool,
    /// Do it also when no filter is given
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_YES", value_parser = switch)]
    yes: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Which letters are meant: those that everything given applies to.
#[derive(Debug, Clone, Args)]
pub(super) struct FilterArgs {
    /// Only letters with this reason, such as invalid_event
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_REASON", value_name = "REASON")]
    reason: Option<String>,
    /// Only events of this ad
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_AD", value_name = "ID", value_parser = ad_id)]
    ad: Option<AdId>,
    /// Only letters first seen at this time or later
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_FROM", value_name = "TIME")]
    from: Option<String>,
    /// Only letters first seen before this time
    #[arg(long, env = "ADTALLY_DEAD_LETTERS_TO", value_name = "TIME")]
    to: Option<String>,
    /// Only letters in this state
    #[arg(
        long,
        env = "ADTALLY_DEAD_LETTERS_STATE",
        value_enum,
        value_name = "STATE"
    )]
    state: Option<State>,
}

/// What is to become of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// Nobody has decided yet, or it failed again.
    New,
    /// It was put back on its queue.
    Requeued,
    /// It was given up.
    Discarded,
}

impl From<State> for DeadLetterState {
    fn from(state: State) -> Self {
        match state {
            State::New => Self::New,
            State::Requeued => Self::Requeued,
            State::Discarded => Self::Discarded,
        }
    }
}

impl FilterArgs {
    fn is_given(&self) -> bool {
        self.reason.is_some()
            || self.ad.is_some()
            || self.from.is_some()
            || self.to.is_some()
            || self.state.is_some()
    }

    /// The filter, with times of the zone that `store` reports in.
    ///
    /// # Errors
    /// A usage [`Failure`] that names the flag, or the store's.
    pub(super) async fn filter(&self, store: &Store) -> Result<DeadLetterFilter, Failure> {
        let zone = database::zone(store).await?;
        let time = |flag, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| instant(flag, text, zone)).transpose()
        };
        Ok(DeadLetterFilter {
            ids: None,
            reason: self.reason.clone(),
            ad_id: self.ad,
            from: time("--from", &self.from)?,
            to: time("--to", &self.to)?,
            state: self.state.map(DeadLetterState::from),
        })
    }
}

impl SelectionArgs {
    /// Whether the flags make sense together.
    ///
    /// # Errors
    /// A usage [`Failure`] that says what to give.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if !self.all && self.filter.is_given() {
            return Err(Failure::usage(
                "filters choose among --all: give --all or ids",
            ));
        }
        // Not told by clap, which takes a variable that says no for the flag.
        if self.all != self.ids.is_empty() {
            return Err(Failure::usage(
                "which dead letters? give their ids, or else --all",
            ));
        }
        if self.all && !self.filter.is_given() && !self.yes {
            return Err(Failure::usage(
                "--all without a filter means every new dead letter: add a filter, or --yes",
            ));
        }
        Ok(())
    }

    /// The letters that are meant. Those that turn up from now on are not.
    ///
    /// # Errors
    /// A usage [`Failure`] that names the flag, or the store's.
    pub(super) async fn filter(&self, store: &Store) -> Result<DeadLetterFilter, Failure> {
        if !self.all {
            let ids = Some(self.ids.clone());
            return Ok(DeadLetterFilter {
                ids,
                ..DeadLetterFilter::default()
            });
        }
        let filter = self.filter.filter(store).await?;
        let now = store.clock().await.map_err(database::failure)?;
        let end = now.saturating_add_millis(1);
        Ok(DeadLetterFilter {
            to: Some(filter.to.map_or(end, |to| to.min(end))),
            state: filter.state.or(Some(DeadLetterState::New)),
            ..filter
        })
    }
}
