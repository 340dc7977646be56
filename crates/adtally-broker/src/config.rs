//! Where the broker is and what our part of it is called.

use std::fmt;
use std::sync::Arc;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::topology::{OnceSet, Topology};
use crate::{BrokerError, random::Randomness};

/// Seconds of silence after which either side doubts the connection, unless the URL says another
/// number. RabbitMQ advises 5 to 20.
const HEARTBEAT_SECONDS: u16 = 10;

/// How to reach the broker. Cheap to clone; clones share what they learnt about the topology, so
/// each peculiarity is reported once per process.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    pub(crate) urls: Arc<[BrokerUrl]>,
    pub(crate) connection_name: Arc<str>,
    pub(crate) topology: Arc<Topology>,
    pub(crate) once: Arc<OnceSet>,
    pub(crate) random: Arc<Randomness>,
}

impl BrokerConfig {
    /// A configuration from `urls` (`amqp://` or `amqps://`, tried in turn), the `prefix` of all
    /// names, and the `connection_name` shown in RabbitMQ's own tools.
    ///
    /// The path of a URL is the virtual host, percent-encoded; none means `/`. The query may set
    /// `heartbeat` in seconds.
    ///
    /// # Errors
    /// [`BrokerError::NoUrl`], [`BrokerError::InvalidUrl`] and [`BrokerError::InvalidPrefix`].
    pub fn new<U: AsRef<str>>(
        urls: &[U],
        prefix: &str,
        connection_name: &str,
    ) -> Result<Self, BrokerError> {
        let parsed = urls.iter().enumerate().map(|(index, url)| {
            BrokerUrl::parse(url.as_ref()).map_err(|reason| BrokerError::InvalidUrl {
                position: index + 1,
                reason,
            })
        });
        let urls: Arc<[BrokerUrl]> = parsed.collect::<Result<_, _>>()?;
        if urls.is_empty() {
            return Err(BrokerError::NoUrl);
        }
        Ok(Self {
            urls,
            connection_name: connection_name.into(),
            topology: Arc::new(Topology::new(prefix)?),
            once: Arc::default(),
            random: Arc::default(),
        })
    }

    /// The names of our queues and exchanges.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
}

/// One broker's address and credentials. Shows itself without the password.
#[derive(Clone)]
pub(crate) struct BrokerUrl {
    pub(crate) uri: AMQPUri,
}

impl BrokerUrl {
    /// The reason of a failure never repeats the URL, which may hold a password.
    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim()).map_err(|error| error.to_string())?;
        let scheme = match url.scheme() {
            "amqp" => AMQPScheme::AMQP,
            "amqps" => AMQPScheme::AMQPS,
            _ => return Err("it must begin with amqp:// or amqps://".to_owned()),
        };
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => decoded(name)?,
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => return Err("it names no host".to_owned()),
        };
        let username = match url.username() {
            "" => "guest".to_owned(),
            name => decoded(name)?,
        };
        let password = url.password().map_or(Ok("guest".to_owned()), decoded)?;
        let port = url.port().unwrap_or_else(|| scheme.default_port());
        let vhost = match decoded(url.path().strip_prefix('/').unwrap_or_default())? {
            name if name.is_empty() => "/".to_owned(),
            name => name,
        };
        let query = AMQPQueryString {
            heartbeat: Some(heartbeat(&url)?),
            ..AMQPQueryString::default()
        };
        let authority = AMQPAuthority {
            userinfo: AMQPUserInfo { username, password },
            host,
            port,
        };
        Ok(Self {
            uri: AMQPUri {
                scheme,
                authority,
                vhost,
                query,
            },
        })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPAuthority {
            userinfo,
            host,
            port,
        } = &self.uri.authority;
        let vhost = self.uri.vhost.replace('/', "%2f");
        write!(
            f,
            "{}://{}@{host}:{port}/{vhost}",
            self.uri.scheme, userinfo.username
        )
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn heartbeat(url: &Url) -> Result<u16, String> {
    match url.query_pairs().find(|(key, _)| key == "heartbeat") {
        None => Ok(HEARTBEAT_SECONDS),
        Some((_, value)) => value
            .parse()
            .map_err(|_| "its heartbeat must be a number of seconds up to 65535".to_owned()),
    }
}

/// The text that `part` of a URL stands for. A lone `%`, which the library would take as it is, is an error.
fn decoded(part: &str) -> Result<String, String> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().first_chunk();
        digits.is_some_and(|digits: &[u8; 2]| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !part.split('%').skip(1).all(is_escape) {
        return Err("it has a % without two hexadecimal digits".to_owned());
    }
    match percent_decode_str(part).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err("it is not UTF-8 once percent-decoded".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> AMQPUri {
        BrokerUrl::parse(text).unwrap().uri
    }

    #[test]
    fn a_url_without_a_path_means_the_default_virtual_host() {
        for text in [
            "amqp://h",
            "amqp://h/",
            "amqp://h/%2f",
            "amqp://h/%2F",
            "amqp://h//",
        ] {
            assert_eq!(uri(text).vhost, "/", "{text}");
        }
        assert_eq!(uri("amqp://h/a%2Fb").vhost, "a/b");
    }

    #[test]
    fn hosts_ports_and_credentials_are_read_as_written() {
        let uri = uri("amqps://%61da:p%40ss@[::1]:5699/ads?heartbeat=5");
        assert_eq!(uri.authority.host, "::1");
        assert_eq!(uri.authority.port, 5699);
        assert_eq!(uri.authority.userinfo.username, "ada");
        assert_eq!(uri.authority.userinfo.password, "p@ss");
        assert_eq!(uri.query.heartbeat, Some(5));
        assert_eq!(
            super::BrokerUrl::parse("amqp://h")
                .unwrap()
                .uri
                .authority
                .port,
            5672
        );
    }

    #[test]
    fn no_error_and_no_debug_output_shows_a_password() {
        for text in [
            "amqp://ada:hunter2@h:99999/",
            "http://ada:hunter2@h/",
            "ada:hunter2@h",
            "amqp://ada:hunter2@/x",
            "amqp://ada:hunter2%zz@h/",
            "amqp://ada:hunter2@h/%ff",
            "amqp://ada:hunter2@h/?heartbeat=hunter2",
        ] {
            let error = BrokerConfig::new(&[text], "adtally", "test").unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(!error.is_transient());
        }
        let config = BrokerConfig::new(&["amqp://ada:hunter2@h/"], "adtally", "test").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        assert_eq!(config.urls[0].to_string(), "amqp://ada@h:5672/%2f");
    }

    #[test]
    fn a_prefix_is_short_and_plain() {
        let long = "x".repeat(65);
        for prefix in ["", "Ads", "a b", "a#", "a*", "ä", long.as_str()] {
            let error = BrokerConfig::new(&["amqp://h"], prefix, "test").unwrap_err();
            assert_eq!(error, BrokerError::InvalidPrefix(prefix.to_owned()));
        }
        assert!(BrokerConfig::new(&["amqp://h"], "ads.eu-1_x", "test").is_ok());
    }
}
