//! The bars, one file each.

mod accept;

use crate::args::{Bar, BenchArgs};
use crate::figure::Figure;
use crate::lab::Lab;

/// Runs a bar.
pub(crate) async fn run(bar: Bar, lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    match bar {
        Bar::Accept => accept::single(lab, args).await,
        Bar::AcceptArrays => accept::arrays(lab, args).await,
    }
}
