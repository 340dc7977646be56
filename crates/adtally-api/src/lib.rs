//! AdTally's HTTP API: validates events, publishes them with confirms, serves stats
