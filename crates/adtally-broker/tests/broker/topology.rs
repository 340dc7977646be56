use adtally_broker::{
    BrokerConfig, BrokerError, BrokerState, ConsumerSession, Publisher, PublisherOptions,
};
use adtally_devstack::testing::TestStack;
use adtally_domain::EventKind;
use futures_util::future::join_all;
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;

fn table(arguments: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_made_at_the_first_connect_and_found_at_the_next() {
    let config = config("made");
    let prefix = config.topology().prefix().to_owned();
    ConsumerSession::connect(&config).await.unwrap();

    // Declaring an object anew succeeds only with the arguments it was made with.
    let channel = operator().await;
    let dead = format!("{prefix}.dead");
    let unrouted = format!("{prefix}.unrouted");
    let alternate = table(&[("alternate-exchange", text(&unrouted))]);
    let exchanges = [
        ("events", ExchangeKind::Topic, alternate.clone()),
        ("tasks", ExchangeKind::Topic, alternate),
        ("dead", ExchangeKind::Fanout, FieldTable::default()),
        ("unrouted", ExchangeKind::Fanout, FieldTable::default()),
    ];
    for (name, kind, arguments) in exchanges {
        let name = format!("{prefix}.{name}");
        let options = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .exchange_declare(name.into(), kind, options, arguments)
            .await
            .unwrap();
    }
    let last = table(&[
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(1_000_000_000)),
    ]);
    let working = table(&[
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(50)),
        ("x-dead-letter-exchange", text(&dead)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]);
    for (name, arguments) in [
        ("impressions", working.clone()),
        ("clicks", working.clone()),
        ("tasks", working),
        ("dead", last.clone()),
        ("unrouted", last),
    ] {
        let name = format!("{prefix}.{name}");
        let options = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .queue_declare(name.into(), options, arguments)
            .await
            .unwrap();
    }

    let again = config_at(&TestStack::shared().amqp_url(), &prefix);
    ConsumerSession::connect(&again).await.unwrap();
    assert_eq!(warnings_with(&prefix), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_used_as_it_is_with_one_warning() {
    let config = config("different");
    let queue = config.topology().impressions_queue();
    let options = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let channel = operator().await;
    channel
        .queue_declare(queue.as_str().into(), options, FieldTable::default())
        .await
        .unwrap();

    let publisher = publisher(&config).await;
    ConsumerSession::connect(&config).await.unwrap();
    ConsumerSession::connect(&config).await.unwrap();
    let sent = events(EventKind::Impression, 1, 3);
    assert_eq!(publisher.publish_events(sent.clone()).await, [Ok(()); 3]);
    assert_eq!(drain(&config, &queue).await, ids(&sent));
    let warnings = warnings_with(&queue);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("using it as it is"), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_binding_is_healed_at_the_next_connect() {
    let config = config("unbound");
    ConsumerSession::connect(&config).await.unwrap();
    let topology = config.topology();
    let (queue, exchange) = (topology.clicks_queue(), topology.events_exchange());
    let unbind = operator().await;
    unbind
        .queue_unbind(
            queue.as_str().into(),
            exchange.into(),
            "event.click".into(),
            FieldTable::default(),
        )
        .await
        .unwrap();

    let publisher = publisher(&config).await;
    let sent = events(EventKind::Click, 1, 2);
    assert_eq!(publisher.publish_events(sent.clone()).await, [Ok(()); 2]);
    assert_eq!(drain(&config, &queue).await, ids(&sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_hosts_are_named_without_the_password() {
    let good = TestStack::shared().amqp_url();
    let with = |change: fn(&mut url::Url)| {
        let mut url = url::Url::parse(&good).unwrap();
        change(&mut url);
        BrokerConfig::new(&[url.as_str()], "t-refused", "test").unwrap()
    };
    let wrong_password = with(|url| url.set_password(Some("hunter2")).unwrap());
    let error = ConsumerSession::connect(&wrong_password).await.unwrap_err();
    assert!(matches!(error, BrokerError::LoginRefused { .. }), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");

    let error = ConsumerSession::connect(&with(|url| url.set_path("/nowhere")))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, BrokerError::VhostRefused { vhost, .. } if vhost == "nowhere"),
        "{error}"
    );

    let error = ConsumerSession::connect(&with(|url| url.set_port(Some(1)).unwrap()))
        .await
        .unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable { .. }), "{error}");

    let publisher = Publisher::start(wrong_password, PublisherOptions::default());
    let refused = |state: &BrokerState| state.to_string().contains("refused user");
    until_state(&publisher, refused).await;
    publisher.close().await;
    assert_eq!(warnings_with("hunter2"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_broker_is_told_in_its_own_words() {
    let stack = TestStack::shared();
    let server = stack.rabbitmq();
    let (user, _) = server.credentials();
    for (vhost, limit, words) in [
        (
            "t-no-connections",
            r#"{"max-connections": 0}"#,
            "connection limit (0)",
        ),
        ("t-few-queues", r#"{"max-queues": 3}"#, "queue limit"),
    ] {
        for command in [
            &["add_vhost", vhost][..],
            &["set_permissions", "-p", vhost, user, ".*", ".*", ".*"],
            &["set_vhost_limits", "-p", vhost, limit],
        ] {
            server.ctl(command).await.unwrap();
        }
        let url = stack.amqp_url().replace("%2f", vhost);
        let config = BrokerConfig::new(&[url.as_str()], "t-limits", "test").unwrap();
        let error = ConsumerSession::connect(&config).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_in_another_language_is_told_as_such() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            // What is closed before it was read ends in a reset, and the answer may go with it.
            let mut header = [0; 8];
            let _ = client.read_exact(&mut header).await;
            // An alert of TLS, as a TLS port answers what is no handshake (RFC 8446, 6).
            let _ = client.write_all(&[21, 3, 1, 0, 2, 2, 40]).await;
        }
    });
    let url = format!("amqp://guest:guest@{address}/%2f");
    let config = BrokerConfig::new(&[url.as_str()], "t-language", "test").unwrap();
    let error = ConsumerSession::connect(&config).await.unwrap_err();
    assert!(error.to_string().contains("amqps://"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_the_right_to_configure_uses_what_is_there_and_is_told_what_is_missing() {
    let stack = TestStack::shared();
    let server = stack.rabbitmq();
    let config = config("limited");
    let prefix = config.topology().prefix();
    server.ctl(&["add_user", prefix, "secret"]).await.unwrap();
    server
        .ctl(&["set_permissions", prefix, "^$", &format!("^{prefix}"), ".*"])
        .await
        .unwrap();
    let mut url = url::Url::parse(&stack.amqp_url()).unwrap();
    url.set_username(prefix).unwrap();
    url.set_password(Some("secret")).unwrap();
    let limited = config_at(url.as_str(), prefix);

    let error = ConsumerSession::connect(&limited).await.unwrap_err();
    let is_named =
        matches!(&error, BrokerError::NotPermitted { object, .. } if object.contains(prefix));
    assert!(is_named, "{error}");

    ConsumerSession::connect(&config).await.unwrap();
    let publisher = publisher(&limited).await;
    let sent = events(EventKind::Click, 1, 2);
    assert_eq!(publisher.publish_events(sent.clone()).await, [Ok(()); 2]);
    // Nor may it publish to the default exchange, as an idle publisher tries once.
    until_state(&publisher, |state| {
        state.to_string().contains("amq.default")
    })
    .await;
    until_open(&publisher).await;
    let more = events(EventKind::Click, 2, 2);
    assert_eq!(publisher.publish_events(more.clone()).await, [Ok(()); 2]);
    assert_eq!(
        drain(&limited, &config.topology().clicks_queue()).await,
        ids(&[sent, more].concat())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_do_not_hinder_each_other() {
    let stack = TestStack::shared();
    let prefix = stack.queue_prefix("together");
    let sessions = (0..6).map(|_| {
        let config = config_at(&stack.amqp_url(), &prefix);
        tokio::spawn(async move { ConsumerSession::connect(&config).await })
    });
    for session in join_all(sessions).await {
        session.unwrap().unwrap();
    }
    assert_eq!(warnings_with(&prefix), Vec::<String>::new());
}
