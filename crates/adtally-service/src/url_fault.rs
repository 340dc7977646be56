//! What is wrong with the URL of a server, told without a word of it: it may hold a password.

#[cfg(test)]
mod tests;

use url::Url;

/// Why `text` cannot be the URL of a server with one of `schemes`; `None` when it can.
///
/// Each host of a list, as libpq takes it, is checked.
pub(crate) fn url_fault(text: &str, schemes: &[&str]) -> Option<String> {
    let expected = format!(
        "expected {}://user:password@host:port/name",
        schemes.first()?
    );
    let Some((scheme, rest)) = text.split_once("://") else {
        return Some(format!("it is no URL; {expected}"));
    };
    if !schemes.contains(&scheme) {
        return Some(format!("its scheme is wrong; {expected}"));
    }
    if scheme.starts_with("postgres")
        && let Some(fault) = libpq_fault(rest)
    {
        return Some(fault.to_owned());
    }
    let error = with_each_host(text).find_map(|url| Url::parse(&url).err())?;
    Some(format!(
        "it is no URL ({error}); {expected}, special characters of the password as %XX"
    ))
}

/// Why libpq would take part of a password for something else, or quote it in an error, and so have
/// it logged. `rest` is the URL without its scheme.
///
/// libpq ends user and password at the first `@` before a slash, where the URL standard ends them at
/// the last `@`, and neither at `?` nor `#`. It quotes a value that is wrongly encoded.
fn libpq_fault(rest: &str) -> Option<&'static str> {
    if let Some((user, after)) = rest.split_once('@')
        && (after.contains('@') || user.contains(['/', '?', '#']))
    {
        return Some(
            "only the @ before the host is written as it is: write %40 for any other, \
             and in user and password %2F for a slash, %3F for ? and %23 for #",
        );
    }
    let mut encoded = rest.split('%').skip(1);
    let is_sound = |after: &str| {
        let byte = after.get(..2).map(|digits| u8::from_str_radix(digits, 16));
        !after.starts_with('+') && matches!(byte, Some(Ok(1..)))
    };
    if !encoded.all(is_sound) {
        return Some("a % is not followed by two hexadecimal digits: write %25 for a % of its own");
    }
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Some("it holds white space or a control character: write %20 for a space");
    }
    None
}

/// The URL with one host at a time.
fn with_each_host(url: &str) -> impl Iterator<Item = String> {
    let (scheme, rest) = split_after(url, url.find("://").map(|at| at + 3));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, hosts) = split_after(authority, authority.rfind('@').map(|at| at + 1));
    let whole = move |host: &str| format!("{scheme}{user}{host}{tail}");
    hosts.split(',').map(whole)
}

fn split_after(text: &str, at: Option<usize>) -> (&str, &str) {
    text.split_at(at.unwrap_or(0))
}
