//! PostgreSQL for AdTally: events stored once, totals rebuilt from them, and the ledgers of beat and
//! workers.
//!
//! [`Store`] is the whole public face. Its methods are async and run their queries on threads made
//! for blocking work; inside, query functions take a connection and know nothing of async.

mod ad_targets;
mod ads;
mod advertisers;
mod audit;
mod closed_hours;
mod config;
mod dead_letters;
mod deadline;
mod error;
mod events;
mod fault;
mod lookup;
mod loose_scan;
mod marks;
mod metrics;
mod migrate;
mod observe;
mod obstacle;
mod partitions;
mod pool;
mod rebuild;
mod rollup;
mod schedule;
mod schema;
mod server;
mod settings;
mod stats;
mod store;
mod tasks;
mod text;
mod times;
mod totals;
mod zone_change;

pub use ad_targets::{AdChanges, AdTarget, AdsWatermark};
pub use ads::{Ad, AdPatch, NewAd};
pub use advertisers::{Advertiser, NewAdvertiser};
pub use audit::{AuditReport, Mismatch};
pub use closed_hours::{ClosedHour, ClosedReason};
pub use config::StoreConfig;
pub use dead_letters::{
    DeadLetter, DeadLetterBatch, DeadLetterCount, DeadLetterCursor, DeadLetterFilter,
    DeadLetterPage, DeadLetterState, DeadLetterSummary, Discarded, NewDeadLetter, Requeued,
};
pub use error::StoreError;
pub use events::{EventBatch, Stored};
pub use lookup::FoundEvents;
pub use metrics::StoreMetrics;
pub use observe::{MOST_LETTERS, Observation};
pub use partitions::Partition;
pub use rebuild::Marked;
pub use rollup::RollUp;
pub use schedule::UnsentSlot;
pub use stats::{BucketStatus, Granularity, StatsCursor, StatsPage, StatsRow, StatsSpan};
pub use store::Store;
pub use tasks::{TaskFilter, TaskRecord, TaskRun, TaskStart};
pub use totals::{Counts, Measure};
pub use zone_change::{Client, ZoneChange};
