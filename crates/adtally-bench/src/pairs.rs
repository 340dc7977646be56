//! Arms in turn: ours, reference, ours, reference.

use crate::figure::Arm;
use crate::usage::stolen;

/// Runs `pairs` pairs of arms, one after the other, and tells of each.
///
/// Neighbours in time meet the same weather on a machine that others use too, so each ratio is made
/// of two neighbours.
pub(crate) async fn in_turn(
    name: &str,
    pairs: usize,
    mut ours: impl AsyncFnMut() -> anyhow::Result<Arm>,
    mut reference: impl AsyncFnMut() -> anyhow::Result<Arm>,
) -> anyhow::Result<Vec<(Arm, Arm)>> {
    let mut done = Vec::with_capacity(pairs);
    for number in 1..=pairs {
        let start = stolen();
        let ours = ours().await?;
        let between = stolen();
        let pair = (ours, reference().await?);
        log::info!(
            "{name}: pair {number} of {pairs}: {:.1} against {:.1}, ratio {:.3}; cpu {:?} against {:?}; \
             stolen {:.1} s against {:.1} s",
            pair.0.value,
            pair.1.value,
            pair.0.value / pair.1.value,
            pair.0.cpu.0,
            pair.1.cpu.0,
            between - start,
            stolen() - between,
        );
        done.push(pair);
    }
    Ok(done)
}
