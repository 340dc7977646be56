//! Workers are killed again and again, with messages of every queue in their hands.

use adtally_domain::{SweepDirty, Task};
use adtally_tests::traffic::past_id;
use adtally_tests::until;
use lapin::BasicProperties;
use serde_json::json;
use uuid::Uuid;

use super::Row;
use crate::ground::Ground;
use crate::hold::Hold;
use crate::stage::{Setting, Stage};
use crate::wire::Wire;

pub(super) const ROWS: [Row; 2] = [
    Row::of_processes("row_56_forty_kills_with_every_queue_in_hand", new_queues),
    Row::of_processes("row_56_forty_kills_with_queues_of_before", queues_of_before),
];

/// Twice what RabbitMQ 4 bears unless a queue says otherwise.
const KILLS: u32 = 40;

/// The queues that workers read.
const READ: [&str; 5] = ["impressions", "clicks", "tasks", "dead", "unrouted"];

/// Those with nothing behind them.
const LAST: [&str; 2] = ["dead", "unrouted"];

fn new_queues(ground: &Ground) {
    kill_forty_times(ground, &Setting::new(ground, "row-56").start());
}

/// Queues as they were made once: without a limit, so with the broker's own.
fn queues_of_before(ground: &Ground) {
    let stage = Setting::new(ground, "row-56-before").start();
    let wire = Wire::to(ground);
    stage.worker().kill_then(|| {
        for name in LAST {
            let queue = format!("{}.{name}", stage.system.prefix());
            wire.delete_queue(&queue);
            wire.declare_quorum_queue(&queue);
        }
    });
    stage.worker().until_ready();
    kill_forty_times(ground, &stage);
}

fn kill_forty_times(ground: &Ground, stage: &Stage) {
    let wire = Wire::to(ground);
    let queue = |name: &str| format!("{}.{name}", stage.system.prefix());
    let traffic = stage.traffic();
    // Whatever a worker takes, it gets rid of nothing.
    let hold = Hold::of(
        &stage.system,
        "LOCK TABLE events, dead_letters, task_runs IN ACCESS EXCLUSIVE MODE",
    );
    let mut ids = Vec::new();
    for name in READ.into_iter().filter(|name| *name != "tasks") {
        for size in [1, 7] {
            let pack: Vec<_> = (0..size).map(past_id).collect();
            let entries = pack.iter().map(|id| {
                json!({"event_id": id, "kind": "click", "ad_id": 5,
                       "received_at": "2026-11-22T06:00:00Z"})
            });
            let body = json!({"v": 1, "events": entries.collect::<Vec<_>>()});
            wire.publish(&queue(name), body.to_string().as_bytes(), persistent());
            ids.extend(pack.iter().map(ToString::to_string));
        }
    }
    for name in LAST {
        wire.publish(
            &queue(name),
            format!("no pack: {name}").as_bytes(),
            persistent(),
        );
    }
    stage.system.publish(&SweepDirty {}.message(Uuid::new_v4()));
    for _ in 0..KILLS {
        stage.worker().until_ready();
        until("a worker takes from every queue", || {
            let is_read = |name: &&str| wire.consumers(&queue(name)) == 1;
            READ.iter().all(is_read).then_some(())
        });
        stage.worker().kill_then(|| {
            until("what it held is back", || {
                let is_left = |name: &&str| wire.consumers(&queue(name)) == 0;
                READ.iter().all(is_left).then_some(())
            });
        });
    }
    drop(hold);
    let mut told = traffic.end();
    told.accepted.extend(ids);
    stage.reckon(&told);
    until("what is no pack is kept", || {
        let kept = "SELECT count(*) FROM dead_letters WHERE body LIKE 'no pack: %'::bytea";
        (stage.system.count(kept) == 2).then_some(())
    });
}

fn persistent() -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(Uuid::new_v4().to_string().into())
}
