use adtally_domain::Timestamp;

use super::*;

fn id(number: u8) -> EventId {
    EventId::v7(Timestamp::EPOCH, [number; 10])
}

fn verification(entries: &[(Fate, &[u8])], stored: &[u8], dead: &[u8]) -> Verification {
    let found = FoundEvents {
        stored: stored.iter().copied().map(id).collect(),
        dead_letters: dead.iter().copied().map(id).collect(),
    };
    let mut verification = Verification::default();
    for (fate, numbers) in entries {
        let ids: Vec<_> = numbers.iter().copied().map(id).collect();
        verification.enter(*fate, &ids, &found);
    }
    verification
}

#[test]
fn what_was_promised_and_is_there_holds() {
    let entries: [(Fate, &[u8]); 4] = [
        (Fate::Accepted, &[1, 2]),
        (Fate::Rejected, &[3]),
        (Fate::Refused, &[4]),
        (Fate::Unknown, &[5]),
    ];
    let verification = verification(&entries, &[1, 4], &[2]);
    assert!(verification.holds());
    assert_eq!(verification.accepted_stored, 1);
    assert_eq!(verification.accepted_dead_letters, 1);
    assert_eq!(verification.uncertain_stored, 1);
}

#[test]
fn an_accepted_event_that_is_nowhere_is_named() {
    let verification = verification(&[(Fate::Accepted, &[1, 2])], &[1], &[]);
    assert!(!verification.holds());
    let mut out = Vec::new();
    verification.write(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(&id(2).to_string()), "{text}");
    assert!(!text.contains("verified"), "{text}");
}

#[test]
fn a_rejected_event_that_is_kept_is_an_offence() {
    for (stored, dead) in [(vec![1], vec![]), (vec![], vec![1])] {
        let verification = verification(&[(Fate::Rejected, &[1])], &stored, &dead);
        assert_eq!(verification.rejected_but_kept, [id(1)]);
    }
}

#[test]
fn an_event_stored_twice_is_an_offence_whatever_its_answer() {
    for fate in [Fate::Accepted, Fate::Unknown] {
        let verification = verification(&[(fate, &[1])], &[1, 1], &[]);
        assert_eq!(verification.stored_twice, [id(1)]);
        assert!(!verification.holds());
    }
}

#[test]
fn only_the_first_twenty_offenders_are_listed() {
    let numbers: Vec<u8> = (0..50).collect();
    let verification = verification(&[(Fate::Accepted, &numbers)], &[], &[]);
    let mut out = Vec::new();
    verification.write(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("accepted but missing: 50 events"), "{text}");
    assert!(text.contains("and 30 more"), "{text}");
    assert_eq!(text.matches("1970-01-01").count(), 20);
}
