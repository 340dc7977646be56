//! AdTally's store
