//! AdTally's service prologue
