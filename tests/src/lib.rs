//! What the end-to-end suites share: the real binaries against private servers, and an HTTP client
//! small enough to send what no proper client would.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "all of this is part of tests, which end by panicking"
)]

mod builder;
pub mod http;
mod process;
pub mod programs;
mod system;
mod wait;

pub use builder::SystemBuilder;
pub use process::Process;
pub use system::System;
pub use wait::{until, until_within};
