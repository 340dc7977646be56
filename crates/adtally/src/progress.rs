//! Progress bars on standard error, hidden where that is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const BYTES: &str = "{wide_bar} {bytes}/{total_bytes} {eta} {msg}";
const UNKNOWN: &str = "{spinner} {bytes} {msg}";
const TIME: &str = "{wide_bar} {elapsed}/{prefix} {msg}";
const COUNT: &str = "{wide_bar} {pos}/{len} {eta}";
const WAIT: &str = "{spinner} {elapsed} {msg}";

/// A bar over the bytes of a file, `length` of them if that is known.
pub(crate) fn bytes(length: Option<u64>) -> ProgressBar {
    match length {
        Some(length) => styled(ProgressBar::new(length), BYTES),
        None => styled(ProgressBar::no_length(), UNKNOWN),
    }
}

/// A bar over `duration`, moved in milliseconds.
pub(crate) fn time(duration: Duration) -> ProgressBar {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let bar = ProgressBar::new(millis).with_prefix(format!("{} s", duration.as_secs()));
    styled(bar, TIME)
}

/// A bar over `length` things.
pub(crate) fn count(length: u64) -> ProgressBar {
    styled(ProgressBar::new(length), COUNT)
}

/// A sign that something is waited for.
pub(crate) fn wait(message: impl Into<std::borrow::Cow<'static, str>>) -> ProgressBar {
    let bar = styled(ProgressBar::no_length(), WAIT);
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    // The templates are this file's own; one that did not parse would show indicatif's default.
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_parses() {
        for template in [BYTES, UNKNOWN, TIME, COUNT, WAIT] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
