use super::*;
use crate::packages::{self, Install};

async fn options() -> PostgresOptions {
    PostgresOptions::new(&packages::ensure(Install::Forbidden).await.unwrap())
}

#[tokio::test]
async fn a_server_answers_and_leaves_nothing() {
    let server = PostgresServer::start(options().await).await.unwrap();
    let dir = server.data_dir().to_owned();
    assert_eq!(
        server.psql("SELECT 1; SELECT current_user").await.unwrap(),
        "1\nadtally"
    );
    drop(server);
    assert!(!dir.exists());
}
