//! The everyday life of a spool.

use super::*;

#[tokio::test]
async fn what_was_kept_comes_out_in_order_also_in_the_next_process() {
    let directory = TempDir::new().unwrap();
    let disk = TestDisk::default();
    let first = opened(&directory, 1 << 30, &disk);
    for n in 0..10 {
        let kept = first.append(&events(n * 300..n * 300 + 300)).await;
        assert_eq!(kept, Ok(()));
    }
    assert_eq!(first.ledger().metrics.events.get(), 3_000);
    first.close().await;
    assert_eq!(first.append(&events(0..1)).await, Err(NotSpooled::Refused));
    drop(first);
    let second = opened(&directory, 1 << 30, &disk);
    assert_eq!(second.ledger().metrics.events.get(), 3_000);
    let drained = drained(&second);
    for kind in EventKind::ALL {
        let of_kind = |events: &[Event]| -> Vec<_> {
            let events = events.iter().filter(|event| event.kind == kind);
            events.cloned().collect()
        };
        assert_eq!(of_kind(&drained), of_kind(&events(0..3_000)));
    }
    assert_eq!(second.ledger().metrics.events.get(), 0);
    assert_eq!(second.ledger().metrics.bytes.get(), 0);
    assert_eq!(segments(&directory), [""; 0].map(std::path::PathBuf::from));
}

#[tokio::test]
async fn confirmed_events_are_not_sent_again_by_the_next_process() {
    let directory = TempDir::new().unwrap();
    let spool = opened(&directory, 1 << 30, &TestDisk::default());
    for n in 0..5 {
        spool.append(&events(n..n + 1)).await.unwrap();
    }
    let mut reader = lock(&spool.0.reader).take().unwrap();
    reader.batch_events = 2;
    let batch = reader.next().unwrap().unwrap();
    assert_eq!(batch.events, events(0..2));
    reader.confirm(&batch);
    drop(reader);
    spool.close().await;
    drop(spool);
    let next = opened(&directory, 1 << 30, &TestDisk::default());
    assert_eq!(next.ledger().metrics.events.get(), 3);
    assert_eq!(drained(&next), events(2..5));
}

#[tokio::test]
async fn a_full_spool_refuses_says_so_and_has_room_again_once_it_is_replayed() {
    let directory = TempDir::new().unwrap();
    let spool = opened(&directory, 20_000, &TestDisk::default());
    assert_eq!(spool.unavailable_because(), None);
    let mut kept = 0;
    while spool.append(&events(kept..kept + 1)).await.is_ok() {
        kept += 1;
    }
    assert!(kept > 50, "{kept}");
    let bytes: u64 = segments(&directory)
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!(bytes <= 20_000, "{bytes}");
    assert_eq!(spool.ledger().metrics.bytes.get(), bytes as i64);
    let reason = spool.unavailable_because().unwrap();
    assert!(reason.contains("is full"), "{reason}");
    assert_eq!(drained(&spool), events(0..kept));
    assert_eq!(spool.unavailable_because(), None);
    assert_eq!(spool.append(&events(0..1)).await, Ok(()));
}

#[tokio::test]
async fn the_age_is_that_of_the_oldest_event() {
    let directory = TempDir::new().unwrap();
    let spool = opened(&directory, 1 << 30, &TestDisk::default());
    let ledger = spool.ledger();
    ledger.update_age(NOW + 90_000);
    assert_eq!(ledger.metrics.oldest_age.get(), 0);
    spool.append(&events(0..1)).await.unwrap();
    ledger.update_age(NOW + 90_000);
    assert_eq!(ledger.metrics.oldest_age.get(), 90);
    ledger.update_age(NOW - 90_000);
    assert_eq!(ledger.metrics.oldest_age.get(), 0);
    drained(&spool);
    ledger.update_age(NOW + 90_000);
    assert_eq!(ledger.metrics.oldest_age.get(), 0);
}

#[tokio::test]
async fn requests_that_wait_together_share_a_sync() {
    let directory = TempDir::new().unwrap();
    let disk = TestDisk::default();
    let spool = opened(&directory, 1 << 30, &disk);
    disk.0.hangs.store(true, Ordering::SeqCst);
    let requests: Vec<_> = (0..50)
        .map(|n| {
            let spool = spool.clone();
            tokio::spawn(async move { spool.append(&[event(n)]).await })
        })
        .collect();
    // All have been let in once the account knows of all their bytes.
    while spool.ledger().pending_bytes() < 50 * 150 {
        tokio::task::yield_now().await;
    }
    disk.0.hangs.store(false, Ordering::SeqCst);
    for request in requests {
        assert_eq!(request.await.unwrap(), Ok(()));
    }
    let syncs = disk.0.syncs.load(Ordering::SeqCst);
    assert!(syncs <= 2, "{syncs}");
    assert_eq!(drained(&spool).len(), 50);
}

#[tokio::test]
async fn a_directory_belongs_to_one_process_at_a_time() {
    let directory = TempDir::new().unwrap();
    let options = options(directory.path(), 1 << 30);
    let first = Spool::open(&options, &Registry::new(), now).unwrap();
    let second = Spool::open(&options, &Registry::new(), now).unwrap_err();
    assert_eq!(second.kind, adtally_service::ExitKind::Configuration);
    assert!(second.message.contains("another process"), "{second}");
    first.close().await;
    drop(first);
    once_unlocked(|| Spool::open(&options, &Registry::new(), now));
}

#[test]
fn a_directory_that_cannot_be_used_is_told() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below"), "/proc/spool".into()] {
        let failure = Spool::open(&options(&path, 1 << 30), &Registry::new(), now).unwrap_err();
        assert_eq!(failure.kind, adtally_service::ExitKind::Configuration);
        let expected = format!("--spool-dir {} cannot be used: ", path.display());
        assert!(failure.message.starts_with(&expected), "{failure}");
    }
}

#[test]
fn a_missing_directory_is_made_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a").join("b");
    Spool::open(&options(&path, 1 << 30), &Registry::new(), now).unwrap();
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
