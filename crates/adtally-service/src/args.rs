//! Flags that several processes share. Each has an environment variable; secrets also a file.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use adtally_domain::{Prefix, ReportingZone};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::url_fault::url_fault;
use crate::{Failure, SecretUrl};

/// Where PostgreSQL is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// PostgreSQL's URL, such as postgres://user:password@host:5432/adtally
    #[arg(
        long,
        env = "ADTALLY_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,
    /// A file that holds PostgreSQL's URL
    #[arg(long, env = "ADTALLY_DATABASE_URL_FILE", value_name = "FILE", value_parser = path_or_empty())]
    pub database_url_file: Option<PathBuf>,
    /// The most connections this process opens to PostgreSQL
    #[arg(long, env = "ADTALLY_DATABASE_POOL_SIZE", default_value_t = 10, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_pool_size: u32,
}

/// A checked address of PostgreSQL.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its URL.
    pub url: SecretUrl,
    /// The most connections to open.
    pub pool_size: u32,
}

impl DatabaseArgs {
    /// Whether an address was given at all.
    #[must_use]
    pub fn is_given(&self) -> bool {
        source(
            self.database_url.as_deref(),
            self.database_url_file.as_deref(),
        ) != Source::Nothing
    }

    /// The address to use.
    ///
    /// # Errors
    /// A configuration [`Failure`] that names the flag when it is missing or malformed.
    pub fn resolve(&self) -> Result<Database, Failure> {
        let url = given(
            "--database-url",
            self.database_url.as_deref(),
            self.database_url_file.as_deref(),
        )?;
        match url_fault(&url, &["postgres", "postgresql"]) {
            Some(fault) => Err(Failure::configuration(format!("--database-url: {fault}"))),
            None => Ok(Database {
                url: SecretUrl::new(url),
                pool_size: self.database_pool_size,
            }),
        }
    }
}

/// Where RabbitMQ is and how our names begin there.
#[derive(Debug, Clone, Args)]
pub struct BrokerArgs {
    /// RabbitMQ's URL, such as amqp://user:password@host:5672/%2f; several, tried in turn, are
    /// separated by commas or given by repeating the flag
    #[arg(
        long,
        env = "ADTALLY_AMQP_URL",
        hide_env_values = true,
        value_name = "URL",
        value_delimiter = ','
    )]
    pub amqp_url: Vec<String>,
    /// A file that holds RabbitMQ's URL or URLs
    #[arg(long, env = "ADTALLY_AMQP_URL_FILE", value_name = "FILE", value_parser = path_or_empty())]
    pub amqp_url_file: Option<PathBuf>,
    /// How the names of exchanges and queues begin
    #[arg(long, env = "ADTALLY_PREFIX", default_value = "adtally")]
    pub prefix: Prefix,
}

/// A checked address of RabbitMQ.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Its URLs, at least one.
    pub urls: Vec<SecretUrl>,
    /// How our names begin.
    pub prefix: Prefix,
}

impl BrokerArgs {
    /// Whether an address was given at all.
    #[must_use]
    pub fn is_given(&self) -> bool {
        source(self.joined().as_deref(), self.amqp_url_file.as_deref()) != Source::Nothing
    }

    /// The addresses to use.
    ///
    /// # Errors
    /// A configuration [`Failure`] that names the flag when it is missing or malformed.
    pub fn resolve(&self) -> Result<Broker, Failure> {
        let joined = self.joined();
        let file = self.amqp_url_file.as_deref();
        let urls = given("--amqp-url", joined.as_deref(), file)?;
        let mut checked = Vec::new();
        let urls = urls.split([',', '\n']).map(str::trim);
        for url in urls.filter(|url| !url.is_empty()) {
            if let Some(fault) = url_fault(url, &["amqp", "amqps"]) {
                return Err(Failure::configuration(format!("--amqp-url: {fault}")));
            }
            checked.push(SecretUrl::new(url));
        }
        Ok(Broker {
            urls: checked,
            prefix: self.prefix.clone(),
        })
    }

    fn joined(&self) -> Option<String> {
        (!self.amqp_url.is_empty()).then(|| self.amqp_url.join(","))
    }
}

/// Whose hours and days to report in.
#[derive(Debug, Clone, Args)]
pub struct ZoneArgs {
    /// The reporting zone, such as Asia/Tehran; unset means the stored one, UTC when none is stored
    #[arg(long, env = "ADTALLY_TIMEZONE", value_name = "ZONE")]
    pub timezone: Option<String>,
}

impl ZoneArgs {
    /// The zone that was asked for, if any.
    ///
    /// # Errors
    /// A configuration [`Failure`] for a name that is no time zone.
    pub fn resolve(&self) -> Result<Option<ReportingZone>, Failure> {
        let named = self.timezone.as_deref().filter(|name| !name.is_empty());
        let parsed = named.map(str::parse).transpose();
        parsed.map_err(|error| Failure::configuration(format!("--timezone: {error}")))
    }
}

/// Where a worker or beat answers health checks.
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    /// The address of /livez, /readyz and /metrics; port 0 picks a free one
    #[arg(
        long,
        env = "ADTALLY_HEALTH_BIND",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0"
    )]
    pub health_bind: SocketAddr,
}

/// Reads the variable of a flag that takes no value: 1, true, yes or 0, false, no. Empty, as compose
/// files set it, counts as unset.
///
/// # Errors
/// What to write instead of anything else.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
        "" | "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err("write 1, true or yes, or else 0, false or no".to_owned()),
    }
}

/// Reads a path that may be empty, which clap's own parser refuses: an empty variable counts as
/// unset.
pub fn path_or_empty() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Where a secret comes from. An empty variable, as compose files set them, counts as unset.
#[derive(Debug, PartialEq, Eq)]
enum Source<'a> {
    Value(&'a str),
    File(&'a Path),
    Both,
    Nothing,
}

fn source<'a>(value: Option<&'a str>, file: Option<&'a Path>) -> Source<'a> {
    let value = value.map(str::trim).filter(|value| !value.is_empty());
    let file = file.filter(|file| !file.as_os_str().is_empty());
    match (value, file) {
        (Some(_), Some(_)) => Source::Both,
        (Some(value), None) => Source::Value(value),
        (None, Some(file)) => Source::File(file),
        (None, None) => Source::Nothing,
    }
}

fn given(flag: &str, value: Option<&str>, file: Option<&Path>) -> Result<String, Failure> {
    let name = flag.trim_start_matches("--").replace('-', "_");
    let variable = format!("ADTALLY_{}", name.to_uppercase());
    match source(value, file) {
        Source::Value(value) => Ok(value.to_owned()),
        Source::File(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                let file = file.display();
                Failure::configuration(format!("cannot read {flag}-file {file}: {error}"))
            })?;
            match text.trim() {
                "" => Err(Failure::configuration(format!(
                    "{flag}-file {} is empty",
                    file.display()
                ))),
                text => Ok(text.to_owned()),
            }
        }
        Source::Both => Err(Failure::usage(format!(
            "{flag} and {flag}-file are both given, as flags or as {variable} and {variable}_FILE; \
             keep one"
        ))),
        Source::Nothing => Err(Failure::usage(format!(
            "{flag} is required: give the flag or set {variable}"
        ))),
    }
}
