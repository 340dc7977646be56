//! Whatever strangers send, in whatever number: others are served, and health is answered.
//!
//! One suite plays the attacks, each alone and all together, beside good clients. Here it is short, and
//! nothing is asked that a busy machine could not keep. With `--ignored --nocapture`, and
//! `ADTALLY_TEST_BINARIES` naming a release build, it takes minutes, asks for the full promise and
//! prints a table.

mod attacks;
mod good;

use std::time::{Duration, Instant};

use adtally_tests::{Process, System, http};

use attacks::{Attack, Running};
use good::{Good, Report};

/// How much of everything there is.
struct Scale {
    /// How long each phase lasts.
    phase: Duration,
    /// Part of the attackers of the full suite: one in so many.
    one_in: usize,
}

/// What was seen in one phase.
struct Phase {
    name: String,
    good: Report,
    /// The API's memory at its end, in bytes.
    memory: u64,
    /// Half requests that were seen to end, and the longest any of them stayed.
    halves: (usize, Duration),
}

/// Runs all phases: quiet, each attack, all of them.
fn play(system: &System, scale: &Scale) -> Vec<Phase> {
    let mut plans: Vec<(String, Vec<Attack>)> = vec![("quiet".to_owned(), Vec::new())];
    plans.extend(Attack::ALL.map(|attack| (format!("{attack:?}"), vec![attack])));
    plans.push(("all together".to_owned(), Attack::ALL.to_vec()));
    let api = system.api_process();
    plans
        .into_iter()
        .map(|(name, attacks)| {
            let running: Vec<_> = attacks
                .into_iter()
                .map(|attack| Running::start(attack, api.address, scale.one_in))
                .collect();
            let good = Good::start(api.address).after(scale.phase);
            let memory = memory(api);
            let halves = running
                .into_iter()
                .map(Running::end)
                .fold((0, Duration::ZERO), |(count, longest), (more, stayed)| {
                    (count + more, longest.max(stayed))
                });
            Phase {
                name,
                good,
                memory,
                halves,
            }
        })
        .collect()
}

/// What a process holds in memory now, in bytes.
fn memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: u64 = line
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap();
    kilobytes * 1_024
}

fn table(phases: &[Phase]) -> String {
    let row = |phase: &Phase| {
        let Phase {
            name,
            good,
            memory,
            halves,
        } = phase;
        format!(
            "| {name} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} of {:.1} s |\n",
            good.count(),
            good.refused.len(),
            good.percentile(0.5),
            good.percentile(0.99),
            good.worst(),
            good.worst_live(),
            memory >> 20,
            halves.0,
            halves.1.as_secs_f64(),
        )
    };
    let rows: String = phases.iter().map(row).collect();
    format!(
        "| phase | good requests | refused | p50 ms | p99 ms | worst ms | worst /livez ms | API MiB | \
         half requests gone, longest |\n|---|---|---|---|---|---|---|---|---|\n{rows}"
    )
}

/// What holds however busy the machine is.
fn nobody_was_refused(phases: &[Phase]) -> Vec<String> {
    let mut findings = Vec::new();
    for Phase {
        name, good, halves, ..
    } in phases
    {
        if !good.refused.is_empty() {
            findings.push(format!("{name}: {:?}", good.refused));
        }
        if good.count() < 20 || good.live.is_empty() {
            findings.push(format!("{name}: hardly anybody was served"));
        }
        if halves.1 > Duration::from_secs(20) {
            findings.push(format!("{name}: a half request stayed for {:?}", halves.1));
        }
    }
    findings
}

#[test]
fn strangers_take_nothing_from_others() {
    let (system, worker) = System::with_worker("strangers");
    let scale = Scale {
        phase: Duration::from_secs(8),
        one_in: 10,
    };
    let phases = play(&system, &scale);
    let findings = nobody_was_refused(&phases);
    assert!(findings.is_empty(), "{findings:#?}\n{}", table(&phases));
    let halves: usize = phases.iter().map(|phase| phase.halves.0).sum();
    assert!(halves > 0, "no half request ended\n{}", table(&phases));
    let metrics = http::request(system.api(), "GET", "/metrics", &[], b"").unwrap();
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for reason in ["head_too_large", "head_timeout"] {
        let line = format!("adtally_http_refused_total{{reason=\"{reason}\"}} 0");
        assert!(!metrics.lines().any(|found| found == line), "{metrics}");
    }
    drop(worker);
}

#[test]
fn idle_and_half_connections_beyond_all_limits_lock_nobody_out() {
    let system = System::builder("locked-out")
        .variable("ADTALLY_MAX_CONNECTIONS", "40")
        .start();
    let worker = system.worker();
    for (what, address) in [("API", system.api()), ("worker", worker.address)] {
        let started = Instant::now();
        let crowd: Vec<_> = [Attack::HalfRequests, Attack::IdleConnections]
            .map(|attack| Running::start(attack, address, 20))
            .into();
        let answers: Vec<_> = (0..20)
            .map(|_| http::request(address, "GET", "/livez", &[], b"").map(|live| live.status))
            .collect();
        let all_served = answers.iter().all(|status| matches!(status, Ok(200)));
        assert!(all_served, "{what}: {answers:?}");
        let took = started.elapsed();
        for running in crowd {
            let (_, longest) = running.end();
            assert!(longest <= Duration::from_secs(20), "{what}: {longest:?}");
        }
        assert!(took < Duration::from_secs(60), "{what}: {took:?}");
    }
    assert!(!worker.log().contains("panicked") && worker.is_ready());
}

#[test]
#[ignore = "takes minutes, and figures need a release build and a quiet machine"]
fn full_attacks_cost_others_little() {
    const LIMIT: u64 = 1 << 30;
    let (system, worker) = System::with_worker("strangers-full");
    let scale = Scale {
        phase: Duration::from_secs(30),
        one_in: 1,
    };
    let phases = play(&system, &scale);
    println!("{}", table(&phases));
    let mut findings = nobody_was_refused(&phases);
    let quiet = phases[0].good.percentile(0.99);
    let last = phases.len() - 1;
    for (index, phase) in phases.iter().enumerate().skip(1) {
        let (p99, live) = (phase.good.percentile(0.99), phase.good.worst_live());
        let (bar, live_bar) = if index == last {
            (250.0, f64::INFINITY)
        } else {
            (2.0 * quiet, 100.0)
        };
        if p99 > bar {
            findings.push(format!("{}: p99 {p99:.1} ms above {bar:.1}", phase.name));
        }
        if live > live_bar {
            findings.push(format!("{}: /livez took {live:.1} ms", phase.name));
        }
        if phase.memory > LIMIT {
            findings.push(format!("{}: {} bytes of memory", phase.name, phase.memory));
        }
    }
    drop(worker);
    assert!(findings.is_empty(), "{findings:#?}");
}
