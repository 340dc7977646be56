//! What operators and their programs read and change: ads, advertisers, totals, dead letters.

pub(crate) mod ads;
pub(crate) mod advertisers;
pub(crate) mod dead_letters;
mod fields;
mod page;
pub(crate) mod stats;
#[cfg(test)]
mod tests;
pub(crate) mod zone;
