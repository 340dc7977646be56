//! What AdTally's messages look like, whoever carries them.
//!
//! Two formats, both JSON that a person can read: packs of events ([`pack`]) and Celery's task messages
//! ([`celery`]). A message's [`Properties`] and [`Headers`] are types of our own, so neither format knows
//! the client library. `adtally-broker` turns them into its types and sends them.
//!
//! ```
//! use adtally_wire::pack;
//!
//! let body = br#"{"v":2,"kind":"click","fields":["event_id","ad_id","received_at"],
//!     "events":[["019a0000-0000-7000-8000-000000000000",42,1795327200123]]}"#;
//! let events = pack::decode(body)?;
//! assert_eq!(events[0].as_ref().map(|event| event.ad_id.get()), Ok(42));
//! # Ok::<(), pack::PackError>(())
//! ```

pub mod celery;
mod envelope;
mod headers;
pub mod pack;
mod properties;

pub use envelope::Envelope;
pub use headers::{HeaderValue, Headers};
pub use properties::Properties;
