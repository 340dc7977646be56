//! Several nodes that form one RabbitMQ cluster.

use super::{Host, RabbitmqOptions, RabbitmqServer};
use crate::DevstackError;

/// Nodes of one cluster, each with its own process, ports and directory.
#[derive(Debug)]
pub struct RabbitmqCluster {
    nodes: Vec<RabbitmqServer>,
}

impl RabbitmqCluster {
    /// Starts `size` nodes in temporary directories; the first one first, then the others, which
    /// join it. Their names are the option's node name with `1`, `2`, ... appended.
    ///
    /// # Errors
    /// A node does not start.
    pub async fn start(options: RabbitmqOptions, size: usize) -> Result<Self, DevstackError> {
        Self::start_at(&options, vec![None; size]).await
    }

    /// Starts a node on each of these hosts.
    ///
    /// # Errors
    /// As there.
    pub async fn start_on(
        mut options: RabbitmqOptions,
        hosts: Vec<Host>,
    ) -> Result<Self, DevstackError> {
        options.hosts.clone_from(&hosts);
        Self::start_at(&options, hosts.into_iter().map(Some).collect()).await
    }

    async fn start_at(
        options: &RabbitmqOptions,
        hosts: Vec<Option<Host>>,
    ) -> Result<Self, DevstackError> {
        let mut nodes: Vec<RabbitmqServer> = Vec::new();
        for (number, host) in (1..).zip(hosts) {
            let name = format!("{}{number}", options.node_name);
            let mut options = options.clone().node_name(name);
            options.host = host;
            let shared = nodes.first().map(|first| {
                let mut shared = first.node.shared().clone();
                shared.join = vec![first.node_name().to_owned()];
                shared
            });
            nodes.push(RabbitmqServer::start_node(options, shared).await?);
        }
        Ok(Self { nodes })
    }

    /// The nodes, the first one first.
    pub fn nodes(&self) -> &[RabbitmqServer] {
        &self.nodes
    }

    /// The URLs of all nodes, separated by commas.
    pub fn urls(&self) -> String {
        self.nodes
            .iter()
            .map(RabbitmqServer::url)
            .collect::<Vec<_>>()
            .join(",")
    }
}
