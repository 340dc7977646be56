//! The systemd units.

use std::path::Path;
use std::process::Command;

use adtally_tests::programs;
use anyhow::{Context, Result, ensure};

use crate::files::{self, only};
use crate::usage::{self, Usage};

const FOLDER: &str = "deploy/systemd";
const UNITS: [&str; 4] = [
    "adtally-api.service",
    "adtally-worker@.service",
    "adtally-beat.service",
    "adtally-migrate.service",
];

const SOCKET: &str = "adtally-api.socket";

/// A unit's text.
pub(crate) fn unit(name: &str) -> Result<String> {
    files::read(&format!("{FOLDER}/{name}"))
}

/// How each unit starts its binary.
pub(crate) fn usages() -> Result<Vec<Usage>> {
    UNITS.into_iter().map(usage).collect()
}

/// How the unit `name` starts its binary.
pub(crate) fn usage(name: &str) -> Result<Usage> {
    let text = unit(name)?;
    let command = only(&files::values(&text, "ExecStart="), name)?;
    let mut words = command.split_whitespace().map(str::to_owned);
    let program = words.next().context("ExecStart names a program")?;
    let binary = program
        .strip_prefix("/usr/bin/")
        .context("binaries are in /usr/bin")?;
    let variables = usage::variables(&files::values(&text, "Environment=").join("\n"));
    Ok(Usage {
        file: name.to_owned(),
        binary: binary.to_owned(),
        arguments: words.collect(),
        variables,
    })
}

/// The units as systemd-analyze can judge them here: with a program that exists, and an instance.
fn copy_units(to: &Path) -> Result<Vec<String>> {
    let mut copies = vec!["adtally.target".to_owned(), SOCKET.to_owned()];
    for name in &copies {
        std::fs::write(to.join(name), unit(name)?)?;
    }
    for name in UNITS {
        let binary = usage(name)?.binary;
        let command = format!("ExecStart=/usr/bin/{binary}");
        let text = unit(name)?.replacen(&command, "ExecStart=/bin/true", 1);
        std::fs::write(to.join(name), text)?;
        copies.push(name.replace("@.", "@1."));
    }
    Ok(copies)
}

/// Runs systemd-analyze in `folder`; `None` where there is no systemd.
fn analyze(folder: &Path, arguments: &[&str]) -> Result<Option<std::process::Output>> {
    match Command::new("systemd-analyze")
        .args(arguments)
        .current_dir(folder)
        .output()
    {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[test]
fn systemd_understands_every_line_of_the_units() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let units = copy_units(folder.path())?;
    for unit in units {
        let unit = format!("./{unit}");
        let Some(output) = analyze(folder.path(), &["verify", "--man=no", &unit])? else {
            return Ok(());
        };
        // It ends with 0 on keys it does not know, and names them on stderr.
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(
            complaints.is_empty() && output.status.success(),
            "{unit}: {complaints}"
        );
    }
    Ok(())
}

#[test]
fn systemd_rates_the_exposure_of_each_unit_two_or_less() -> Result<()> {
    let folder = tempfile::tempdir()?;
    copy_units(folder.path())?;
    for unit in UNITS {
        let unit = format!("./{unit}");
        let arguments = [
            "security",
            "--offline=true",
            "--threshold=20",
            "--no-pager",
            &unit,
        ];
        let Some(output) = analyze(folder.path(), &arguments)? else {
            return Ok(());
        };
        let verdict = String::from_utf8_lossy(&output.stdout);
        let verdict = verdict.lines().last().unwrap_or_default();
        ensure!(output.status.success(), "{unit}: {verdict}");
    }
    Ok(())
}

#[test]
fn every_unit_may_open_as_many_files_as_its_settings_can_reach() -> Result<()> {
    for name in UNITS {
        let text = unit(name)?;
        let limit: u64 = only(&files::values(&text, "LimitNOFILE="), name)?.parse()?;
        // What is accepted for --max-connections by default, or the most of --database-pool-size, and what
        // is beside them.
        let wanted = if name == UNITS[0] { 25_000 } else { 1_000 };
        ensure!(limit >= wanted + 1_024, "{name}: {limit}");
    }
    Ok(())
}

#[test]
fn the_socket_is_one_and_where_the_api_would_listen_without_it() -> Result<()> {
    let (socket, api) = (unit(SOCKET)?, unit("adtally-api.service")?);
    let address = only(&files::values(&socket, "ListenStream="), SOCKET)?;
    let variables = files::values(&api, "Environment=ADTALLY_BIND=");
    assert_eq!(only(&variables, "ADTALLY_BIND")?, address);
    for key in ["Wants=", "After=", "Also="] {
        let listed = files::values(&api, key).join(" ");
        ensure!(listed.contains(SOCKET), "{key} does not name {SOCKET}");
    }
    Ok(())
}

#[test]
fn every_worker_has_a_port_of_its_own_or_is_told_that_it_needs_one() -> Result<()> {
    let name = "adtally-worker@.service";
    let worker = unit(name)?;
    let bind = only(
        &files::values(&worker, "Environment=ADTALLY_HEALTH_BIND="),
        name,
    )?;
    let mut ports = vec![health_port("adtally-beat.service")?];
    for instance in 1..=9 {
        let address = bind.replace("%i", &instance.to_string());
        ports.push(files::port(&address)?);
    }
    // An instance beyond these has its own file, which is read last; without one it says what is wrong.
    let file = "worker-10.env";
    let last = files::values(&worker, "EnvironmentFile=-/etc/adtally/").pop();
    assert_eq!(
        last.map(|name| name.replace("%i", "10")).as_deref(),
        Some(file)
    );
    let example = files::read(&format!("{FOLDER}/{file}.example"))?;
    let address = only(&files::values(&example, "ADTALLY_HEALTH_BIND="), file)?;
    ports.push(files::port(address)?);
    ports.sort_unstable();
    let all = ports.len();
    ports.dedup();
    ensure!(ports.len() == all, "one port twice: {ports:?}");

    let invalid = bind.replace("%i", "10");
    let refused = Command::new(programs::path("adtally-worker"))
        .env_clear()
        .env("ADTALLY_HEALTH_BIND", &invalid)
        .output()?;
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(
        said.contains(&invalid) && said.contains("--health-bind"),
        "{said}"
    );
    Ok(())
}

/// Where the unit `name` answers for its health.
fn health_port(name: &str) -> Result<u16> {
    let text = unit(name)?;
    let addresses = files::values(&text, "Environment=ADTALLY_HEALTH_BIND=");
    files::port(only(&addresses, name)?)
}

#[test]
fn every_unit_has_the_same_sandbox() -> Result<()> {
    let sandbox = |name: &str| -> Result<Vec<String>> {
        let text = unit(name)?;
        let (_, rest) = text.split_once("DynamicUser=yes").context("a sandbox")?;
        let lines = rest.lines().take_while(|line| !line.starts_with('['));
        let settings = lines.filter(|line| line.contains('=') && !line.starts_with("ProcSubset"));
        Ok(settings.map(str::to_owned).collect())
    };
    let first = sandbox(UNITS[0])?;
    for name in UNITS {
        assert_eq!(sandbox(name)?, first, "{name} against {}", UNITS[0]);
    }
    Ok(())
}
