//! What an operator does with dead letters, over HTTP and in the operator's tool alike.
//!
//! The store knows no broker and the broker no store; here they meet. How a letter is put back
//! without losing or doubling anything is the store's part: `Store::requeue_dead_letters`.

mod action;
mod parcel;
mod sweep;
#[cfg(test)]
mod tests;
mod view;

pub use action::{DeadLetterAction, DeadLetterFault, DeadLetterOutcome};
pub use sweep::DeadLetterSweep;
pub use view::{DeadLetterRecord, WholeDeadLetter};
