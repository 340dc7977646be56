//! The units' own command lines, run here with no server behind them.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use adtally_devstack::free_port;
use adtally_tests::{http, programs};
use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::usage::Usage;
use crate::{docker, files, kubernetes, systemd};

/// A process started the way its unit says, apart from ports and folders.
struct Started {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The unit's command, with systemd's specifiers put in.
fn command(unit: &str, folder: &TempDir, port: u16) -> Result<Command> {
    let usage: Usage = systemd::usage(unit)?;
    let place = folder.path().to_str().context("a UTF-8 path")?;
    let filled = |text: &str| {
        text.replace("%d", place)
            .replace("%S", place)
            .replace("%i", "1")
    };
    let nobody = free_port()?;
    for (name, scheme) in [("database-url", "postgres"), ("amqp-url", "amqp")] {
        std::fs::write(
            folder.path().join(name),
            format!("{scheme}://127.0.0.1:{nobody}\n"),
        )?;
    }
    let mut command = Command::new(programs::path(&usage.binary));
    command.args(usage.arguments.iter().map(|argument| filled(argument)));
    command.env_clear();
    for setting in files::values(&systemd::unit(unit)?, "Environment=") {
        let (name, value) = setting.split_once('=').context("NAME=value")?;
        let value = filled(value);
        let here = format!("127.0.0.1:{port}");
        command.env(name, if name.ends_with("_BIND") { here } else { value });
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}

fn get(port: u16, path: &str) -> Result<http::Response> {
    Ok(http::request(
        ([127, 0, 0, 1], port).into(),
        "GET",
        path,
        &[],
        &[],
    )?)
}

fn start(unit: &str) -> Result<Started> {
    let folder = tempfile::tempdir()?;
    let port = free_port()?;
    let child = command(unit, &folder, port)?.spawn()?;
    let mut started = Started {
        child,
        port,
        _folder: folder,
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while get(port, "/livez").is_err() {
        if let Some(status) = started.child.try_wait()? {
            bail!("{unit} ended with {status}");
        }
        ensure!(Instant::now() < deadline, "{unit} did not answer in 30 s");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(started)
}

fn terminate(mut started: Started) -> Result<ExitStatus> {
    let pid = started.child.id().to_string();
    ensure!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()?
            .success(),
        "kill {pid}"
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(status) = started.child.try_wait()? {
            return Ok(status);
        }
        ensure!(
            Instant::now() < deadline,
            "still running 30 s after SIGTERM"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

const SERVICES: [&str; 3] = [
    "adtally-api.service",
    "adtally-worker@.service",
    "adtally-beat.service",
];

#[test]
fn a_unit_starts_answers_every_probe_and_stops_cleanly_with_no_server_there() -> Result<()> {
    let mut paths = [kubernetes::probed_paths()?, docker::probed_paths()?].concat();
    paths.sort();
    paths.dedup();
    for unit in SERVICES {
        let started = start(unit)?;
        for path in &paths {
            let status = get(started.port, path)?.status;
            let fine = status == 200 || (path == "/readyz" && status == 503);
            ensure!(fine, "{unit}: GET {path} answered {status}");
        }
        let ended = terminate(started)?;
        ensure!(ended.success(), "{unit} ended with {ended} after SIGTERM");
    }
    Ok(())
}

#[test]
fn the_ingress_passes_only_routes_the_api_has() -> Result<()> {
    let started = start("adtally-api.service")?;
    let description = get(started.port, "/openapi.json")?.json();
    let routes = description["paths"].as_object().context("paths")?;
    for path in kubernetes::ingress_paths()? {
        let known = routes.keys().any(|route| route.starts_with(&path));
        ensure!(known, "{path} is none of {:?}", routes.keys());
    }
    Ok(())
}

#[test]
fn the_migration_unit_says_that_its_database_is_unreachable() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let status = command("adtally-migrate.service", &folder, free_port()?)?.status()?;
    assert_eq!(status.code(), Some(69));
    Ok(())
}
