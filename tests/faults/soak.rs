//! Faults drawn at random, one after another, under load.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use adtally_tests::Supervised;
use adtally_tests::proxy::{Fault, Proxy, Way};
use adtally_tests::traffic::{Manners, Traffic};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::ground::Ground;
use crate::hold::Hold;
use crate::stage::{Setting, Stage, before_rabbitmq};

/// Part of a soak after which memory has found its level.
const FIRST: u32 = 3;
/// Soaks this long also look at memory: before, caches are still filling.
const LONG: Duration = Duration::from_secs(600);
/// How much more memory a process may hold at the end, in percent.
const GROWTH: u64 = 10;

/// What a soak does.
#[derive(Debug, Clone, Copy)]
enum Blow {
    KillApi,
    KillWorker,
    KillBeat,
    FreezeApi,
    FreezeWorker,
    FreezeBeat,
    RestartBroker,
    KillBroker,
    FreezeBroker,
    DiskAlarm,
    CloseConnections,
    BeforeApi(Fault),
    BeforeWorkers(Fault),
    RestartDatabase,
    KillDatabase,
    FreezeDatabase,
    EndSessions,
    LockTables,
    RollUpEverything,
}

const BLOWS: [Blow; 27] = [
    Blow::KillApi,
    Blow::KillApi,
    Blow::KillWorker,
    Blow::KillWorker,
    Blow::KillBeat,
    Blow::FreezeApi,
    Blow::FreezeWorker,
    Blow::FreezeBeat,
    Blow::RestartBroker,
    Blow::KillBroker,
    Blow::FreezeBroker,
    Blow::DiskAlarm,
    Blow::CloseConnections,
    Blow::BeforeApi(Fault::Reset),
    Blow::BeforeApi(Fault::Hole(Way::Both)),
    Blow::BeforeApi(Fault::Hole(Way::ToClient)),
    Blow::BeforeApi(Fault::Delay(Duration::from_millis(500))),
    Blow::BeforeApi(Fault::CutAfter(3_000)),
    Blow::BeforeWorkers(Fault::Refuse),
    Blow::BeforeWorkers(Fault::Hole(Way::ToServer)),
    Blow::BeforeWorkers(Fault::Throttle(20_000)),
    Blow::RestartDatabase,
    Blow::KillDatabase,
    Blow::FreezeDatabase,
    Blow::EndSessions,
    Blow::LockTables,
    Blow::RollUpEverything,
];

/// What is struck.
struct Target<'a> {
    ground: &'a Ground,
    stage: Stage,
    beats: Vec<Supervised>,
    before_api: Proxy,
    before_workers: Proxy,
}

/// Strikes for as long as the ground says, then reckons.
pub(crate) fn soak(ground: &Ground) {
    let (seed, duration) = ground.soak();
    println!("soak: --seed {seed} --duration {}s", duration.as_secs());
    let target = Target::new(ground);
    let manners = Manners {
        pause: Duration::from_millis(150),
        ..Manners::default()
    };
    let traffic = target.stage.traffic_with(manners);
    let mut memory = Memory::default();
    let mut dice = StdRng::seed_from_u64(seed);
    let began = Instant::now();
    while began.elapsed() < duration {
        let blow = BLOWS.choose(&mut dice).copied().expect("there are blows");
        let lasting = Duration::from_millis(dice.random_range(500..8_000));
        println!(
            "soak: {:>4} s  {blow:?} for {lasting:.1?}",
            began.elapsed().as_secs()
        );
        target.strike(blow, lasting, &mut dice);
        thread::sleep(Duration::from_millis(dice.random_range(500..4_000)));
        memory.look(&target, began.elapsed() < duration / FIRST);
    }
    target.recover(&traffic);
    let reckoning = target.stage.end(traffic, Duration::from_secs(31));
    memory.look(&target, false);
    println!("soak: {reckoning}\nsoak: memory {}", memory.told());
    if duration >= LONG {
        memory.check();
    }
    let slots = "SELECT count(*) FROM schedule_runs WHERE enqueued_at IS NULL";
    assert_eq!(target.stage.system.count(slots), 0, "every slot was sent");
}

impl<'a> Target<'a> {
    fn new(ground: &'a Ground) -> Self {
        let (before_api, api_url) = before_rabbitmq(ground);
        let (before_workers, worker_url) = before_rabbitmq(ground);
        let setting = Setting::new(ground, "soak")
            .workers(2)
            .two_batches_at_a_time();
        let setting = setting.api("ADTALLY_AMQP_URL", api_url);
        let stage = setting.worker("ADTALLY_AMQP_URL", worker_url).start();
        let beat = |_| {
            stage
                .system
                .supervised("adtally-beat", "ADTALLY_HEALTH_BIND", &[])
        };
        let beats = (0..2).map(beat).collect();
        Self {
            ground,
            stage,
            beats,
            before_api,
            before_workers,
        }
    }

    fn strike(&self, blow: Blow, lasting: Duration, dice: &mut StdRng) {
        let worker = &self.stage.workers[dice.random_range(0..self.stage.workers.len())];
        let beat = &self.beats[dice.random_range(0..self.beats.len())];
        let (rabbitmq, postgres) = (self.ground.rabbitmq(), self.ground.postgres());
        let ctl = |args: &[&str]| rabbitmq.ctl_blocking(args).expect("rabbitmqctl");
        match blow {
            Blow::KillApi => self.stage.api.kill(),
            Blow::KillWorker => worker.kill(),
            Blow::KillBeat => beat.kill(),
            Blow::FreezeApi => freeze(&self.stage.api, lasting),
            Blow::FreezeWorker => freeze(worker, lasting),
            Blow::FreezeBeat => freeze(beat, lasting),
            Blow::RestartBroker => {
                self.ground
                    .block_on(rabbitmq.restart())
                    .expect("the broker starts again");
            }
            Blow::KillBroker => {
                rabbitmq.kill();
                thread::sleep(lasting);
                self.ground
                    .block_on(rabbitmq.restart())
                    .expect("the broker starts again");
            }
            Blow::FreezeBroker => {
                rabbitmq.pause();
                thread::sleep(lasting);
                rabbitmq.resume();
            }
            Blow::DiskAlarm => {
                ctl(&["set_disk_free_limit", "90000000000000"]);
                thread::sleep(lasting);
                ctl(&["set_disk_free_limit", "200000000"]);
            }
            Blow::CloseConnections => {
                ctl(&["close_all_connections", "a soak"]);
            }
            Blow::BeforeApi(fault) => pass_through(&self.before_api, fault, lasting),
            Blow::BeforeWorkers(fault) => pass_through(&self.before_workers, fault, lasting),
            Blow::RestartDatabase => {
                self.ground
                    .block_on(postgres.restart())
                    .expect("the database starts again");
            }
            Blow::KillDatabase => {
                postgres.kill();
                thread::sleep(lasting);
                self.ground
                    .block_on(postgres.restart())
                    .expect("the database starts again");
            }
            Blow::FreezeDatabase => {
                postgres.pause();
                thread::sleep(lasting);
                postgres.resume();
            }
            Blow::EndSessions => {
                self.stage.system.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                );
            }
            Blow::LockTables => {
                let hold = Hold::of(&self.stage.system, "LOCK TABLE events, dirty_hours");
                thread::sleep(lasting);
                drop(hold);
            }
            Blow::RollUpEverything => {
                // As if every hour had changed: what is rolled up again must come out the same.
                self.stage.system.sql(
                    "INSERT INTO dirty_hours (hour) SELECT DISTINCT hour FROM ad_hourly_stats",
                );
            }
        }
    }

    /// Waits until everybody is at work again, without a hand.
    fn recover(&self, traffic: &Traffic) {
        traffic.until_accepted(100);
        self.stage.api.until_ready();
        for process in self.stage.workers.iter().chain(&self.beats) {
            process.until_ready();
        }
    }

    fn processes(&self) -> impl Iterator<Item = (String, &Supervised)> {
        let api = std::iter::once(("api".to_owned(), &self.stage.api));
        let workers = self
            .stage
            .workers
            .iter()
            .map(|worker| ("worker".to_owned(), worker));
        let beats = self.beats.iter().map(|beat| ("beat".to_owned(), beat));
        api.chain(workers).chain(beats)
    }
}

fn freeze(process: &Supervised, lasting: Duration) {
    process.freeze();
    thread::sleep(lasting);
    process.thaw();
}

fn pass_through(proxy: &Proxy, fault: Fault, lasting: Duration) {
    proxy.set(fault);
    thread::sleep(lasting);
    proxy.set(Fault::Pass);
}

/// The memory of each kind of process, in KiB: the most of the first part, and now.
#[derive(Default)]
struct Memory(BTreeMap<String, (u64, u64)>);

impl Memory {
    fn look(&mut self, target: &Target<'_>, is_first: bool) {
        let mut now: BTreeMap<String, u64> = BTreeMap::new();
        for (role, process) in target.processes() {
            let resident = resident(process.process().pid());
            let most = now.entry(role).or_default();
            *most = resident.max(*most);
        }
        for (role, resident) in now {
            let (first, last) = self.0.entry(role).or_default();
            *last = resident;
            if is_first {
                *first = resident.max(*first);
            }
        }
    }

    fn told(&self) -> String {
        let mut text = String::new();
        for (role, (first, last)) in &self.0 {
            let _ = write!(
                text,
                "{role} {first} KiB in the first part, {last} at the end; "
            );
        }
        text
    }

    fn check(&self) {
        for (role, (first, last)) in &self.0 {
            let limit = first + first * GROWTH / 100;
            assert!(*last <= limit, "{role} grew from {first} to {last} KiB");
        }
    }
}

/// The resident memory of a process in KiB, 0 when it has just ended.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}
