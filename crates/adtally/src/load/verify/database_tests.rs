//! Verification against real servers.

use adtally_devstack::testing::TestStack;
use adtally_domain::EventKind;
use adtally_service::BrokerArgs;
use adtally_store::{EventBatch, StoreConfig};
use clap::{Args, FromArgMatches};

use super::*;
use crate::api::Response;
use crate::database::tests::event;

fn broker(prefix: &str) -> BrokerArgs {
    let command = BrokerArgs::augment_args(clap::Command::new("test"));
    let url = TestStack::shared().amqp_url();
    let matches = command.get_matches_from(["test", "--amqp-url", &url, "--prefix", prefix]);
    BrokerArgs::from_arg_matches(&matches).unwrap()
}

#[actix_web::test]
async fn an_accepted_event_that_is_not_in_the_database_is_found_by_its_id() {
    let stack = TestStack::shared();
    let database = stack.database("verify");
    let store = Store::connect(StoreConfig::new(database.url()));
    store.migrate().await.unwrap();
    let zone = store.claim_zone(None).await.unwrap();
    let event = |number| event(0, 7, EventKind::Impression, number);
    let batch = EventBatch::new(&[event(1), event(2), event(3)], Vec::new());
    store.store_events(zone, batch).await.unwrap();

    let mut ledger = Ledger::new(true);
    let enter = |ledger: &mut Ledger, numbers: &[u8], status, body: &'static str| {
        let ids: Vec<_> = numbers.iter().map(|number| event(*number).id).collect();
        let response = Response {
            status,
            retry_after: None,
            body: body.as_bytes().into(),
        };
        ledger.enter(&ids, &Ok(response), false);
    };
    enter(&mut ledger, &[1, 4], 202, r#"{"accepted":2,"rejected":[]}"#);
    enter(&mut ledger, &[2], 400, "");
    enter(&mut ledger, &[3, 5], 503, "");

    let prefix = stack.queue_prefix("verify");
    let queues = Queues::connect(&broker(&prefix)).await.unwrap();
    let mut verifier = Verifier::new(store, queues, Duration::from_secs(3));
    let found = verifier.verify(&ledger, &Shutdown::manual()).await.unwrap();
    let expected = Verification {
        accepted_stored: 1,
        uncertain_stored: 1,
        accepted_but_missing: vec![event(4).id],
        rejected_but_kept: vec![event(2).id],
        ..Verification::default()
    };
    assert_eq!(found, expected);
}
