//! Messages under suspicion while the broker takes none.

use super::*;

/// A publisher whose broker takes nothing.
fn unheard(bench: &Bench) -> Publisher {
    let prefix = bench.config.topology().prefix();
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
        let bench = Bench::new().await;
        let queue = bench.config.topology().clicks_queue();
        bench.publish(&clicks(events)).await;
        bench.come_back(&queue, returns).await;
        let stored = format!("SELECT count(*) = {events} FROM events");
        let end = bench.work_on(&queue, unheard(&bench), &stored).await;
        assert!(matches!(end, End::Stopped), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_cannot_be_split_is_kept_before_the_broker_drops_it() {
    for (returns, table) in [(8, "events"), (9, "dead_letters")] {
        let bench = Bench::new().await;
        let dead = bench.config.topology().dead_queue();
        bench.publish(&clicks(3)).await;
        bench.die().await;
        bench.come_back(&dead, returns).await;
        let kept = format!("SELECT count(*) = 3 FROM {table}");
        let end = bench.work_on(&dead, unheard(&bench), &kept).await;
        assert!(matches!(end, End::Stopped), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_neither_database_nor_broker_takes_holds_nothing_up_and_is_not_lost() {
    let bench = Bench::new().await;
    bench.sql(
        "CREATE SEQUENCE tries; CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM nextval('tries'); RAISE 'no space'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON dead_letters EXECUTE FUNCTION refuse()",
    );
    let dead = bench.config.topology().dead_queue();
    let stuck = bench.given_up(9).await;
    let later = async {
        // No rollback takes a sequence back: the first one has been met, and refused for good.
        let refused = format!("SELECT is_called AND last_value >= {QUICK_TRIES} FROM tries");
        let met = async {
            while bench.sql(&refused) != "t" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, met).await.unwrap();
        bench.publish(&[click()]).await;
        bench.die().await;
    };
    let work = bench.work_on(&dead, unheard(&bench), STORED);
    let ((), end) = tokio::join!(later, work);
    assert!(matches!(end, End::Stopped), "{end:?}");
    assert_eq!(bench.sql(LETTERS), "0");
    let (_session, mut dead) = bench.subscribe(&dead).await;
    let back = next(&mut dead).await;
    let events = adtally_wire::pack::decode(&back.body).unwrap();
    assert_eq!(events, [Ok(stuck)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_cannot_be_put_off_hold_nothing_up_and_come_again() {
    let bench = Bench::new().await;
    let clicks = bench.config.topology().clicks_queue();
    let yesterday = click().id.time().saturating_add_millis(-86_400_000);
    let locked = Event {
        id: EventId::v7(yesterday, [8; 10]),
        ..click()
    };
    let lock = bench.lock_on_day_of(&locked);
    bench.publish(std::slice::from_ref(&locked)).await;
    bench.publish(&[click()]).await;
    let work = bench.work_on(&clicks, unheard(&bench), STORED);
    let end = bench.while_held(&lock, work);
    assert!(matches!(end, End::Stopped), "{end:?}");
    let (_session, mut clicks) = bench.subscribe(&clicks).await;
    let back = next(&mut clicks).await;
    let events = adtally_wire::pack::decode(&back.body).unwrap();
    assert_eq!(events, [Ok(locked)]);
}
