//! Arms in turn: ours, reference, ours, reference.

use crate::figure::Arm;

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
        let pair = (ours().await?, reference().await?);
        log::info!(
            "{name}: pair {number} of {pairs}: {:.1} against {:.1}, ratio {:.3}; cpu {:?} against {:?}",
            pair.0.value,
            pair.1.value,
            pair.0.value / pair.1.value,
            pair.0.cpu.0,
            pair.1.cpu.0,
        );
        done.push(pair);
    }
    Ok(done)
}
