//! `adtally load --verify`: a check that holds, and one that can fail.

use adtally_tests::System;

/// Sends 1,000 events, verified.
fn verified(name: &str, more: &[&str]) {
    let (system, _worker) = System::with_worker(name);
    let load = ["load", "--rate", "200", "--duration", "5s", "--verify"];
    let (code, out, err) = system.adtally(&[&load[..], more].concat());
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("1,000 accepted"), "{out}");
    assert!(out.contains("1,000 are stored"), "{out}");
    assert!(out.contains("verified"), "{out}");
    assert_eq!(system.count("SELECT count(*) FROM events"), 1_000);
}

#[test]
fn every_event_of_a_load_is_verified() {
    verified("load", &[]);
}

#[test]
fn every_event_of_a_load_in_batches_some_sent_twice_is_verified() {
    verified("load-batches", &["--batch", "10", "--repeat-share", "0.3"]);
}

/// The database loses one impression and says nothing.
const LOSS: &str = "
    CREATE TABLE lost (event_id uuid);
    CREATE FUNCTION lose_one() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT EXISTS (SELECT FROM lost) THEN
            INSERT INTO lost VALUES (NEW.event_id);
            RETURN NULL;
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER lose_one BEFORE INSERT ON events
        FOR EACH ROW WHEN (NEW.ad_id = 1 AND NEW.kind = 0) EXECUTE FUNCTION lose_one();";

#[test]
fn a_load_whose_event_the_database_loses_fails_and_names_it() {
    let (system, _worker) = System::with_worker("load-loss");
    system.sql(LOSS);
    let (code, out, err) = system.adtally(&[
        "load",
        "--rate",
        "100",
        "--duration",
        "2s",
        "--ads",
        "20",
        "--verify",
        "--verify-timeout",
        "5s",
    ]);
    assert_eq!(code, 1, "{out}{err}");
    let lost = system.sql("SELECT event_id FROM lost");
    assert_eq!(lost.lines().count(), 1, "{lost}");
    assert!(out.contains("accepted but missing: 1 event"), "{out}");
    assert!(out.contains(&lost), "{lost} is not in {out}");
    assert_eq!(err.lines().count(), 1, "{err}");
}
