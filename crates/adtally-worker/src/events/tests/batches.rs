//! What is in a batch.

use adtally_domain::DeadLetterReason;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn only_what_may_be_sent_again_keeps_its_body() {
    let servers = TestServers::new().await;
    let clicks = servers.broker.topology().clicks_queue();
    let (_session, mut clicks) = servers.subscribe(&clicks).await;
    for _ in 0..3 {
        servers.publish(&[click()]).await;
    }
    let (first, mut newer) = (next(&mut clicks).await, next(&mut clicks).await);
    let alone = next(&mut clicks).await;
    newer.body = br#"{"v": 3, "rows": []}"#.to_vec();
    let (sent_newer, sent_alone) = (newer.body.clone(), alone.body.clone());

    let (pool, mut builder) = (BatchPool::default(), BatchBuilder::default());
    builder.add(first).unwrap();
    assert_eq!(builder.add(newer).unwrap_err().delivery.body, sent_newer);
    let batch = builder.take(&pool);
    assert_eq!(batch.content.len(), 1);
    assert!(batch.deliveries[0].body.is_empty());

    let batch = Batch::alone(alone, &pool).unwrap();
    assert_eq!(batch.content.len(), 1);
    assert_eq!(batch.deliveries[0].body, sent_alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_pack_that_breaks_off_no_event_is_stored() {
    let servers = TestServers::new().await;
    let clicks = servers.broker.topology().clicks_queue();
    let (_session, mut clicks) = servers.subscribe(&clicks).await;
    let mut builder = BatchBuilder::default();
    for is_cut in [false, true, false] {
        servers.publish(&[click()]).await;
        let mut delivery = next(&mut clicks).await;
        if is_cut {
            // All of its event is there, and nothing after it.
            delivery.body.truncate(delivery.body.len() - "]}".len());
        }
        builder.add(delivery).unwrap();
    }
    let batch = builder.take(&BatchPool::default());
    assert_eq!(batch.content.len(), 2);
    let letters = &batch.content.dead_letters;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, DeadLetterReason::NotAPack);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_entry_has_a_letter_of_its_own_that_says_where_it_came_from() {
    let servers = TestServers::new().await;
    let clicks = servers.broker.topology().clicks_queue();
    let (_session, mut clicks) = servers.subscribe(&clicks).await;
    servers.publish(&[click()]).await;
    let mut delivery = next(&mut clicks).await;
    delivery.body = br#"{"v": 1, "events": [7, {"ad_id": 3}]}"#.to_vec();
    let whole = letter_of_message(&delivery, DeadLetterReason::NotAPack, "");
    let batch = Batch::alone(delivery, &BatchPool::default()).unwrap();
    let letters = &batch.content.dead_letters;
    let bodies: Vec<_> = letters.iter().map(|letter| &letter.body[..]).collect();
    assert_eq!(bodies, [&b"7"[..], br#"{"ad_id": 3}"#]);
    assert_eq!(letters[0].id, whole.id, "the first may have been put back");
    assert_ne!(letters[1].id, whole.id);
    assert_eq!(letters[1].ad_id, AdId::new(3));
    for letter in letters {
        assert_eq!(
            (&letter.source, &letter.headers),
            (&whole.source, &whole.headers)
        );
        assert_eq!(letter.reason, DeadLetterReason::InvalidEvent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_handled_alone_use_one_batch_again_and_again() {
    let servers = TestServers::new().await;
    let clicks = servers.broker.topology().clicks_queue();
    let (_session, mut clicks) = servers.subscribe(&clicks).await;
    let pool = BatchPool::default();
    for newer in [false, true, false] {
        servers.publish(&[click()]).await;
        let mut delivery = next(&mut clicks).await;
        if newer {
            delivery.body = br#"{"v": 3, "rows": []}"#.to_vec();
        }
        if let Ok(batch) = Batch::alone(delivery, &pool) {
            assert_eq!(batch.content.len(), 1);
            pool.put(batch.content);
        }
        assert_eq!(pool.count(), 1);
    }
}
