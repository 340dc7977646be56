//! What came back too often to the dead queue.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_came_back_for_no_fault_of_its_own_is_stored_at_the_last_try() {
    let servers = TestServers::new().await;
    servers.given_up(8).await;
    let reason = work_until(&servers, STORED).await;
    assert!(matches!(reason, StopReason::Requested), "{reason:?}");
    assert_eq!(servers.sql(LETTERS), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_nothing_makes_no_dead_letter_of_an_event() {
    let servers = TestServers::new().await;
    servers.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE 'no space'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON dirty_hours EXECUTE FUNCTION refuse()",
    );
    for returns in [5, 8, 9] {
        servers.given_up(returns).await;
        if returns == 9 {
            servers.sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON dead_letters EXECUTE FUNCTION refuse()",
            );
        }
        let reason = work_until(&servers, "SELECT false").await;
        assert!(matches!(reason, StopReason::Database(..)), "{reason:?}");
        let dead = servers.broker.topology().dead_queue();
        let (_session, mut dead) = servers.subscribe(&dead).await;
        let delivery = next(&mut dead).await;
        assert!(delivery.delivery_count < 3, "{delivery:?}");
        delivery.ack().await.unwrap();
        assert_eq!(servers.sql(LETTERS), "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_last_try_was_stored_but_not_acknowledged_waits_for_nobody() {
    let servers = TestServers::new().await;
    let event = servers.given_up(9).await;
    let batch = EventBatch::new(&[event], Vec::new());
    let stored = servers.store.store_events(ReportingZone::UTC, batch).await;
    assert_eq!(stored.unwrap().inserted(), 1);
    let reason = work_until(&servers, "SELECT EXISTS (SELECT FROM dead_letters)").await;
    assert!(matches!(reason, StopReason::Requested), "{reason:?}");
    assert_eq!(servers.sql("SELECT state FROM dead_letters"), "requeued");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_ends_its_last_try_is_kept_as_a_dead_letter() {
    let servers = TestServers::new().await;
    servers.given_up(9).await;
    let reason = work_until(&servers, "SELECT EXISTS (SELECT FROM dead_letters)").await;
    assert!(matches!(reason, StopReason::Requested), "{reason:?}");
    assert_eq!(
        servers.sql("SELECT reason FROM dead_letters"),
        "returned_too_often"
    );
    assert_eq!(servers.sql(STORED), "f");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_back_ten_times_to_the_last_queue_is_sent_again_before_anything_else() {
    let servers = TestServers::new().await;
    let event = servers.given_up(10).await;
    let dead = servers.broker.topology().dead_queue();
    let (_session, subscription) = servers.subscribe(&dead).await;
    let (publisher, stop) = (servers.publisher.clone(), Shutdown::manual());
    let mut consumer = consumer(&servers, &dead, publisher, subscription, &stop);
    let worn = next(&mut consumer.subscription).await;
    assert_eq!(worn.delivery_count, 10);
    consumer.accept(worn).await;
    let again = next(&mut consumer.subscription).await;
    assert_eq!((again.delivery_count, again.redelivered), (0, false));
    let batch = Batch::alone(again, &BatchPool::default()).unwrap();
    let ids: Vec<_> = batch.content.events().map(|event| event.id).collect();
    assert_eq!(ids, [event.id]);
    assert!(consumer.batcher.is_empty());
    assert_eq!(consumer.isolated.into_all().count(), 0);
    let parked = consumer.handler.parked.release().await;
    assert!(parked.is_empty(), "it is done with");
}
