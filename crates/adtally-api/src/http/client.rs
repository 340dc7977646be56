//! What a request says about its client: address, user agent, referer.
//!
//! A browser cannot repair its own headers, so they are trimmed to what an event may hold instead of
//! costing the event.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, REFERER, USER_AGENT};

const USER_AGENT_BYTES: usize = 512;
const REFERER_BYTES: usize = 1_024;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The browser's name for itself, at most 512 bytes.
pub(crate) fn user_agent(headers: &HeaderMap) -> Option<String> {
    headers
        .get(USER_AGENT)
        .and_then(|value| tidied(value, USER_AGENT_BYTES))
}

/// The page the request came from, at most 1,024 bytes.
pub(crate) fn referer(headers: &HeaderMap) -> Option<String> {
    headers
        .get(REFERER)
        .and_then(|value| tidied(value, REFERER_BYTES))
}

/// The client's address, `trusted_proxies` hops in front of us.
///
/// Each proxy appends the address it was called from to `x-forwarded-for`; what stands further left
/// than our own proxies wrote may be anyone's invention. 0 trusts nothing but the connection.
pub(crate) fn address(
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    trusted_proxies: usize,
) -> Option<IpAddr> {
    let peer = peer.map(|peer| peer.ip());
    if trusted_proxies == 0 {
        return peer;
    }
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).collect();
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
    match hops.map(<[u8]>::trim_ascii).nth(trusted_proxies - 1) {
        Some(hop) => std::str::from_utf8(hop).ok().and_then(hop_address),
        None => peer,
    }
}

/// Some proxies write the port as well.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bracketed = hop
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bracketed.unwrap_or(hop).parse();
    address
        .ok()
        .or_else(|| hop.parse::<SocketAddr>().ok().map(|hop| hop.ip()))
}

fn tidied(value: &HeaderValue, max_bytes: usize) -> Option<String> {
    let text = String::from_utf8_lossy(value.as_bytes());
    let mut text: String = text.chars().filter(|char| !char.is_control()).collect();
    text.truncate(text.floor_char_boundary(max_bytes));
    Some(text).filter(|text| !text.is_empty())
}
