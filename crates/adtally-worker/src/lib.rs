//! AdTally's worker: stores events and runs tasks
