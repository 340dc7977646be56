//! What the end-to-end suites share: the real binaries against private servers, and an HTTP client
//! small enough to send what no proper client would.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "all of this is part of tests, which end by panicking"
)]

mod builder;
mod database;
pub mod http;
mod process;
pub mod programs;
pub mod proxy;
pub mod reckoning;
mod supervised;
mod system;
mod totals;
pub mod traffic;
mod wait;

pub use builder::{SystemBuilder, migrate};
pub use process::Process;
pub use supervised::Supervised;
pub use system::System;
pub use wait::{until, until_within};
