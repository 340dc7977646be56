//! Why an event or a message becomes a dead letter.

use std::fmt;

macro_rules! dead_letter_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $body:ident;)*) => {
        /// Why there is a dead letter: the reason in the table, in filters and in metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DeadLetterReason { $($(#[$doc])* $name,)* }

        impl DeadLetterReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            const fn body(self) -> Body {
                match self { $(Self::$name => Body::$body,)* }
            }
        }
    };
}

/// What the body of a letter is, and who says so.
#[derive(PartialEq, Eq)]
enum Body {
    /// One entry of a pack.
    Event,
    /// A whole message.
    Message,
    /// A whole message that the broker gave up. The name is the broker's.
    GivenUpMessage,
}

dead_letter_reasons! {
    /// The entry of a pack is no event, or the table refuses what is in it.
    InvalidEvent = "invalid_event", Event;
    /// The raw events of its hour are closed.
    TooOld = "too_old", Event;
    /// Its time is too far ahead of the database's clock.
    InFuture = "in_future", Event;
    /// It came back too often to be tried again.
    ReturnedTooOften = "returned_too_often", Event;
    /// The message is no pack that this build can read.
    NotAPack = "not_a_pack", Message;
    /// The message is no task that this build can read.
    MalformedTask = "malformed_task", Message;
    /// There is no task of this name.
    UnknownTask = "unknown_task", Message;
    /// The task failed as often as its retry policy allows.
    MaxAttempts = "max_attempts", Message;
    /// The task said that it must never run again.
    Discarded = "discarded", Message;
    /// A consumer rejected the message for good.
    Rejected = "rejected", GivenUpMessage;
    /// Its queue was full.
    MaxLen = "maxlen", GivenUpMessage;
    /// It was returned to its queue too often.
    DeliveryLimit = "delivery_limit", GivenUpMessage;
}

impl DeadLetterReason {
    /// The reason with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|reason| reason.as_str() == name)
    }

    /// Whether the body is one entry of a pack, not a whole message.
    #[must_use]
    pub fn holds_event(self) -> bool {
        self.body() == Body::Event
    }

    /// Whether it is the broker's own word for why it gave a message up (`x-death`).
    #[must_use]
    pub fn is_of_broker(self) -> bool {
        self.body() == Body::GivenUpMessage
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_known_by_its_name_alone() {
        for reason in DeadLetterReason::ALL {
            assert_eq!(DeadLetterReason::named(reason.as_str()), Some(*reason));
        }
        for unknown in ["", "Rejected", "expired", "a\0b"] {
            assert_eq!(DeadLetterReason::named(unknown), None);
        }
    }
}
