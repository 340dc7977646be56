//! Several nodes that form one RabbitMQ cluster.

use super::{RabbitmqOptions, RabbitmqServer};
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
        let numbered = |number: usize| {
            let name = format!("{}{number}", options.node_name);
            options.clone().node_name(name)
        };
        let first = RabbitmqServer::start(numbered(1)).await?;
        let mut shared = first.node.shared().clone();
        shared.join = vec![first.node_name().to_owned()];
        let mut nodes = vec![first];
        for number in 2..=size {
            let node = RabbitmqServer::start_node(numbered(number), Some(shared.clone())).await?;
            nodes.push(node);
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
