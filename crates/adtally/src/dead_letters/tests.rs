//! The commands on a real database and a real broker.

use adtally_devstack::testing::{TestDatabase, TestStack};
use adtally_domain::{DeadLetterReason, EventKind};
use adtally_service::{Failure, Shutdown};
use adtally_store::{DeadLetterState, NewDeadLetter};
use clap::{Args, FromArgMatches};
use serde_json::Value;

use super::*;
use crate::database::tests::{event, migrated, store};

/// A migrated database with three letters: two that are too old, of ads 1 and 2, and an invalid one
/// of ad 2.
async fn with_letters() -> (TestDatabase<'static>, Vec<NewDeadLetter>) {
    let database = TestStack::shared().database("dead letters");
    migrated(&database, "").await.unwrap();
    let letters: Vec<_> = [
        (1, DeadLetterReason::TooOld),
        (2, DeadLetterReason::TooOld),
        (2, DeadLetterReason::InvalidEvent),
    ]
    .into_iter()
    .zip(1..)
    .map(|((ad, reason), number)| {
        let event = event(0, ad, EventKind::Click, number);
        NewDeadLetter::of_event(&event, reason, "why\u{1b}[2J")
    })
    .collect();
    let kept = store(&database).insert_dead_letters(letters.clone()).await;
    assert_eq!(kept.unwrap(), 3);
    (database, letters)
}

/// The output of a command and how it ended.
async fn ran(words: &str, more: &[&str]) -> (String, anyhow::Result<()>) {
    let command = DeadLettersArgs::augment_args(clap::Command::new("test"));
    let words = ["test"].into_iter().chain(words.split_whitespace());
    let matches = command.get_matches_from(words.chain(more.iter().copied()));
    let args = DeadLettersArgs::from_arg_matches(&matches).unwrap();
    let mut out = Vec::new();
    let result = run(&args, &Shutdown::manual(), &mut out).await;
    (String::from_utf8(out).unwrap(), result)
}

async fn states(database: &TestDatabase<'_>, letters: &[NewDeadLetter]) -> Vec<DeadLetterState> {
    let store = store(database);
    let mut states = Vec::new();
    for letter in letters {
        states.push(store.dead_letter(letter.id).await.unwrap().unwrap().state);
    }
    states
}

#[actix_web::test]
async fn letters_are_listed_with_their_totals_and_shown_whole() {
    let (database, letters) = with_letters().await;
    let url = ["--database-url", database.url()];
    let (text, result) = ran("list --reason too_old --limit 1", &url).await;
    result.unwrap();
    assert!(
        text.contains("there are more") && !text.contains("invalid_event"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let (json, result) = ran("list --json --ad 2 --state new --from 2026-01-01", &url).await;
    result.unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["data"].as_array().unwrap().len(), 2, "{json}");
    assert_eq!(json["counts"].as_array().unwrap().len(), 2, "{json}");
    let (text, result) = ran("list --to 2026-01-01", &url).await;
    result.unwrap();
    assert_eq!(text, "no dead letters\n");

    let id = letters[0].id.to_string();
    let (text, result) = ran("show", &[&[id.as_str()][..], &url].concat()).await;
    result.unwrap();
    assert!(
        text.contains("why\\u{1b}[2J") && !text.contains('\u{1b}'),
        "{text:?}"
    );
    assert!(text.contains("\"kind\": \"click\""), "{text}");
    let (json, _) = ran("show --json", &[&[id.as_str()][..], &url].concat()).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["id"], id);
    let nobody = uuid::Uuid::nil().to_string();
    let (_, result) = ran("show", &[&[nobody.as_str()][..], &url].concat()).await;
    assert!(result.unwrap_err().to_string().contains(&nobody));
}

#[actix_web::test]
async fn a_requeue_that_is_repeated_sends_nothing_and_says_so() {
    let (database, letters) = with_letters().await;
    let stack = TestStack::shared();
    let (amqp, prefix) = (stack.amqp_url(), stack.queue_prefix("cli"));
    let servers = [
        "--database-url",
        database.url(),
        "--amqp-url",
        &amqp,
        "--prefix",
        &prefix,
    ];
    let (text, result) = ran("requeue --all --reason too_old", &servers).await;
    result.unwrap();
    assert_eq!(text, "requeued 2 dead letters\n");
    use DeadLetterState::{New, Requeued};
    assert_eq!(states(&database, &letters).await, [Requeued, Requeued, New]);

    let ids: Vec<String> = letters.iter().map(|letter| letter.id.to_string()).collect();
    let nobody = uuid::Uuid::nil().to_string();
    let ids: Vec<&str> = ids
        .iter()
        .map(String::as_str)
        .chain([nobody.as_str()])
        .collect();
    let (text, result) = ran("requeue", &[&ids[..], &servers].concat()).await;
    let expected = format!(
        "requeued 1 dead letter\n\
         already requeued: 2 dead letters; --again sends them once more\n\
         failed: 1 dead letter\n  {nobody}: there is no such dead letter\n"
    );
    assert_eq!(text, expected);
    let error = result.unwrap_err();
    assert!(error.downcast_ref::<Failure>().is_none());
    assert_eq!(error.to_string(), "1 dead letter stayed as before");
    let (text, result) = ran("requeue --again --all --state requeued", &servers).await;
    result.unwrap();
    assert_eq!(text, "requeued 3 dead letters\n");
}

#[actix_web::test]
async fn a_discarded_letter_stays_discarded() {
    let (database, letters) = with_letters().await;
    let url = ["--database-url", database.url()];
    for expected in ["discarded 1 dead letter\n", "discarded 0 dead letters\n"] {
        let (text, result) = ran("discard --all --ad 1", &url).await;
        result.unwrap();
        assert_eq!(text, expected);
    }
    let id = letters[0].id.to_string();
    let (text, result) = ran("discard", &[&[id.as_str()][..], &url].concat()).await;
    result.unwrap();
    assert_eq!(
        text,
        "discarded 0 dead letters\nalready discarded: 1 dead letter\n"
    );
    let (text, result) = ran("discard --all --yes", &url).await;
    result.unwrap();
    assert_eq!(text, "discarded 2 dead letters\n");
    assert_eq!(
        states(&database, &letters).await,
        [DeadLetterState::Discarded; 3]
    );
}

#[actix_web::test]
async fn what_is_meant_must_be_said() {
    let (database, letters) = with_letters().await;
    let servers = [
        "--database-url",
        database.url(),
        "--amqp-url",
        "amqp://127.0.0.1:1",
    ];
    let id = letters[0].id.to_string();
    for words in ["requeue --all", &format!("requeue {id} --reason too_old")] {
        let (_, result) = ran(words, &servers).await;
        let error = result.unwrap_err();
        assert_eq!(
            error.downcast_ref::<Failure>().unwrap().kind.code(),
            2,
            "{error}"
        );
    }
    let (_, result) = ran("list --from yesterday", &servers[..2]).await;
    let error = result.unwrap_err();
    assert_eq!(
        error.downcast_ref::<Failure>().unwrap().kind.code(),
        2,
        "{error}"
    );
    let (_, result) = ran("requeue --all --yes", &servers).await;
    let error = result.unwrap_err();
    assert_eq!(
        error.downcast_ref::<Failure>().unwrap().kind.code(),
        69,
        "{error}"
    );
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert_eq!(states(&database, &letters).await, [DeadLetterState::New; 3]);
}
