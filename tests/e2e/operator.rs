//! What an operator gets wrong, and what goes wrong around an operator: each ends in one clear line
//! and the right exit code, or in a process that waits and says what for.

mod commands;
mod configuration;
mod daemons;
mod gate;
mod log;
mod metrics;
mod pooler;
mod ran;
mod repairs;
