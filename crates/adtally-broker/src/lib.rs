//! AdTally's broker
