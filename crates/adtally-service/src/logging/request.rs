//! The id of the request that a task answers, for the lines it logs.

tokio::task_local! {
    static REQUEST_ID: String;
}

/// Runs `work`; every line it logs carries `id`, which must be printable.
pub async fn with_request_id<F: Future>(id: String, work: F) -> F::Output {
    REQUEST_ID.scope(id, work).await
}

/// The id of the request that the running task answers.
pub(super) fn request_id() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}
