//! Three brokers, of which one dies or is cut off, or all are upgraded in turn.

use std::time::Duration;

use adtally_devstack::{RabbitmqCluster, RabbitmqOptions, RabbitmqServer};
use adtally_tests::until;

use super::Row;
use super::broker::until_all_is_well;
use crate::ground::Ground;
use crate::hosts::Hosts;
use crate::stage::{Setting, Stage};

pub(super) const ROWS: [Row; 3] = [
    Row::of_servers("row_26_leader_of_three_brokers_killed", leader_killed),
    Row::of_processes("row_27_one_of_three_brokers_cut_off", one_cut_off),
    Row::of_servers("row_28_three_brokers_restarted_in_turn", restarted_in_turn),
];

const LIMIT: Duration = Duration::from_secs(10);

fn leader_killed(ground: &Ground) {
    let cluster = three_brokers(ground);
    let stage = stage_on(ground, "row-26", &cluster);
    let traffic = stage.traffic();
    for _ in 0..ground.rounds() {
        let queue = format!("{}.impressions", stage.system.prefix());
        let leader = leader_of(&cluster, &queue);
        let node = &cluster.nodes()[leader];
        node.kill();
        traffic.until_accepted(300);
        brought_back(ground, &cluster, node);
        traffic.until_accepted(100);
    }
    let reckoning = stage.end(traffic, LIMIT);
    assert!(reckoning.stall < Duration::from_secs(10), "{reckoning}");
}

fn one_cut_off(ground: &Ground) {
    let Some(hosts) = Hosts::new("row-27", 3) else {
        return;
    };
    let options = RabbitmqOptions::new(&ground.programs())
        .heartbeat(Duration::from_secs(5))
        .conf("cluster_partition_handling = pause_minority");
    let cluster = ground.block_on(RabbitmqCluster::start_on(options, hosts.all()));
    let cluster = cluster.expect("three brokers");
    let stage = stage_on(ground, "row-27", &cluster);
    let traffic = stage.traffic();
    for _ in 0..ground.rounds() {
        // The leader: everybody is connected to it or sends to it.
        let queue = format!("{}.impressions", stage.system.prefix());
        let leader = leader_of(&cluster, &queue);
        hosts.cut_off(leader);
        // The others choose another leader and serve; what the one that was cut off takes is confirmed
        // to nobody.
        traffic.until_accepted(300);
        until("the others lead", || {
            let others = cluster.nodes().iter().enumerate();
            let mut others = others.filter(|(node, _)| *node != leader);
            let (_, other) = others.next()?;
            (leader_by(other, &queue)? != cluster.nodes()[leader].node_name()).then_some(())
        });
        traffic.until_accepted(300);
        hosts.heal(leader);
        until_all_are_members(&cluster, &cluster.nodes()[leader]);
        until_all_is_well(&stage, &traffic);
    }
    let reckoning = stage.end(traffic, LIMIT);
    assert_eq!(reckoning.dead, 0, "a partition makes no dead letters");
}

fn restarted_in_turn(ground: &Ground) {
    let cluster = three_brokers(ground);
    let stage = stage_on(ground, "row-28", &cluster);
    let traffic = stage.traffic();
    for node in cluster.nodes() {
        ground.block_on(node.stop());
        traffic.until_accepted(300);
        brought_back(ground, &cluster, node);
        until_all_is_well(&stage, &traffic);
    }
    let reckoning = stage.end(traffic, LIMIT);
    assert!(reckoning.stall < Duration::from_secs(10), "{reckoning}");
    assert_eq!(reckoning.dead, 0, "an upgrade makes no dead letters");
}

fn three_brokers(ground: &Ground) -> RabbitmqCluster {
    let options = RabbitmqOptions::new(&ground.programs()).heartbeat(Duration::from_secs(5));
    let cluster = ground.block_on(RabbitmqCluster::start(options, 3));
    cluster.expect("three brokers")
}

fn stage_on(ground: &Ground, name: &'static str, cluster: &RabbitmqCluster) -> Stage {
    let setting = Setting::new(ground, name).workers(2);
    let urls = cluster.urls();
    setting
        .all(|system| system.variable("ADTALLY_AMQP_URL", urls))
        .start()
}

/// Starts a node again and waits until all three are members.
fn brought_back(ground: &Ground, cluster: &RabbitmqCluster, node: &RabbitmqServer) {
    ground
        .block_on(node.restart())
        .expect("the node comes back");
    until_all_are_members(cluster, node);
}

/// Waits until `node` is a member again for another one, and so for all.
fn until_all_are_members(cluster: &RabbitmqCluster, node: &RabbitmqServer) {
    let mut others = cluster.nodes().iter();
    let other = others.find(|other| other.node_name() != node.node_name());
    let other = other.expect("another node");
    until("all nodes are members again", || {
        let ask = ["cluster_status", "--formatter", "json"];
        let running = other.ctl_blocking(&ask).ok()?;
        let status: serde_json::Value = serde_json::from_str(&running).ok()?;
        (status["running_nodes"].as_array()?.len() == 3).then_some(())
    });
}

/// Which of the nodes leads a queue.
fn leader_of(cluster: &RabbitmqCluster, queue: &str) -> usize {
    until("the queue has a leader", || {
        let nodes = cluster.nodes();
        let leader = nodes.iter().find_map(|node| leader_by(node, queue))?;
        nodes.iter().position(|node| node.node_name() == leader)
    })
}

/// The node that leads a queue, as another one knows it.
fn leader_by(node: &RabbitmqServer, queue: &str) -> Option<String> {
    let ask = ["list_queues", "name", "leader", "--formatter", "json"];
    let queues: serde_json::Value = serde_json::from_str(&node.ctl_blocking(&ask).ok()?).ok()?;
    let mut queues = queues.as_array()?.iter();
    let entry = queues.find(|entry| entry["name"] == queue)?;
    Some(entry["leader"].as_str()?.to_owned())
}
