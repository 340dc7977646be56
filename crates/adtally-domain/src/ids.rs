//! Ids the ad server owns.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number that is not a valid id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} is not an id: ids run from 1 to 9223372036854775807")]
pub struct InvalidId(pub i64);

macro_rules! positive_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(i64);

        impl $name {
            /// The id `value`, from 1 to 2^63-1; `None` outside that range.
            #[must_use]
            pub const fn new(value: i64) -> Option<Self> {
                if value > 0 { Some(Self(value)) } else { None }
            }

            /// The bare number.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = InvalidId;

            fn try_from(value: i64) -> Result<Self, InvalidId> {
                Self::new(value).ok_or(InvalidId(value))
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> i64 {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

positive_id!(
    /// An ad. The ad server owns the number, from 1 to 2^63-1.
    AdId
);
positive_id!(
    /// An advertiser, from 1 to 2^63-1.
    AdvertiserId
);
