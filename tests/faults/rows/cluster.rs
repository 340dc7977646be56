//! Three brokers, of which one dies.

use std::time::Duration;

use adtally_devstack::{RabbitmqCluster, RabbitmqOptions};
use adtally_tests::until;

use super::Row;
use crate::ground::Ground;
use crate::stage::Setting;

pub(super) const ROWS: [Row; 1] = [Row::of_servers(
    "row_26_leader_of_three_brokers_killed",
    leader_killed,
)];

const LIMIT: Duration = Duration::from_secs(10);

fn leader_killed(ground: &Ground) {
    let options = RabbitmqOptions::new(&ground.programs()).heartbeat(Duration::from_secs(5));
    let cluster = ground.block_on(RabbitmqCluster::start(options, 3));
    let cluster = cluster.expect("three brokers");
    let setting = Setting::new(ground, "row-26").workers(2);
    let urls = cluster.urls();
    let stage = setting
        .all(|system| system.variable("ADTALLY_AMQP_URL", urls))
        .start();
    let traffic = stage.traffic();
    for _ in 0..ground.rounds() {
        let queue = format!("{}.impressions", stage.system.prefix());
        let leader = leader_of(&cluster, &queue);
        let node = &cluster.nodes()[leader];
        node.kill();
        traffic.until_accepted(300);
        ground
            .block_on(node.restart())
            .expect("the node comes back");
        until("all nodes are members again", || {
            let survivor = &cluster.nodes()[(leader + 1) % 3];
            let running = survivor
                .ctl_blocking(&["cluster_status", "--formatter", "json"])
                .ok()?;
            let status: serde_json::Value = serde_json::from_str(&running).ok()?;
            (status["running_nodes"].as_array()?.len() == 3).then_some(())
        });
        traffic.until_accepted(100);
    }
    let reckoning = stage.end(traffic, LIMIT);
    assert!(reckoning.stall < Duration::from_secs(10), "{reckoning}");
}

/// Which of the nodes leads a queue.
fn leader_of(cluster: &RabbitmqCluster, queue: &str) -> usize {
    let ask = ["list_queues", "name", "leader", "--formatter", "json"];
    until("the queue has a leader", || {
        let answer = cluster
            .nodes()
            .iter()
            .find_map(|node| node.ctl_blocking(&ask).ok())?;
        let queues: serde_json::Value = serde_json::from_str(&answer).ok()?;
        let entry = queues
            .as_array()?
            .iter()
            .find(|entry| entry["name"] == queue)?;
        let leader = entry["leader"].as_str()?;
        cluster
            .nodes()
            .iter()
            .position(|node| node.node_name() == leader)
    })
}
