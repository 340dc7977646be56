//! What the end-to-end suites share: the real binaries against private servers, and an HTTP client
//! small enough to send what no proper client would.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "all of this is part of tests, which end by panicking"
)]

pub mod http;
pub mod programs;
mod system;
mod wait;

pub use system::{Process, System, SystemBuilder};
pub use wait::{until, until_within};
