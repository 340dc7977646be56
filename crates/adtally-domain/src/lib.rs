//! What AdTally counts and how it divides time: events and their ids, hours and days of a
//! reporting zone, task payloads, periodic entries.
//!
//! Everything here is pure. The clock, randomness and configuration are arguments, so each rule
//! can be tested without a server and gives the same answer in every process.

mod age;
mod dead_letter;
mod derived_id;
mod entry;
mod event;
mod event_id;
mod ids;
mod input;
mod intake;
mod prefix;
mod rejection;
mod retry;
mod task;
mod tasks;
mod timestamp;
mod zone;

pub use age::{InvalidAge, parse_age};
pub use dead_letter::DeadLetterReason;
pub use derived_id::{
    body_dead_letter_id, event_dead_letter_id, named_task_id, requeued_dead_letter_id,
    requeued_message_id, slot_task_id, sweep_task_id,
};
pub use entry::{CatchUp, ENTRIES, Entry, Period, Slot};
pub use event::{Event, EventKind, UnknownEventKind};
pub use event_id::EventId;
pub use ids::{AdId, AdvertiserId, InvalidId};
pub use input::{EventInput, Scalar};
pub use intake::Intake;
pub use prefix::{InvalidPrefix, Prefix};
pub use rejection::{RejectCode, Rejection};
pub use retry::RetryPolicy;
pub use task::{InvalidArguments, Task, TaskMessage};
pub use tasks::{AggregateDay, AggregateHour, MaintainPartitions, SweepDirty};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use zone::{Day, Hour, InvalidZone, ReportingZone};
