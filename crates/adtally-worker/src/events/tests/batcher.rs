//! When a batch is due.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn only_a_small_batch_that_follows_another_waits() {
    let servers = TestServers::new().await;
    let clicks = servers.broker.topology().clicks_queue();
    let (_session, mut clicks) = servers.subscribe(&clicks).await;
    let later = Duration::from_secs(1);
    let much = 1 << 20;
    for (role, bytes, waits) in [
        (QueueRole::Live, much, true),
        (QueueRole::DeadLetter, much, false),
        (QueueRole::Live, 1, false),
    ] {
        let limits = BatchLimits::of_bytes(bytes);
        let mut batcher = Batcher::new(limits, role, BatchPool::default());
        let now = Instant::now();
        assert!(!batcher.is_due(now), "nothing is there");
        for waits in [false, waits] {
            servers.publish(&[click()]).await;
            batcher.add(next(&mut clicks).await).unwrap();
            assert_eq!(batcher.is_due(now), !waits);
            assert!(batcher.is_due(now + later));
            ack_all(batcher.take(now).deliveries).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_messages_do_not_wait() {
    let servers = TestServers::new().await;
    let clicks = servers.broker.topology().clicks_queue();
    let session = ConsumerSession::connect(&servers.broker).await.unwrap();
    let mut clicks = session.subscribe(&clicks, 100).await.unwrap();
    let limits = BatchLimits::of_bytes(1 << 20);
    let mut batcher = Batcher::new(limits, QueueRole::Live, BatchPool::default());
    let now = Instant::now();
    for number in 0..=MANY {
        servers.publish(&[click()]).await;
        batcher.add(next(&mut clicks).await).unwrap();
        if number == 0 {
            batcher.take(now);
            continue;
        }
        assert_eq!(batcher.is_due(now), number == MANY);
    }
}
