//! What every route uses: bodies, queries, problems, and the guards around them. Knows no route.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod early_response;
pub(crate) mod ids;
pub(crate) mod large_response;
pub(crate) mod listener;
pub(crate) mod media_type;
pub(crate) mod metrics;
pub(crate) mod middleware;
pub(crate) mod migrating_task;
pub(crate) mod origin;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod web_address;
