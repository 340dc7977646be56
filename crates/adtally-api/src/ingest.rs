//! Events in: from ad servers (`events`) and from browsers (`pixel`, `click`).
//!
//! ```text
//! events ─▶ parse ─▶ validate ─┐
//!                              ├─▶ sink ─▶ broker, or else spool ─▶ broker
//! pixel, click ─▶ browser ─────┘
//! ```

pub(crate) mod browser;
pub(crate) mod browser_queue;
pub(crate) mod click;
pub(crate) mod events;
pub(crate) mod large_bodies;
pub(crate) mod metrics;
mod parse;
pub(crate) mod pixel;
pub(crate) mod sink;
pub(crate) mod spool;
mod validate;
