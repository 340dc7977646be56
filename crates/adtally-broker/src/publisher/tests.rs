//! The rules by which what waits becomes messages. No broker is needed to check them.

use adtally_domain::{AdId, EventId, Timestamp};
use adtally_wire::pack;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::handover::Answer;
use super::inbox::Inbox;
use super::lanes::Lanes;
use super::*;

#[test]
fn a_frame_has_room_for_what_is_around_the_events_of_a_full_pack() {
    // RabbitMQ's own `frame_max`, of which a frame's type, channel, length and end take eight bytes (AMQP
    // 0-9-1, section 2.3.5).
    let frame = 131_072 - 8;
    for kind in EventKind::ALL {
        let around = pack::encode(kind, &[]).len();
        assert!(around + PublisherOptions::default().pack_bytes <= frame);
    }
}

struct Bench {
    config: BrokerConfig,
    options: PublisherOptions,
    handover: Handover,
    lanes: Lanes,
    flying: Vec<Shipment>,
    now: Instant,
    _inbox: Inbox,
}

impl Bench {
    fn new() -> Self {
        let (outbox, _inbox) = inbox(Arc::default());
        let (_, ended) = oneshot::channel();
        Self {
            config: BrokerConfig::new(&["amqp://h"], "t", "test").unwrap(),
            options: PublisherOptions {
                pack_events: 10,
                ..PublisherOptions::default()
            },
            handover: Handover::new(outbox, 1 << 20, watch::channel(false).0, ended),
            lanes: Lanes::default(),
            flying: Vec::new(),
            now: Instant::now(),
            _inbox,
        }
    }

    /// Hands over `count` events as one request; the caller's end of it.
    async fn request(&mut self, kind: EventKind, count: u8) -> Vec<Answer> {
        let (commands, answers) = self.commands(kind, count).await;
        commands
            .into_iter()
            .for_each(|command| self.lanes.add(command));
        answers
    }

    async fn commands(&self, kind: EventKind, count: u8) -> (Vec<Command>, Vec<Answer>) {
        let time = Timestamp::from_millis(1_795_327_200_123).unwrap();
        let event = |number: u8| {
            Event::new(
                EventId::v7(time, [number; 10]),
                kind,
                AdId::new(1).unwrap(),
                time,
            )
        };
        let events: Vec<_> = (0..count).map(event).collect();
        let (mut commands, mut answers) = (Vec::new(), Vec::new());
        for (draft, _) in split(&events, &self.options) {
            let claim = self
                .handover
                .claim(Some(kind), draft.bytes(), Instant::now())
                .await;
            let (claim, answer) = claim.unwrap();
            commands.push(Command::Chunk(draft.claimed(claim)));
            answers.push(answer);
        }
        (commands, answers)
    }

    /// The sizes of the packs that go now, by kind.
    fn depart(&mut self) -> Vec<(EventKind, usize)> {
        let departing = self.lanes.depart(&self.options, &self.config, self.now);
        let packs = departing.iter().map(|shipment| {
            let events = pack::decode(&shipment.body).unwrap();
            assert!(events.iter().all(Result::is_ok));
            (shipment.kind.unwrap(), events.len())
        });
        let packs = packs.collect();
        self.flying.extend(departing);
        packs
    }

    /// The oldest pack that is on its way lands.
    fn land(&mut self) {
        let shipment = self.flying.remove(0);
        self.lanes.landed(&shipment);
    }

    /// The one message that goes now.
    fn only(&mut self) -> Shipment {
        let mut departing = self.lanes.depart(&self.options, &self.config, self.now);
        assert_eq!(departing.len(), 1);
        departing.remove(0)
    }
}

/// Whether the owner is woken for these, however many events it asked for.
fn wakes(bench: &Bench, commands: Vec<Command>) -> bool {
    let (outbox, inbox) = inbox(Arc::new(bench.options.clone()));
    assert!(inbox.filled(None).now_or_never().is_none());
    for command in commands {
        outbox.send(command).unwrap();
    }
    inbox.filled(None).now_or_never().is_some()
}

const IMPRESSION: EventKind = EventKind::Impression;
const CLICK: EventKind = EventKind::Click;

#[tokio::test]
async fn a_lone_request_goes_at_once() {
    let mut bench = Bench::new();
    let _answers = bench.request(CLICK, 1).await;
    assert_eq!(bench.depart(), [(CLICK, 1)]);
}

#[tokio::test]
async fn the_owner_is_woken_for_a_full_pack_and_for_finished_messages_only() {
    let bench = Bench::new();
    let (mut commands, _answers) = bench.commands(IMPRESSION, 9).await;
    let (clicks, _more_answers) = bench.commands(CLICK, 9).await;
    commands.extend(clicks);
    assert!(!wakes(&bench, commands));
    let (full, _answers) = bench.commands(IMPRESSION, 10).await;
    assert!(wakes(&bench, full));
    let pack = Shipment::pack(Vec::new(), CLICK, "events", uuid::Uuid::nil());
    assert!(wakes(&bench, vec![Command::Shipment(Box::new(pack))]));
}

#[tokio::test]
async fn small_requests_of_a_kind_are_put_together_before_the_owner_takes_them() {
    let mut bench = Bench::new();
    bench.options.pack_events = 80;
    let (outbox, inbox) = inbox(Arc::new(bench.options.clone()));
    let mut answers = Vec::new();
    let kinds = [CLICK, IMPRESSION].into_iter().cycle();
    for (events, kind) in [4, 3, 4, 3, 4, 11, 1].into_iter().zip(kinds) {
        let (commands, more) = bench.commands(kind, events).await;
        commands
            .into_iter()
            .for_each(|command| outbox.send(command).unwrap());
        answers.extend(more);
    }
    let sizes = |command: &Command| (command.kind().unwrap(), command.events());
    let taken: Vec<_> = inbox.take().collect();
    let taken_sizes: Vec<_> = taken.iter().map(sizes).collect();
    assert_eq!(
        taken_sizes,
        [(CLICK, 8), (CLICK, 5), (IMPRESSION, 6), (IMPRESSION, 11)]
    );
    assert!(inbox.is_empty());

    let mut lanes = Lanes::default();
    taken.into_iter().for_each(|command| lanes.add(command));
    lanes.answer_all(Ok(()));
    let deadline = bench.now + Duration::from_secs(5);
    let results = join_all(answers.into_iter().map(|answer| answer.by(deadline))).await;
    assert_eq!(results, [Ok(()); 7]);
}

#[tokio::test]
async fn requests_share_a_pack_up_to_its_bound() {
    let mut bench = Bench::new();
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.extend(bench.request(IMPRESSION, 4).await);
    }
    assert_eq!(bench.depart(), [(IMPRESSION, 8); 3]);
}

#[tokio::test]
async fn a_small_pack_waits_until_the_round_before_has_landed_but_a_full_one_goes() {
    let mut bench = Bench::new();
    let mut answers = bench.request(CLICK, 1).await;
    answers.extend(bench.request(IMPRESSION, 1).await);
    assert_eq!(bench.depart(), [(CLICK, 1), (IMPRESSION, 1)]);
    answers.extend(bench.request(CLICK, 1).await);
    assert_eq!(bench.depart(), []);
    bench.land();
    assert_eq!(bench.depart(), []);
    for _ in 0..10 {
        answers.extend(bench.request(CLICK, 1).await);
    }
    assert_eq!(bench.depart(), [(CLICK, 10)]);
    bench.land();
    assert_eq!(bench.depart(), [(CLICK, 1)], "whatever full packs do");
}

/// A bench whose packs hold as many events as those of a real publisher.
fn roomy() -> Bench {
    let mut bench = Bench::new();
    bench.options = PublisherOptions::default();
    bench
}

#[tokio::test]
async fn a_round_waits_for_most_of_those_who_were_just_answered() {
    let mut bench = roomy();
    let mut answers = bench.request(IMPRESSION, 20).await;
    assert_eq!(bench.depart(), [(IMPRESSION, 20)]);
    answers.extend(bench.request(IMPRESSION, 4).await);
    bench.land();
    assert_eq!(bench.depart(), []);
    assert_eq!(bench.lanes.wait(bench.now).events, Some(17), "21 of 24");
    answers.extend(bench.request(IMPRESSION, 16).await);
    assert_eq!(bench.depart(), []);
    answers.extend(bench.request(CLICK, 1).await);
    assert_eq!(bench.depart(), [(CLICK, 1), (IMPRESSION, 20)]);
}

#[tokio::test]
async fn a_round_waits_only_a_moment_for_company() {
    let mut bench = roomy();
    let mut answers = bench.request(IMPRESSION, 20).await;
    bench.depart();
    answers.extend(bench.request(IMPRESSION, 1).await);
    let flight = Duration::from_millis(3);
    bench.now += flight;
    bench.land();
    assert_eq!(bench.depart(), []);
    assert_eq!(bench.lanes.wait(bench.now).until, Some(bench.now + flight));
    bench.now += flight;
    assert_eq!(bench.depart(), [(IMPRESSION, 1)]);
    bench.land();
    answers.extend(bench.request(IMPRESSION, 1).await);
    assert_eq!(bench.depart(), [(IMPRESSION, 1)], "few wait for nobody");
}

#[tokio::test]
async fn a_round_that_is_large_enough_waits_for_nobody() {
    let mut bench = roomy();
    let mut answers = bench.request(IMPRESSION, 200).await;
    bench.depart();
    answers.extend(bench.request(IMPRESSION, 64).await);
    bench.land();
    assert_eq!(bench.depart(), [(IMPRESSION, 64)]);
}

#[tokio::test]
async fn a_kind_whose_pack_does_not_land_holds_up_no_other_for_long() {
    let mut bench = Bench::new();
    let mut answers = bench.request(CLICK, 1).await;
    let stuck = bench.only();
    answers.extend(bench.request(IMPRESSION, 1).await);
    assert_eq!(bench.depart(), []);
    bench.now = bench.lanes.wait(bench.now).until.unwrap();
    assert_eq!(bench.depart(), [(IMPRESSION, 1)]);
    answers.extend(bench.request(IMPRESSION, 1).await);
    assert_eq!(bench.depart(), []);
    bench.land();
    assert_eq!(bench.depart(), [(IMPRESSION, 1)], "the others wait no more");
    bench.land();
    answers.extend(bench.request(CLICK, 1).await);
    assert_eq!(bench.depart(), [], "it still waits for itself");
    assert_eq!(bench.lanes.wait(bench.now).until, None);
    bench.lanes.landed(&stuck);
    assert_eq!(bench.depart(), [(CLICK, 1)]);
}

#[tokio::test]
async fn a_kind_that_is_late_is_no_company() {
    let mut bench = roomy();
    let mut answers = bench.request(CLICK, 40).await;
    let stuck = bench.only();
    answers.extend(bench.request(CLICK, 40).await);
    bench.now += Duration::from_secs(1);
    for _ in 0..2 {
        answers.extend(bench.request(IMPRESSION, 1).await);
        assert_eq!(bench.depart(), [(IMPRESSION, 1)]);
        bench.land();
    }
    bench.lanes.landed(&stuck);
    assert_eq!(bench.depart(), []);
    assert_eq!(bench.lanes.wait(bench.now).events, Some(24), "64 of 80");
}

#[tokio::test]
async fn those_who_come_again_before_all_have_landed_count_once() {
    let mut bench = roomy();
    let mut answers = bench.request(CLICK, 20).await;
    answers.extend(bench.request(IMPRESSION, 20).await);
    assert_eq!(bench.depart(), [(CLICK, 20), (IMPRESSION, 20)]);
    bench.land();
    answers.extend(bench.request(CLICK, 20).await);
    bench.land();
    assert_eq!(bench.depart(), []);
    assert_eq!(bench.lanes.wait(bench.now).events, Some(15), "35 of 40");
}

#[tokio::test]
async fn a_flood_of_impressions_does_not_hold_up_clicks() {
    let mut bench = Bench::new();
    let mut answers = bench.request(IMPRESSION, 255).await;
    assert_eq!(bench.depart().len(), 16);
    answers.extend(bench.request(CLICK, 2).await);
    assert_eq!(bench.depart(), [(CLICK, 2)]);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_sent() {
    let mut bench = Bench::new();
    drop(bench.request(CLICK, 3).await);
    let _answers = bench.request(CLICK, 2).await;
    drop(bench.request(CLICK, 1).await);
    assert_eq!(bench.depart(), [(CLICK, 2)]);
    assert!(bench.lanes.sweep());
}

#[tokio::test]
async fn what_was_unconfirmed_goes_first_and_unchanged_on_the_next_connection() {
    let mut bench = Bench::new();
    let mut answers = bench.request(CLICK, 1).await;
    let lost = bench.only();
    let (name, body) = (lost.properties.message_id().clone(), lost.body.clone());
    answers.extend(bench.request(CLICK, 2).await);
    bench.lanes.take_back(vec![lost]);
    let going = bench.lanes.depart(&bench.options, &bench.config, bench.now);
    let [again, next] = going.as_slice() else {
        panic!("{going:?}")
    };
    assert_eq!((again.properties.message_id(), &again.body), (&name, &body));
    assert_eq!(pack::decode(&next.body).unwrap().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_certain_only_of_what_was_never_sent_before() {
    let mut bench = Bench::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    for (is_lost, expected) in [(false, NotKept::Nacked), (true, NotKept::Deadline)] {
        let answers = bench.request(CLICK, 1).await;
        let mut sent = bench.only();
        if is_lost {
            bench.lanes.take_back(vec![sent]);
            sent = bench.only();
        }
        sent.answer(Err(NotKept::Nacked));
        for answer in answers {
            assert_eq!(answer.by(deadline).await, Err(expected));
        }
        bench.lanes.landed(&sent);
    }
}

#[tokio::test]
async fn a_message_larger_than_the_room_waits_for_all_of_it_and_goes() {
    let bench = Bench::new();
    let soon = || Instant::now() + Duration::from_millis(50);
    let small = bench.handover.claim(None, 1, soon()).await.unwrap();
    let claim = |deadline| bench.handover.claim(None, 1 << 21, deadline);
    assert!(matches!(claim(soon()).await, Err(NotKept::Deadline)));
    drop(small);
    let large = claim(soon()).await.unwrap();
    let second = bench.handover.claim(None, 1, soon()).await;
    assert!(matches!(second, Err(NotKept::Deadline)));
    drop(large);
}

#[tokio::test]
async fn when_there_is_no_room_a_request_waits_for_its_deadline_only() {
    let bench = Bench::new();
    let deadline = Instant::now() + Duration::from_millis(50);
    let first = bench.handover.claim(None, 1 << 19, deadline).await.unwrap();
    let second = bench.handover.claim(None, 1 << 19, deadline).await;
    assert!(matches!(second, Err(NotKept::Deadline)));
    let other_kind = bench
        .handover
        .claim(Some(CLICK), 1 << 19, Instant::now())
        .await;
    assert!(other_kind.is_ok());
    drop(first);
    assert!(bench.handover.claim(None, 1 << 19, deadline).await.is_ok());
}
