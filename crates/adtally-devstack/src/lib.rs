//! AdTally's private servers
