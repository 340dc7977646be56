//! Isolated messages while the broker takes none.

use super::*;

/// A publisher whose broker takes nothing.
fn unheard(servers: &TestServers) -> Publisher {
    let prefix = servers.broker.topology().prefix();
    let nowhere = BrokerConfig::new(&["amqp://127.0.0.1:1"], prefix, "tests").unwrap();
    let options = PublisherOptions {
        deadline: Duration::from_millis(100),
        ..PublisherOptions::default()
    };
    Publisher::start(nowhere, options)
}

fn clicks(count: u8) -> Vec<Event> {
    let click = |number| Event {
        id: EventId::v7(click().id.time(), [number; 10]),
        ..click()
    };
    (0..count).map(click).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_split_or_set_aside_is_stored() {
    for (returns, events) in [(4, 2), (10, 1)] {
        let servers = TestServers::new().await;
        let queue = servers.broker.topology().clicks_queue();
        servers.publish(&clicks(events)).await;
        servers.come_back(&queue, returns).await;
        let stored = format!("SELECT count(*) = {events} FROM events");
        let reason = work_on(&servers, &queue, unheard(&servers), &stored).await;
        assert!(matches!(reason, StopReason::Requested), "{reason:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_cannot_be_split_is_kept_before_the_broker_drops_it() {
    for (returns, table) in [(8, "events"), (9, "dead_letters")] {
        let servers = TestServers::new().await;
        let dead = servers.broker.topology().dead_queue();
        servers.publish(&clicks(3)).await;
        servers.move_to_dead_queue().await;
        servers.come_back(&dead, returns).await;
        let kept = format!("SELECT count(*) = 3 FROM {table}");
        let reason = work_on(&servers, &dead, unheard(&servers), &kept).await;
        assert!(matches!(reason, StopReason::Requested), "{reason:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_neither_database_nor_broker_takes_holds_nothing_up_and_is_not_lost() {
    let servers = TestServers::new().await;
    servers.sql(
        "CREATE SEQUENCE tries; CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM nextval('tries'); RAISE 'no space'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON dead_letters EXECUTE FUNCTION refuse()",
    );
    let dead = servers.broker.topology().dead_queue();
    let stuck = servers.given_up(9).await;
    let later = async {
        // No rollback takes a sequence back: the first one has been met, and refused for good.
        let refused = format!("SELECT is_called AND last_value >= {QUICK_TRIES} FROM tries");
        let met = servers.until(&refused);
        tokio::time::timeout(LIMIT, met).await.unwrap();
        servers.publish(&[click()]).await;
        servers.move_to_dead_queue().await;
    };
    let work = work_on(&servers, &dead, unheard(&servers), STORED);
    let ((), reason) = tokio::join!(later, work);
    assert!(matches!(reason, StopReason::Requested), "{reason:?}");
    assert_eq!(servers.sql(LETTERS), "0");
    let (_session, mut dead) = servers.subscribe(&dead).await;
    let back = next(&mut dead).await;
    let events = adtally_wire::pack::decode(&back.body).unwrap();
    assert_eq!(events, [Ok(stuck)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_cannot_be_put_off_hold_nothing_up_and_come_again() {
    let servers = TestServers::new().await;
    let clicks = servers.broker.topology().clicks_queue();
    let yesterday = click().id.time().saturating_add_millis(-86_400_000);
    let locked = Event {
        id: EventId::v7(yesterday, [8; 10]),
        ..click()
    };
    let lock = servers.lock_on_day_of(&locked);
    servers.publish(std::slice::from_ref(&locked)).await;
    servers.publish(&[click()]).await;
    let work = work_on(&servers, &clicks, unheard(&servers), STORED);
    let reason = servers.while_held(&lock, work);
    assert!(matches!(reason, StopReason::Requested), "{reason:?}");
    let (_session, mut clicks) = servers.subscribe(&clicks).await;
    let back = next(&mut clicks).await;
    let events = adtally_wire::pack::decode(&back.body).unwrap();
    assert_eq!(events, [Ok(locked)]);
}
