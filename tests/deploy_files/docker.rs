//! The Dockerfile and the compose file.

use anyhow::{Context, Result, ensure};

use crate::files::{only, port, quoted, read, values};
use crate::usage::{self, Usage};

/// The Dockerfile's last stages, each with its text.
fn stages() -> Result<Vec<(String, String)>> {
    let dockerfile = read("docker/Dockerfile")?;
    let stages = dockerfile.split("\nFROM runtime AS ").skip(1);
    let named = stages.filter_map(|stage| stage.split_once('\n'));
    Ok(named
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect())
}

/// How each image starts its binary.
pub(crate) fn usages() -> Result<Vec<Usage>> {
    stages()?
        .into_iter()
        .map(|(name, text)| usage(&name, &text))
        .collect()
}

fn usage(stage: &str, text: &str) -> Result<Usage> {
    let program = quoted(only(&values(text, "ENTRYPOINT "), stage)?).concat();
    let binary = program
        .strip_prefix("/usr/bin/")
        .context("binaries are in /usr/bin")?
        .to_owned();
    let settings = values(text, "ENV ").join(" ").replace(' ', "\n");
    Ok(Usage {
        file: format!("Dockerfile, {stage}"),
        binary,
        arguments: Vec::new(),
        variables: usage::variables(&settings),
    })
}

/// The paths health checks ask for.
pub(crate) fn probed_paths() -> Result<Vec<String>> {
    Ok(probes()?.into_iter().map(|(_, path)| path).collect())
}

/// Port and path of each `adtally-probe` call.
fn probes() -> Result<Vec<(u16, String)>> {
    let text = read("docker/Dockerfile")? + &read("docker/compose.yaml")?;
    let calls = text
        .lines()
        .filter(|line| line.contains("\"adtally-probe\""));
    let probe = |line: &str| match quoted(line).as_slice() {
        [.., number, path] => Ok((port(number)?, path.clone())),
        _ => anyhow::bail!("{line}: adtally-probe takes a port and a path"),
    };
    calls.map(probe).collect()
}

#[test]
fn there_is_an_image_per_binary() -> Result<()> {
    let names: Vec<_> = stages()?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["api", "worker", "beat", "adtally"]);
    Ok(())
}

#[test]
fn images_are_built_with_the_toolchain_of_the_repository() -> Result<()> {
    let toolchain = read("rust-toolchain.toml")?;
    let channel = only(&values(&toolchain, "channel = "), "channel")?.trim_matches('"');
    let dockerfile = read("docker/Dockerfile")?;
    ensure!(dockerfile.contains(&format!("FROM rust:{channel}-bookworm AS build")));
    ensure!(dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={channel} ")));
    Ok(())
}

#[test]
fn an_image_listens_where_it_says_and_is_probed_there() -> Result<()> {
    let mut opened = Vec::new();
    for (name, text) in stages()? {
        let [exposed] = values(&text, "EXPOSE ")[..] else {
            continue;
        };
        let exposed = port(exposed)?;
        ensure!(
            text.contains(&format!("BIND=0.0.0.0:{exposed}")),
            "{name} opens {exposed}"
        );
        ensure!(
            text.contains(&format!("\"adtally-probe\", \"{exposed}\"")),
            "{name}: its probe"
        );
        opened.push(exposed);
    }
    assert_eq!(opened.len(), 3);
    for (asked, path) in probes()? {
        ensure!(
            opened.contains(&asked),
            "a probe asks port {asked} for {path}"
        );
    }
    Ok(())
}

#[test]
fn compose_publishes_on_loopback_only() -> Result<()> {
    let compose = read("docker/compose.yaml")?;
    let blocks = compose.split("    ports:\n").skip(1);
    let entries = blocks.flat_map(|block| {
        let lines = block.lines().map(str::trim);
        lines
            .take_while(|line| line.starts_with(['-', '#']))
            .filter(|line| line.starts_with('-'))
    });
    let published: Vec<_> = entries.collect();
    ensure!(!published.is_empty(), "compose publishes nothing");
    for entry in published {
        ensure!(
            entry.starts_with("- \"127.0.0.1:"),
            "{entry} is open to other machines"
        );
    }
    Ok(())
}

#[test]
fn compose_holds_no_password() -> Result<()> {
    let compose = read("docker/compose.yaml")?;
    let lines = compose
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    for line in lines.filter(|line| line.contains("PASS") || line.contains("://")) {
        ensure!(
            line.contains("_PASSWORD:?"),
            "{line} must take its password from docker/.env"
        );
    }
    for name in ["POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"] {
        let example = read("docker/.env.example")?;
        ensure!(
            example.contains(&format!("\n{name}=\n")),
            "the example sets {name}"
        );
    }
    Ok(())
}
