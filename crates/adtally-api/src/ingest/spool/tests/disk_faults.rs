//! A disk that fails under a running spool.

use super::*;

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn after_a_failed_sync_the_file_is_given_up_and_earlier_events_are_safe() {
    let directory = TempDir::new().unwrap();
    let disk = TestDisk::default();
    let spool = opened(&directory, 1 << 30, &disk);
    spool.append(&events(0..1)).await.unwrap();
    disk.0.fails_sync.store(true, Ordering::SeqCst);
    disk.0.fails_reserve.store(true, Ordering::SeqCst);
    assert_eq!(spool.append(&events(1..2)).await, Err(NotSpooled::Unsure));
    let syncs = disk.0.syncs.load(Ordering::SeqCst);
    let reason = spool.unavailable_because().unwrap();
    assert!(reason.contains("cannot be written"), "{reason}");
    assert_eq!(spool.append(&events(2..3)).await, Err(NotSpooled::Refused));
    assert_eq!(disk.0.syncs.load(Ordering::SeqCst), syncs, "never again");
    disk.0.fails_sync.store(false, Ordering::SeqCst);
    disk.0.fails_reserve.store(false, Ordering::SeqCst);
    until("the disk is tried again", || {
        spool.unavailable_because().is_none()
    })
    .await;
    assert_eq!(spool.append(&events(3..4)).await, Ok(()));
    assert_eq!(segments(&directory).len(), 2);
    let expected: Vec<_> = [0, 3].map(event).into();
    assert_eq!(drained(&spool), expected);
    assert!(segments(&directory).is_empty());
}

#[tokio::test]
async fn a_disk_that_fills_up_in_the_middle_of_a_record_costs_only_that() {
    let directory = TempDir::new().unwrap();
    let disk = TestDisk::default();
    let spool = opened(&directory, 1 << 30, &disk);
    spool.append(&events(0..1)).await.unwrap();
    disk.0.fails_append.store(true, Ordering::SeqCst);
    assert_eq!(spool.append(&events(1..2)).await, Err(NotSpooled::Unsure));
    disk.0.fails_append.store(false, Ordering::SeqCst);
    until("the disk is tried again", || {
        spool.unavailable_because().is_none()
    })
    .await;
    spool.append(&events(2..3)).await.unwrap();
    spool.close().await;
    drop(spool);
    let next = opened(&directory, 1 << 30, &disk);
    let expected: Vec<_> = [0, 2].map(event).into();
    assert_eq!(drained(&next), expected);
    assert_eq!(next.ledger().metrics.corrupt.get(), 0);
}

#[tokio::test]
async fn a_disk_that_hangs_does_not_hang_the_request() {
    let directory = TempDir::new().unwrap();
    let disk = TestDisk::default();
    let spool = opened(&directory, 1 << 30, &disk);
    disk.0.hangs.store(true, Ordering::SeqCst);
    assert_eq!(spool.append(&events(0..1)).await, Err(NotSpooled::Unsure));
    disk.0.hangs.store(false, Ordering::SeqCst);
}
