//! Requests that no handler sees, and why.

use actix_http::error::{DispatchError, ParseError};
use prometheus::IntCounterVec;

use crate::metrics::Registry;

/// Counts requests that end before a handler sees them. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Refusals(IntCounterVec);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $label:literal,)*) => {
        /// Why no handler sees a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Refused { $($(#[$doc])* $name,)* }

        impl Refused {
            const ALL: &[Self] = &[$(Self::$name,)*];

            const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

reasons! {
    /// A line of the head ends with a line feed alone.
    BareLineFeed "bare_line_feed",
    /// The head did not arrive in time.
    HeadTimeout "head_timeout",
    /// The head has too many bytes or headers.
    HeadTooLarge "head_too_large",
    /// A header or the size of a chunk breaks HTTP, or headers say two things of the body.
    Header "header",
    /// The method is no word.
    Method "method",
    /// The target is no URI.
    Target "target",
    /// The client asks for a WebSocket or a tunnel, and actix would take all that follows for its body.
    Upgrade "upgrade",
    /// Another version of HTTP.
    Version "version",
}

impl Refused {
    /// What the client is told, for what is refused before the parser.
    pub(super) const fn answer(self) -> &'static str {
        match self {
            Self::HeadTimeout => {
                "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            }
            Self::HeadTooLarge => {
                "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n"
            }
            _ => "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        }
    }

    /// The reason in an error of actix, unless the client is just gone.
    pub(super) fn from_dispatch(error: &DispatchError) -> Option<Self> {
        let DispatchError::Parse(error) = error else {
            return None;
        };
        match error {
            ParseError::Method => Some(Self::Method),
            ParseError::Uri(_) => Some(Self::Target),
            ParseError::Version => Some(Self::Version),
            ParseError::TooLarge => Some(Self::HeadTooLarge),
            ParseError::Io(_) | ParseError::Incomplete => None,
            _ => Some(Self::Header),
        }
    }
}

impl Refusals {
    /// Registers the metric; every reason starts at 0.
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = registry.counter_vec(
            "adtally_http_refused_total",
            "Requests that were refused before a route saw them.",
            &["reason"],
        );
        for reason in Refused::ALL {
            counter.with_label_values(&[reason.label()]);
        }
        Self(counter)
    }

    pub(super) fn count(&self, refused: Refused) {
        self.0.with_label_values(&[refused.label()]).inc();
    }
}
