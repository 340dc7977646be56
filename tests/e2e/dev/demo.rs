//! `adtally dev --demo`: what a newcomer sees first.

use adtally_devstack::Signal;
use adtally_tests::{until, until_within};

use super::data_dir;
use super::running::{Dev, SERVERS};

#[test]
fn the_demonstration_ends_with_both_tables_a_clean_audit_and_live_traffic() {
    let (_temp, dir) = data_dir();
    let dev = Dev::start(&dir, &["--demo", "--timezone", "Asia/Tehran"]);
    let shown = until_within(SERVERS, "the demonstration is over", || {
        let said = dev.output();
        said.contains("live traffic goes on").then_some(said)
    });
    let lines = |part: &str| shown.lines().filter(|line| line.contains(part)).count();
    assert!(lines(":00 +03:30  ") >= 24, "an hour is missing: {shown}");
    assert_eq!(lines("totals per hour (Asia/Tehran)"), 1, "{shown}");
    assert_eq!(lines("totals per day (Asia/Tehran)"), 1, "{shown}");
    assert_eq!(
        lines("every total is what its events add up to"),
        1,
        "{shown}"
    );
    assert!(!shown.contains("pending"), "{shown}");

    let before = dev.impressions(1).unwrap();
    until("live traffic is stored", || {
        (dev.impressions(1).unwrap() > before).then_some(())
    });
    assert_eq!(dev.stop(Signal::INT).code(), Some(0));
}
