use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;
use crate::Storage;
use crate::secret::random_word;
use crate::testing::programs;

async fn options() -> RabbitmqOptions {
    RabbitmqOptions::new(&programs().await.unwrap())
}

#[tokio::test]
async fn what_is_durable_survives_kill_and_restart_on_the_same_port() {
    let dir = std::env::temp_dir().join(format!("adtally kept {}/été", random_word(8)));
    let asked = options().await.storage(Storage::Kept(dir.clone()));
    let server = RabbitmqServer::start(asked.clone()).await.unwrap();
    let (url, first) = (server.url(), server.pid());
    server.ctl(&["add_vhost", "kept"]).await.unwrap();

    let error = RabbitmqServer::start(asked.clone())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("is in use by process {}", std::process::id())),
        "{error}"
    );

    server.kill();
    server.process().exited().await;
    server.restart().await.unwrap();
    assert_ne!(server.pid(), first);
    assert_eq!(server.url(), url);
    server.stop().await;
    assert!(server.has_exited());
    drop(server);

    let again = RabbitmqServer::start(asked).await.unwrap();
    let vhosts = again.ctl(&["list_vhosts"]).await.unwrap();
    assert!(vhosts.lines().any(|line| line == "kept"), "{vhosts}");
    drop(again);
    fs::remove_dir_all(dir.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn a_node_listens_on_the_loopback_address_only_and_leaves_nothing() {
    let asked = options()
        .await
        .management()
        .heartbeat(Duration::from_secs(7));
    let server = RabbitmqServer::start(asked.conf("channel_max = 33"))
        .await
        .unwrap();
    let listening = listening_addresses(server.pid());
    assert!(
        listening.len() >= 3,
        "amqp, management and distribution: {listening:?}"
    );
    assert!(
        listening.iter().all(|address| address == "0100007F"),
        "{listening:?}"
    );
    assert!(management_answers(&server).starts_with("HTTP/1.1 200"));
    let environment = server.ctl(&["environment"]).await.unwrap();
    assert!(environment.contains("{heartbeat,7}"), "{environment}");
    assert!(environment.contains("{channel_max,33}"), "{environment}");
    let (dir, process) = (
        server.log_file().parent().unwrap().to_owned(),
        server.process(),
    );
    drop(server);
    assert!(process.has_exited() && !dir.exists());
}

/// Addresses, as the kernel writes them, of the sockets a process listens on.
fn listening_addresses(pid: u32) -> Vec<String> {
    let sockets: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| {
            fs::read_link(fd.unwrap().path())
                .ok()?
                .into_os_string()
                .into_string()
                .ok()
        })
        .filter_map(|link| {
            Some(
                link.strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    let table = |name: &str| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    format!("{}{}", table("tcp"), table("tcp6"))
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(3) == Some(&"0A") && sockets.contains(fields[9]))
        .map(|fields| fields[1].split(':').next().unwrap().to_owned())
        .collect()
}

fn management_answers(server: &RabbitmqServer) -> String {
    let port = server.management_port().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn three_nodes_form_a_cluster_and_a_killed_one_comes_back() {
    let cluster = RabbitmqCluster::start(options().await, 3).await.unwrap();
    let running = async |node: &RabbitmqServer| {
        let status = node
            .ctl(&["cluster_status", "--formatter", "json"])
            .await
            .unwrap();
        let names = status
            .split("\"running_nodes\":[")
            .nth(1)
            .unwrap()
            .split(']')
            .next()
            .unwrap();
        names.split(',').count()
    };
    let [first, second, third] = cluster.nodes() else {
        panic!("three nodes")
    };
    assert_eq!(running(third).await, 3);
    assert_eq!(cluster.urls().split(',').count(), 3);
    second.kill();
    second.process().exited().await;
    assert_eq!(running(first).await, 2);
    second.restart().await.unwrap();
    assert_eq!(running(first).await, 3);
}

#[tokio::test]
async fn a_node_that_cannot_start_is_quoted() {
    let asked = options().await.conf("no_such_setting = 1");
    let error = RabbitmqServer::start(asked).await.unwrap_err().to_string();
    assert!(error.contains("no_such_setting"), "{error}");
}
