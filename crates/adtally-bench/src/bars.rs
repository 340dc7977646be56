//! The bars, one file each.

mod accept;
mod celery;
mod end_to_end;
mod growth;
mod latency;
mod memory;
mod roll_up;
mod scaling;
mod store;

use crate::args::{Bar, BenchArgs};
use crate::figure::Figure;
use crate::lab::Lab;

/// Runs a bar.
pub(crate) async fn run(bar: Bar, lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    match bar {
        Bar::Accept => accept::single(lab, args).await,
        Bar::AcceptArrays => accept::arrays(lab, args).await,
        Bar::Store => store::once(lab, args).await,
        Bar::StoreRepeated => store::repeated(lab, args).await,
        Bar::RollUp => roll_up::roll_up(lab, args).await,
        Bar::Growth => growth::growth(lab, args).await,
        Bar::Memory => memory::memory(lab, args).await,
        Bar::Latency => latency::latency(lab, args).await,
        Bar::EndToEnd => end_to_end::end_to_end(lab, args).await,
        Bar::Celery => celery::celery(lab, args).await,
        Bar::Scaling => scaling::scaling(lab, args).await,
    }
}
