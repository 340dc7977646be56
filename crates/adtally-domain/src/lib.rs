//! AdTally's domain
