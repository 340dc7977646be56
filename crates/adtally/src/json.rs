//! JSON for scripts.

use std::io::Write;

use serde::Serialize;

/// Writes `value` as one JSON document.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(value: &impl Serialize, out: &mut impl Write) -> anyhow::Result<()> {
    // Not straight to `out`: its errors would come back as errors of JSON.
    let mut document = serde_json::to_vec_pretty(value)?;
    document.push(b'\n');
    out.write_all(&document)?;
    Ok(())
}
