//! The kustomize base and its example overlay.

use anyhow::{Context, Result, bail, ensure};

use crate::files::{self, only, port, read, values};
use crate::usage::Usage;

const BASE: &str = "deploy/kubernetes/base";
/// Each workload's file and the variable that holds where it listens.
const LISTENING: [(&str, &str); 3] = [
    ("api.yaml", "ADTALLY_BIND"),
    ("worker.yaml", "ADTALLY_HEALTH_BIND"),
    ("beat.yaml", "ADTALLY_HEALTH_BIND"),
];

fn manifest(file: &str) -> Result<String> {
    read(&format!("{BASE}/{file}"))
}

/// How each workload starts its binary.
pub(crate) fn usages() -> Result<Vec<Usage>> {
    let files = LISTENING
        .map(|(file, _)| file)
        .into_iter()
        .chain(["migrate.yaml"]);
    files.map(usage).collect()
}

fn usage(file: &str) -> Result<Usage> {
    let text = manifest(file)?;
    let names = values(&text, "name: ")
        .into_iter()
        .filter(|name| name.starts_with("ADTALLY_"));
    Ok(Usage {
        file: file.to_owned(),
        binary: only(&values(&text, "image: "), file)?.to_owned(),
        arguments: values(&text, "args: ")
            .into_iter()
            .flat_map(files::quoted)
            .collect(),
        variables: names.map(str::to_owned).collect(),
    })
}

/// The paths that probes and scrapers ask for.
pub(crate) fn probed_paths() -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for (file, _) in LISTENING {
        let text = manifest(file)?;
        let all = values(&text, "path: ")
            .into_iter()
            .chain(values(&text, "prometheus.io/path: "));
        paths.extend(all.filter(|path| path.starts_with('/')).map(str::to_owned));
    }
    Ok(paths)
}

/// The paths the example lets through from outside.
pub(crate) fn ingress_paths() -> Result<Vec<String>> {
    let text = read("deploy/kubernetes/overlays/example/ingress.yaml")?;
    Ok(values(&text, "path: ")
        .into_iter()
        .map(str::to_owned)
        .collect())
}

#[test]
fn every_workload_is_probed_on_the_port_it_listens_on() -> Result<()> {
    for (file, variable) in LISTENING {
        let text = manifest(file)?;
        let (_, after) = text
            .split_once(&format!("name: {variable}\n"))
            .unwrap_or_default();
        let listens = values(after, "value: ")
            .first()
            .map(|bind| port(bind))
            .transpose()?;
        let opened = port(only(&values(&text, "containerPort: "), file)?)?;
        let scraped = port(only(&values(&text, "prometheus.io/port: "), file)?)?;
        ensure!(
            listens == Some(opened),
            "{file}: listens on {listens:?}, opens {opened}"
        );
        assert_eq!(scraped, opened, "{file}: the scraped port");
        for probe in ["startupProbe:", "livenessProbe:", "readinessProbe:"] {
            ensure!(text.contains(probe), "{file} has no {probe}");
        }
    }
    Ok(())
}

#[test]
fn liveness_never_depends_on_another_server() -> Result<()> {
    for (file, _) in LISTENING {
        let text = manifest(file)?;
        for (probe, path) in [
            ("startupProbe:", "/livez"),
            ("livenessProbe:", "/livez"),
            ("readinessProbe:", "/readyz"),
        ] {
            let (_, after) = text.split_once(probe).unwrap_or_default();
            assert_eq!(
                values(after, "path: ").first(),
                Some(&path),
                "{file}: {probe}"
            );
        }
    }
    Ok(())
}

#[test]
fn every_pod_is_restricted() -> Result<()> {
    let wanted = [
        "runAsNonRoot: true",
        "type: RuntimeDefault",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "drop: [\"ALL\"]",
        "enableServiceLinks: false",
        "automountServiceAccountToken: false",
    ];
    for usage in usages()? {
        let text = manifest(&usage.file)?;
        for line in wanted {
            ensure!(text.contains(line), "{} lacks {line}", usage.file);
        }
    }
    Ok(())
}

/// Bytes in `text`, such as `256M` or `1Gi`.
fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|unit: char| !unit.is_ascii_digit());
    let number: u64 = digits.parse()?;
    match text.trim_start_matches(digits) {
        "" => Ok(number),
        "M" | "Mi" => Ok(number << 20),
        "G" | "Gi" => Ok(number << 30),
        unit => bail!("the unit {unit:?} of {text:?}"),
    }
}

/// The value of the variable `name` in a manifest.
fn setting<'text>(text: &'text str, name: &str) -> Result<&'text str> {
    let (_, after) = text
        .split_once(&format!("name: {name}\n"))
        .with_context(|| format!("no {name} is set"))?;
    let value = values(after, "value: ").first().copied();
    Ok(value.context("a value")?.trim_matches('"'))
}

#[test]
fn the_api_s_memory_limit_holds_all_that_clients_can_make_it_hold() -> Result<()> {
    let text = manifest("api.yaml")?;
    let connections: u64 = setting(&text, "ADTALLY_MAX_CONNECTIONS")?.parse()?;
    // Two buffers of 8 KiB, and a head of 16 KiB.
    let connections = connections * 32 * 1_024;
    let bodies = bytes(setting(&text, "ADTALLY_BODY_MEMORY")?)?;
    let waiting = 3 * (64 << 20);
    let rest = 128 << 20;
    let (_, limits) = text.split_once("limits:").context("limits")?;
    let limit = bytes(values(limits, "memory: ").first().context("a limit")?)?;
    let needed = connections + bodies + waiting + rest;
    ensure!(needed <= limit, "{needed} bytes needed, {limit} allowed");
    Ok(())
}

#[test]
fn the_api_s_volume_outlives_its_pod_and_its_spool_fits_on_it() -> Result<()> {
    let text = manifest("api.yaml")?;
    ensure!(
        !text.contains("emptyDir"),
        "the spool would go with its pod"
    );
    let (_, claim) = text
        .split_once("volumeClaimTemplates:")
        .context("a volume")?;
    let volume = bytes(only(&values(claim, "storage: "), "storage")?)?;
    let spool = bytes(setting(&text, "ADTALLY_SPOOL_MAX_BYTES")?)?;
    // The file system takes some, and so do `.corrupt` files.
    ensure!(
        spool <= volume / 10 * 9 && spool >= volume / 2,
        "a spool of {spool} bytes on a volume of {volume}"
    );
    Ok(())
}

#[test]
fn every_pod_of_the_api_has_a_name() -> Result<()> {
    let text = manifest("api.yaml")?;
    let governing = only(&values(&text, "serviceName: "), "api.yaml")?;
    let headless = text
        .split("---\n")
        .find(|part| part.contains("kind: Service\n") && part.contains("clusterIP: None"))
        .context("a headless service")?;
    assert_eq!(values(headless, "name: ").first(), Some(&governing));
    ensure!(
        headless.contains("publishNotReadyAddresses: true"),
        "a pod that is not ready has no name"
    );
    Ok(())
}

#[test]
fn policies_open_each_workload_s_one_port_to_those_they_name() -> Result<()> {
    let text = read("deploy/kubernetes/overlays/example/network-policy.yaml")?;
    let policies: Vec<_> = text.split("---\n").collect();
    for (file, _) in LISTENING {
        let manifest = manifest(file)?;
        let (_, ports) = manifest.split_once("          ports:").context("ports")?;
        let opened = *values(ports, "name: ").first().context("a name")?;
        let component = file.trim_end_matches(".yaml");
        let policy = policies.iter().find(|policy| {
            policy.contains(&format!("component: {component}"))
                || policy.contains(&format!("\"{component}\""))
        });
        let policy = policy.with_context(|| format!("no policy for {component}"))?;
        assert_eq!(only(&values(policy, "port: "), file)?, opened, "{file}");
        ensure!(policy.contains("- from:"), "{file}: open to everybody");
    }
    Ok(())
}

#[test]
fn no_manifest_holds_a_secret() -> Result<()> {
    for usage in usages()? {
        let text = manifest(&usage.file)?;
        ensure!(
            !text.contains("kind: Secret"),
            "{} holds a Secret",
            usage.file
        );
        ensure!(!text.contains("://"), "{} holds a URL", usage.file);
        let urls = usage.variables.iter().filter(|name| name.contains("_URL"));
        for name in urls {
            ensure!(
                name.ends_with("_FILE"),
                "{}: {name} is not read from a file",
                usage.file
            );
        }
    }
    Ok(())
}

/// What PostgreSQL leaves of its default `max_connections` to others than superusers.
const DEFAULT_CONNECTIONS: u32 = 97;

#[test]
fn the_connections_of_all_replicas_fit_a_postgresql_with_default_settings() -> Result<()> {
    let mut most = 0;
    for service in files::SERVICES {
        let help = crate::binary::help(service, None)?;
        let pool = help.split("--database-pool-size").nth(1);
        let default = pool.and_then(|text| text.split("[default: ").nth(1));
        let default = default.and_then(|text| text.split(']').next());
        let default: u32 = default.context("the pool's default size")?.parse()?;
        let name = service.trim_start_matches("adtally-");
        let manifest = manifest(&format!("{name}.yaml"))?;
        let replicas = manifest.split("replicas: ").nth(1).context("replicas")?;
        let replicas = replicas.lines().next().context("a number")?;
        most += default * replicas.trim().parse::<u32>()?;
    }
    ensure!(most <= DEFAULT_CONNECTIONS, "{most} connections");
    let guide = files::read("docs/operations.md")?;
    let told = format!("two APIs, two workers, two beats | {most} |");
    ensure!(guide.contains(&told), "the guide does not say {told:?}");
    Ok(())
}
