//! Each flag and variable that a deployment file names is one the binary knows.

use anyhow::{Result, ensure};

use crate::{binary, docker, files, kubernetes, systemd};

/// One process as one file starts it.
#[derive(Debug)]
pub(crate) struct Usage {
    /// The file, for messages.
    pub(crate) file: String,
    /// The binary's name.
    pub(crate) binary: String,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Names of the `ADTALLY_` variables that are set for it alone.
    pub(crate) variables: Vec<String>,
}

impl Usage {
    /// The operator's tool has subcommands; the services have none.
    fn subcommand(&self) -> Option<&str> {
        let first = self.arguments.first().map(String::as_str);
        first.filter(|_| self.binary == "adtally")
    }

    fn unknown_words(&self) -> Result<Vec<&str>> {
        let help = binary::help(&self.binary, self.subcommand())?;
        let flags = self
            .arguments
            .iter()
            .filter(|argument| argument.starts_with("--"));
        let words = flags.chain(&self.variables).map(String::as_str);
        Ok(words.filter(|word| !binary::names(&help, word)).collect())
    }
}

/// The variables in `NAME=value` or `NAME: value` lines of `text`, commented examples included.
pub(crate) fn variables(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| {
        let line = line.trim_start_matches([' ', '-', '#']);
        let end = line.find(['=', ':'])?;
        let name = line.get(..end)?;
        (name.starts_with("ADTALLY_") && !name.contains(' ')).then(|| name.to_owned())
    });
    names.collect()
}

#[test]
fn every_flag_and_variable_in_a_deployment_file_is_known_to_its_binary() -> Result<()> {
    let usages = [systemd::usages()?, kubernetes::usages()?, docker::usages()?];
    for usage in usages.iter().flatten() {
        let unknown = usage.unknown_words()?;
        ensure!(
            unknown.is_empty(),
            "{}: {} knows no {unknown:?}",
            usage.file,
            usage.binary
        );
    }
    Ok(())
}

#[test]
fn every_setting_that_all_processes_get_is_known_to_one_of_them() -> Result<()> {
    let shared = [
        "deploy/systemd/adtally.env.example",
        "deploy/kubernetes/base/kustomization.yaml",
        "deploy/kubernetes/overlays/example/kustomization.yaml",
        "docker/compose.yaml",
    ];
    let helps = files::SERVICES.map(|service| binary::help(service, None));
    let helps = helps.into_iter().collect::<Result<Vec<_>>>()?;
    for file in shared {
        let names = variables(&files::read(file)?);
        ensure!(!names.is_empty(), "{file} sets nothing");
        for name in names {
            let known = helps.iter().any(|help| binary::names(help, &name));
            ensure!(known, "{file}: no process knows {name}");
        }
    }
    Ok(())
}

#[test]
fn every_setting_in_a_process_s_example_file_is_known_to_it() -> Result<()> {
    let help = binary::help("adtally-api", None)?;
    for name in variables(&files::read("deploy/systemd/api.env.example")?) {
        ensure!(
            binary::names(&help, &name),
            "api.env.example: the API knows no {name}"
        );
    }
    Ok(())
}

#[test]
fn every_service_has_a_unit_a_workload_and_an_image() -> Result<()> {
    let kinds = [systemd::usages()?, kubernetes::usages()?, docker::usages()?];
    for service in files::SERVICES.into_iter().chain(["adtally"]) {
        for usages in &kinds {
            let found = usages.iter().any(|usage| usage.binary == service);
            ensure!(found, "{service} is missing among {usages:#?}");
        }
    }
    Ok(())
}
