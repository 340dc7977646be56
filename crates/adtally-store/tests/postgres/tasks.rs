use adtally_store::TaskStart;

use crate::support::{store, task};

const RUN: fn(u32) -> TaskStart = |attempt| TaskStart::Run { attempt };

#[tokio::test]
async fn a_task_is_begun_until_it_succeeded_and_never_after() {
    let store = store();
    let task = task("adtally.sweep_dirty");
    let begin = || store.store.begin_task(task.clone());
    assert_eq!(begin().await.unwrap(), RUN(1));
    assert_eq!(begin().await.unwrap(), RUN(2), "its worker died");
    store
        .store
        .fail_task(task.clone(), "not now".to_owned(), false)
        .await
        .unwrap();
    let row = "SELECT state, attempts, error FROM task_runs";
    assert_eq!(store.sql(row).trim(), "retrying|2|not now");
    assert_eq!(begin().await.unwrap(), RUN(3));

    store.store.finish_task(task.clone()).await.unwrap();
    assert_eq!(begin().await.unwrap(), TaskStart::AlreadyDone);
    store
        .store
        .fail_task(task.clone(), "too late".to_owned(), true)
        .await
        .unwrap();
    assert_eq!(store.sql(row).trim(), "succeeded|3|");
}

#[tokio::test]
async fn only_a_task_that_is_over_has_an_end() {
    let store = store();
    let task = task("adtally.aggregate_day");
    let row = "SELECT state, finished_at IS NOT NULL, error FROM task_runs";
    let fail = |for_good| {
        let error = "not now".to_owned();
        store.store.fail_task(task.clone(), error, for_good)
    };
    let begin = || store.store.begin_task(task.clone());
    fail(false).await.unwrap();
    assert_eq!(store.sql(row).trim(), "retrying|f|not now");
    begin().await.unwrap();
    fail(true).await.unwrap();
    assert_eq!(store.sql(row).trim(), "discarded|t|not now");
    store.store.requeue_task(task.task_id).await.unwrap();
    begin().await.unwrap();
    assert_eq!(store.sql(row).trim(), "running|f|");
    fail(false).await.unwrap();
    assert_eq!(store.sql(row).trim(), "retrying|f|not now");
}

#[tokio::test]
async fn a_discarded_task_runs_again_only_when_an_operator_says_so() {
    let store = store();
    let task = task("adtally.unknown");
    store
        .store
        .fail_task(task.clone(), "no such task".to_owned(), true)
        .await
        .unwrap();
    let begin = || store.store.begin_task(task.clone());
    assert_eq!(begin().await.unwrap(), TaskStart::AlreadyDone);
    assert!(store.store.requeue_task(task.task_id).await.unwrap());
    // It may not have been sent: whoever asked may ask again until it runs.
    assert!(store.store.requeue_task(task.task_id).await.unwrap());
    assert_eq!(begin().await.unwrap(), RUN(2));
    assert!(!store.store.requeue_task(task.task_id).await.unwrap());
}

#[tokio::test]
async fn a_task_is_noted_whatever_its_sender_put_into_it() {
    let store = store();
    let task = adtally_store::TaskRun {
        arguments: serde_json::json!({"a\u{0}": ["\u{0}"]}),
        ..task("nul \0")
    };
    store.store.begin_task(task.clone()).await.unwrap();
    store
        .store
        .fail_task(task, "unknown \0".to_owned(), true)
        .await
        .unwrap();
    let row = store.sql("SELECT name, arguments, error FROM task_runs");
    assert_eq!(
        row.trim(),
        "nul \u{fffd}|{\"a\u{fffd}\": [\"\u{fffd}\"]}|unknown \u{fffd}"
    );
}
