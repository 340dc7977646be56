//! Bounds of the texts an event may carry.

use crate::{RejectCode, Rejection, Scalar};

/// The longest client id, visitor id or impression id, in bytes.
pub(super) const ID_BYTES: usize = 128;
/// The longest placement, in bytes.
pub(super) const PLACEMENT_BYTES: usize = 128;
/// The longest user agent, in bytes.
pub(super) const USER_AGENT_BYTES: usize = 512;
/// The longest referer, in bytes.
pub(super) const REFERER_BYTES: usize = 1_024;

/// The text of the field `name`, `None` when it is absent or empty.
pub(super) fn text(
    field: &Scalar<'_>,
    name: &str,
    max_bytes: usize,
) -> Result<Option<String>, Rejection> {
    let text = match field {
        Scalar::Absent => return Ok(None),
        Scalar::Text(text) if text.is_empty() => return Ok(None),
        Scalar::Text(text) => text,
        Scalar::Integer(_) | Scalar::Other => {
            let detail = format!("{name} must be a text");
            return Err(Rejection::new(RejectCode::InvalidEvent, detail));
        }
    };
    check(text, name, max_bytes)?;
    Ok(Some(text.clone().into_owned()))
}

/// Refuses a text that is longer than `max_bytes` or holds a control character.
pub(super) fn check(text: &str, name: &str, max_bytes: usize) -> Result<(), Rejection> {
    if text.len() > max_bytes {
        let detail = format!(
            "{name} is {} bytes long, at most {max_bytes} are kept",
            text.len()
        );
        return Err(Rejection::new(RejectCode::TooLong, detail));
    }
    if text.chars().any(char::is_control) {
        let detail = format!("{name} holds a control character");
        return Err(Rejection::new(RejectCode::ControlCharacter, detail));
    }
    Ok(())
}
