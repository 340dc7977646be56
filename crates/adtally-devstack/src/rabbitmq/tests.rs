use super::*;
use crate::packages::{self, Install};

async fn options() -> RabbitmqOptions {
    RabbitmqOptions::new(&packages::ensure(Install::Forbidden).await.unwrap())
}

#[tokio::test]
async fn a_node_answers() {
    let server = RabbitmqServer::start(options().await).await.unwrap();
    let vhosts = server.ctl(&["list_vhosts"]).await.unwrap();
    assert!(vhosts.contains('/'), "{vhosts}");
}
