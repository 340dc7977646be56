//! Messages on the queue of tasks, among them the five that end a Celery worker.

use adtally_tests::until;
use uuid::Uuid;

use super::amqp::{Amqp, Field, Properties};
use super::subject::Subject;

const SWEEP: &str = "adtally.sweep_dirty";

/// A sound call of the task `name`.
fn call(name: &'static str) -> Properties {
    let id: &'static str = Uuid::new_v4().to_string().leak();
    Properties::json()
        .header("task", Field::Text(name))
        .header("id", Field::Text(id))
        .header("lang", Field::Text("py"))
        .header("retries", Field::Number(0))
}

#[test]
fn a_malformed_task_becomes_a_dead_letter_and_the_next_task_runs() {
    let subject = Subject::new("tasks");
    let mut amqp = Amqp::connect();
    let queue = format!("{}.tasks", subject.system.prefix());
    let sound = || call(SWEEP);
    let content = |content_type| Properties {
        content_type: Some(content_type),
        ..sound()
    };
    let huge = format!("[[\"{}\"], {{}}]", "x".repeat(5_000_000));
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let malformed: Vec<(&str, Properties, &str)> = vec![
        (
            "an empty eta",
            sound().header("eta", Field::Text("")),
            "[[], {}, {}]",
        ),
        (
            "an eta that is no time",
            sound().header("eta", Field::Text("soon")),
            "[[], {}, {\"a\": 1}]",
        ),
        ("no id", sound().without("id"), "[[], {}, {\"a\": 2}]"),
        (
            "an empty id",
            sound().header("id", Field::Text("")),
            "[[], {}, {\"a\": 3}]",
        ),
        (
            "another content type",
            content("application/data"),
            "[[], {}, {\"a\": 4}]",
        ),
        ("plain text", content("text/plain"), "[[], {}, {\"a\": 5}]"),
        (
            "pickle",
            content("application/x-python-serialize"),
            "\u{80}\u{4}.",
        ),
        ("two parts", sound(), "[[], {}]"),
        ("four parts", sound(), "[[], {}, {}, {}]"),
        ("broken JSON", sound(), "[[], {"),
        ("no body", sound(), ""),
        ("a text", sound(), "\"hello\""),
        ("no task", sound().without("task"), "[[], {}, {\"a\": 6}]"),
        (
            "a null task",
            sound().header("task", Field::Null),
            "[[], {}, {\"a\": 7}]",
        ),
        (
            "a task that is a table",
            sound().header("task", Field::Abyss(3)),
            "[[], {}, {\"a\": 8}]",
        ),
        ("arguments that are no list", sound(), "[7, {}, {}]"),
        ("keywords that are no object", sound(), "[[], [], {}]"),
        ("an embedding that is a text", sound(), "[[], {}, \"x\"]"),
        (
            "an expiry that is no time",
            sound().header("expires", Field::Text("x")),
            "[[], {}, {\"a\": 9}]",
        ),
        (
            "retries that are no number",
            sound().header("retries", Field::Text("x")),
            "[[], {}, {\"a\": 10}]",
        ),
        (
            "a limit that is a text",
            sound().header("timelimit", Field::Text("x")),
            "[[], {}, {\"a\": 11}]",
        ),
        (
            "a compressed body",
            sound().header("compression", Field::Text("application/zstd")),
            "[[], {}, {\"a\": 12}]",
        ),
        ("nothing at all", Properties::default(), "{}"),
        ("five megabytes", sound(), &huge),
        ("an abyss", sound(), &deep),
    ];
    let mut letters = Vec::new();
    for (_, properties, body) in &malformed {
        amqp.publish("", &queue, properties, body.as_bytes());
        letters.push(("tasks", "malformed_task"));
    }
    let unknown = [
        ("nobody.knows", "[[], {}, {\"b\": 1}]"),
        ("adtally.", "[[], {}, {\"b\": 2}]"),
    ];
    for (name, body) in unknown {
        amqp.publish("", &queue, &call(name), body.as_bytes());
        letters.push(("tasks", "unknown_task"));
    }
    for (name, body) in [
        ("adtally.aggregate_hour", "[[], {}, {}]"),
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
    ] {
        amqp.publish("", &queue, &call(name), body.as_bytes());
        letters.push(("tasks", "discarded"));
    }
    let without_content_type = Properties {
        content_type: None,
        ..sound()
    };
    for properties in [sound(), without_content_type] {
        amqp.publish("", &queue, &properties, b"[[], {}, {\"callbacks\": null}]");
    }
    let exchange = format!("{}.tasks", subject.system.prefix());
    amqp.publish(&exchange, &queue, &sound(), b"[[], {}, null]");
    let done =
        format!("SELECT count(*) FROM task_runs WHERE name = '{SWEEP}' AND state = 'succeeded'");
    until("the sound tasks have run", || {
        (subject.system.count(&done) >= 3).then_some(())
    });
    subject.reckon(&letters);
}
