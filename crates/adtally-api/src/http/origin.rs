//! Which requests of browsers are let in. Refused are those for a host name that somebody else points here
//! (DNS rebinding), and changes that a page of another origin asks for.
//!
//! A program is no browser and sends neither `Origin` nor `Sec-Fetch-Site`. Pixels and clicks are for pages
//! of any origin.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr};

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{HOST, HeaderName, ORIGIN};
use adtally_service::HEALTH_PATHS;

use crate::http::problem::{Problem, ProblemCode};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The host names that the API is known by. An address, and `localhost`, always is one: no other page
/// can bear it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AllowedHosts {
    /// Any, as names cannot be known.
    Any,
    /// These, in lower case.
    Named(Vec<String>),
}

impl AllowedHosts {
    /// Those that `given` names, `*` for any. Without a name: none for an API that only this machine
    /// reaches, as the names of its neighbours are not its own, and any for another.
    pub(crate) fn new(given: &[String], listens_on: IpAddr) -> Self {
        let given: Vec<_> = given.iter().map(|name| plain(name)).collect();
        let is_any = given.iter().any(|name| name == "*");
        if is_any || (given.is_empty() && !listens_on.is_loopback()) {
            return Self::Any;
        }
        Self::Named(given)
    }

    /// Whether `host`, as a URL or the header has it, is one.
    fn allow(&self, host: &str) -> bool {
        let Self::Named(names) = self else {
            return true;
        };
        let host = plain(without_port(host));
        host == "localhost" || is_address(&host) || names.contains(&host)
    }
}

/// Whether `request` may go on.
///
/// # Errors
/// The problem to answer.
pub(crate) fn check(request: &ServiceRequest, hosts: &AllowedHosts) -> Result<(), Problem> {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_from_browser =
        request.headers().contains_key(ORIGIN) || request.headers().contains_key(SEC_FETCH_SITE);
    let is_ours = match request.path() {
        path if is_safe && is_for_everybody(path) => return Ok(()),
        // Programs send events under any name that a proxy passes on.
        "/v1/events" => !is_from_browser || hosts.allow(host(request)),
        _ => hosts.allow(host(request)),
    };
    if !is_ours {
        let detail = "say its name by --allowed-host if it is one of the API's";
        return Err(Problem::new(ProblemCode::HostNotAllowed, detail));
    }
    if is_safe || !is_from_browser || is_same_origin(request, hosts) {
        return Ok(());
    }
    let detail = "only a page of the API's own, or a program, may ask for this";
    Err(Problem::new(ProblemCode::ForeignOrigin, detail))
}

/// Routes that any page may name, and those that machines ask under any name.
fn is_for_everybody(path: &str) -> bool {
    path == "/v1/pixel.gif" || path.starts_with("/v1/click/") || HEALTH_PATHS.contains(&path)
}

/// Whether the page that sent `request` came from here. A browser that says so itself is right even behind
/// a proxy that changes `Host`; older ones name the page's origin.
fn is_same_origin(request: &ServiceRequest, hosts: &AllowedHosts) -> bool {
    if let Some(site) = request.headers().get(SEC_FETCH_SITE) {
        // `none`: a person, not a page.
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let origin = request.headers().get(ORIGIN);
    let origin = origin.and_then(|origin| origin.to_str().ok());
    let Some((_, page)) = origin.and_then(|origin| origin.split_once("://")) else {
        return false;
    };
    let is_named =
        matches!(hosts, AllowedHosts::Named(names) if names.contains(&plain(without_port(page))));
    is_named || page.eq_ignore_ascii_case(host(request))
}

/// The host that `request` is for; empty for an old program that names none.
fn host(request: &ServiceRequest) -> &str {
    let target = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let header = || request.headers().get(HOST)?.to_str().ok();
    target.or_else(header).unwrap_or("localhost")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// `name` in lower case, without the dot that may end it.
fn plain(name: &str) -> String {
    let name = name.trim();
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_address(host: &str) -> bool {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<IpAddr>().is_ok(),
    }
}
