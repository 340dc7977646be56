//! Messages on the queue of tasks, among them the five that end a Celery worker.

use adtally_tests::until;
use uuid::Uuid;

use super::amqp::{Amqp, Field, Properties};
use super::subject::Subject;

const SWEEP: &str = "adtally.sweep_dirty";
/// The body of a call without arguments.
const NOTHING: &str = "[[], {}, {}]";

/// Bodies that are no call.
const NO_CALLS: [&str; 10] = [
    "",
    "\u{80}\u{4}.",
    "[[], {}]",
    "[[], {}, {}, {}]",
    "[[], {",
    "\"hello\"",
    "[7, {}, {}]",
    "[[], [], {}]",
    "[[], {}, \"x\"]",
    "{}",
];

/// Sound calls of tasks with arguments they cannot have.
const NO_ARGUMENTS: [(&str, &str); 7] = [
    ("adtally.aggregate_hour", NOTHING),
    ("adtally.aggregate_hour", r#"[[], {"hour": "noon"}, {}]"#),
    (
        "adtally.aggregate_hour",
        r#"[[], {"hour": "2026-11-22T05:17:00Z"}, {}]"#,
    ),
    ("adtally.aggregate_hour", r#"[["a", "b", "c"], {}, {}]"#),
    (
        "adtally.aggregate_day",
        r#"[[], {"day": "2026-02-30"}, {}]"#,
    ),
    ("adtally.aggregate_day", r#"[[], {"day": 7}, {}]"#),
    ("adtally.aggregate_day", r#"[["+262142-12-31"], {}, {}]"#),
];

/// A sound call of the task `name`.
fn call(name: &'static str) -> Properties {
    let id: &'static str = Uuid::new_v4().to_string().leak();
    Properties::json()
        .header("task", Field::Text(name))
        .header("id", Field::Text(id))
        .header("lang", Field::Text("py"))
        .header("retries", Field::Number(0))
}

/// Properties that make no call of any body.
fn no_calls() -> Vec<Properties> {
    let content = |content_type| Properties {
        content_type: Some(content_type),
        ..call(SWEEP)
    };
    let header = |name, value| call(SWEEP).header(name, value);
    vec![
        content("application/data"),
        content("text/plain"),
        content("application/x-python-serialize"),
        header("eta", Field::Text("")),
        header("eta", Field::Text("soon")),
        header("expires", Field::Text("x")),
        header("retries", Field::Text("x")),
        header("timelimit", Field::Text("x")),
        header("compression", Field::Text("application/zstd")),
        header("id", Field::Text("")),
        header("task", Field::Null),
        header("task", Field::Abyss(3)),
        call(SWEEP).without("id"),
        call(SWEEP).without("task"),
        Properties::default(),
    ]
}

#[test]
fn a_malformed_task_becomes_a_dead_letter_and_the_next_task_runs() {
    let subject = Subject::new("tasks");
    let mut amqp = Amqp::connect();
    let queue = format!("{}.tasks", subject.system.prefix());
    let mut letters = Vec::new();
    for (n, properties) in no_calls().iter().enumerate() {
        // Without an id, a task is known by its body.
        let body = format!("[[], {{\"n\": {n}}}, {{}}]");
        amqp.publish("", &queue, properties, body.as_bytes());
        letters.push(("tasks", "malformed_task"));
    }
    let huge = format!("[[\"{}\"], {{}}]", "x".repeat(5_000_000));
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    for body in NO_CALLS.iter().copied().chain([huge.as_str(), &deep]) {
        amqp.publish("", &queue, &call(SWEEP), body.as_bytes());
        letters.push(("tasks", "malformed_task"));
    }
    for name in ["nobody.knows", "adtally.", "adtally.sweep_dirty\u{0}"] {
        amqp.publish("", &queue, &call(name), NOTHING.as_bytes());
        letters.push(("tasks", "unknown_task"));
    }
    for (name, body) in NO_ARGUMENTS {
        amqp.publish("", &queue, &call(name), body.as_bytes());
        letters.push(("tasks", "discarded"));
    }
    run_sound_tasks(&subject, &mut amqp, &queue);
    subject.reckon(&letters);
}

/// Sends tasks as different senders write them, and waits until all have run.
fn run_sound_tasks(subject: &Subject, amqp: &mut Amqp, queue: &str) {
    let without_content_type = Properties {
        content_type: None,
        ..call(SWEEP)
    };
    amqp.publish("", queue, &call(SWEEP), NOTHING.as_bytes());
    amqp.publish("", queue, &without_content_type, NOTHING.as_bytes());
    // The exchange of tasks has the name of their queue.
    amqp.publish(queue, queue, &call(SWEEP), b"[[], {}, null]");
    let done =
        format!("SELECT count(*) FROM task_runs WHERE name = '{SWEEP}' AND state = 'succeeded'");
    until("the sound tasks have run", || {
        (subject.system.count(&done) == 3).then_some(())
    });
}
