//! Why an event is refused.

use std::fmt;

use thiserror::Error;

macro_rules! reject_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The stable code of a refusal, as clients see it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RejectCode { $($(#[$doc])* $name,)* }

        impl RejectCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reject_codes! {
    /// The item is not a JSON object of the event's shape.
    InvalidEvent = "invalid_event",
    /// `ad_id` is missing or not a whole number from 1 to 2^63-1.
    InvalidAdId = "invalid_ad_id",
    /// `kind` is missing or neither `impression` nor `click`.
    InvalidKind = "invalid_kind",
    /// `event_id` is empty or not a text.
    InvalidEventId = "invalid_event_id",
    /// `impression_id` is not the UUID of an event.
    InvalidImpressionId = "invalid_impression_id",
    /// `occurred_at` is not an RFC 3339 time with offset from 1970 to 9999.
    InvalidOccurredAt = "invalid_occurred_at",
    /// `occurred_at` is missing although `event_id` does not say the time itself.
    OccurredAtRequired = "occurred_at_required",
    /// The event is older than the operator accepts.
    TooOld = "too_old",
    /// The event is more than five minutes ahead of the API's clock.
    InFuture = "in_future",
    /// `ip` is not an IPv4 or IPv6 address.
    InvalidIp = "invalid_ip",
    /// A text is longer than its bound.
    TooLong = "too_long",
    /// A text holds NUL or another control character.
    ControlCharacter = "control_character",
    /// The event was valid, but could not be kept now; send it again.
    NotKept = "not_kept",
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why one event is refused: a stable code and a sentence for the person who reads the answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {detail}")]
pub struct Rejection {
    /// The stable code.
    pub code: RejectCode,
    /// What is wrong and what would be right. Never repeats what the client sent at length.
    pub detail: String,
}

impl Rejection {
    /// A refusal with `code`, explained by `detail`.
    #[must_use]
    pub fn new(code: RejectCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}
