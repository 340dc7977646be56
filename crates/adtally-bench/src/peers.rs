//! What AdTally is held against, as its users would write it.

pub(crate) mod django;
pub(crate) mod minimal;
