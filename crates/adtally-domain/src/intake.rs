//! The judgement that turns what a client sent into an [`Event`].

#[cfg(test)]
mod tests;
mod text;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    AdId, Event, EventId, EventInput, EventKind, RejectCode, Rejection, Scalar, Timestamp,
};
use text::{ID_BYTES, PLACEMENT_BYTES, REFERER_BYTES, USER_AGENT_BYTES, check, text};

/// How far an event's time may be ahead of the API's clock.
const MAX_FUTURE_MILLIS: i64 = 5 * 60 * 1_000;
/// How far `occurred_at` may be from the time of a UUIDv7 beside it. Clients read two clocks, one
/// after the other.
const MAX_APART_MILLIS: u64 = 2_000;
/// How far outside of what is let in a UUIDv7 may be and still be taken for one. Six bits make a
/// UUIDv7, so one in 64 of all hex digests looks like one, of any time until the year 10889.
const PLAUSIBLE_MILLIS: i64 = 366 * 86_400 * 1_000;

/// What the operator lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intake {
    /// Events older than this are refused.
    pub max_event_age: Duration,
    /// Keep addresses whole; otherwise they are cut to their /24 (IPv4) or /48 (IPv6) network.
    pub keep_ip: bool,
}

impl Intake {
    /// The event that `input` describes, received at `now` from `source`.
    ///
    /// `random` fills the id of an event that has none of its own.
    ///
    /// # Errors
    /// A [`Rejection`] with the first thing that is wrong. Nothing is ever clamped or repaired.
    pub fn accept(
        &self,
        input: &EventInput<'_>,
        now: Timestamp,
        source: Option<&str>,
        random: impl FnOnce() -> [u8; 10],
    ) -> Result<Event, Rejection> {
        let ad_id = ad_id(&input.ad_id)?;
        let kind = kind(&input.kind)?;
        let id = self.event_id(input, kind, ad_id, now, random)?;
        self.check_time(id.time(), now)?;
        Ok(Event {
            id,
            kind,
            ad_id,
            received_at: now,
            impression_id: impression_id(&input.impression_id)?,
            ip: ip(&input.ip)?.map(|ip| if self.keep_ip { ip } else { network_of(ip) }),
            visitor_id: text(&input.visitor_id, "visitor_id", ID_BYTES)?,
            user_agent: text(&input.user_agent, "user_agent", USER_AGENT_BYTES)?,
            referer: text(&input.referer, "referer", REFERER_BYTES)?,
            placement: text(&input.placement, "placement", PLACEMENT_BYTES)?,
            source: source.map(str::to_owned),
        })
    }

    fn event_id(
        &self,
        input: &EventInput<'_>,
        kind: EventKind,
        ad_id: AdId,
        now: Timestamp,
        random: impl FnOnce() -> [u8; 10],
    ) -> Result<EventId, Rejection> {
        let occurred_at = occurred_at(&input.occurred_at)?;
        let Some(client_id) = client_id(&input.event_id)? else {
            return Ok(EventId::v7(occurred_at.unwrap_or(now), random()));
        };
        let time_ordered = Uuid::parse_str(client_id).ok().and_then(EventId::from_v7);
        match (time_ordered, occurred_at) {
            (Some(id), Some(time)) if is_same_moment(id, time) => Ok(id),
            (Some(id), None) if self.is_plausible(id, now) => Ok(id),
            (_, Some(time)) => Ok(EventId::derive(kind, ad_id, time, client_id)),
            (_, None) => Err(Rejection::new(
                RejectCode::OccurredAtRequired,
                "occurred_at is required unless event_id is a UUIDv7 of a time that is let in",
            )),
        }
    }

    /// Whether `id`, with no other time beside it, is a UUIDv7 by more than chance.
    fn is_plausible(&self, id: EventId, now: Timestamp) -> bool {
        let (id, now) = (id.time().as_millis(), now.as_millis());
        let earliest = now.saturating_sub(self.max_age_millis());
        let latest = now.saturating_add(MAX_FUTURE_MILLIS);
        (earliest.saturating_sub(PLAUSIBLE_MILLIS)..=latest.saturating_add(PLAUSIBLE_MILLIS))
            .contains(&id)
    }

    fn max_age_millis(&self) -> i64 {
        i64::try_from(self.max_event_age.as_millis()).unwrap_or(i64::MAX)
    }

    fn check_time(&self, time: Timestamp, now: Timestamp) -> Result<(), Rejection> {
        if time.as_millis() < now.as_millis().saturating_sub(self.max_age_millis()) {
            let days = self.max_event_age.as_secs() / 86_400;
            return Err(Rejection::new(
                RejectCode::TooOld,
                format!("the event's time, {time}, is more than {days} days ago"),
            ));
        }
        if time.as_millis() > now.as_millis().saturating_add(MAX_FUTURE_MILLIS) {
            return Err(Rejection::new(
                RejectCode::InFuture,
                format!("the event's time, {time}, is more than 5 minutes in the future"),
            ));
        }
        Ok(())
    }
}

fn ad_id(field: &Scalar<'_>) -> Result<AdId, Rejection> {
    let valid = if let Scalar::Integer(number) = field {
        AdId::new(*number)
    } else {
        None
    };
    valid.ok_or_else(|| {
        let detail = "ad_id must be a whole number from 1 to 9223372036854775807";
        Rejection::new(RejectCode::InvalidAdId, detail)
    })
}

fn kind(field: &Scalar<'_>) -> Result<EventKind, Rejection> {
    let valid = if let Scalar::Text(text) = field {
        text.parse().ok()
    } else {
        None
    };
    valid.ok_or_else(|| {
        Rejection::new(
            RejectCode::InvalidKind,
            "kind must be \"impression\" or \"click\"",
        )
    })
}

/// The client's own name for the event.
fn client_id<'a>(field: &'a Scalar<'_>) -> Result<Option<&'a str>, Rejection> {
    let refused = |detail| Err(Rejection::new(RejectCode::InvalidEventId, detail));
    match field {
        Scalar::Absent => Ok(None),
        Scalar::Text(id) if id.is_empty() => {
            refused("event_id must not be empty; leave it out to have one made")
        }
        Scalar::Text(id) => check(id, "event_id", ID_BYTES).map(|()| Some(id.as_ref())),
        Scalar::Integer(_) | Scalar::Other => refused("event_id must be a text"),
    }
}

/// Whether `id` was made when the event it names happened.
fn is_same_moment(id: EventId, time: Timestamp) -> bool {
    id.time().as_millis().abs_diff(time.as_millis()) <= MAX_APART_MILLIS
}

fn occurred_at(field: &Scalar<'_>) -> Result<Option<Timestamp>, Rejection> {
    let text = match field {
        Scalar::Absent => return Ok(None),
        Scalar::Text(text) => text.as_ref(),
        Scalar::Integer(_) | Scalar::Other => "",
    };
    let time = DateTime::parse_from_rfc3339(text).ok();
    let time = time.and_then(|time| Timestamp::try_from(time.with_timezone(&Utc)).ok());
    time.map(Some).ok_or_else(|| {
        let detail = "occurred_at must be an RFC 3339 time with offset, from 1970 to 9999, \
                      such as 2026-11-22T06:00:00.123Z";
        Rejection::new(RejectCode::InvalidOccurredAt, detail)
    })
}

fn impression_id(field: &Scalar<'_>) -> Result<Option<Uuid>, Rejection> {
    let uuid = match field {
        Scalar::Absent => return Ok(None),
        Scalar::Text(text) => Uuid::parse_str(text).ok(),
        Scalar::Integer(_) | Scalar::Other => None,
    };
    uuid.map(Some).ok_or_else(|| {
        let detail = "impression_id must be the UUID of the impression's event, \
                      as POST /v1/events?ids=1 answers it";
        Rejection::new(RejectCode::InvalidImpressionId, detail)
    })
}

fn ip(field: &Scalar<'_>) -> Result<Option<IpAddr>, Rejection> {
    let ip = match field {
        Scalar::Absent => return Ok(None),
        Scalar::Text(text) => text.parse::<IpAddr>().ok(),
        Scalar::Integer(_) | Scalar::Other => None,
    };
    ip.map(|ip| Some(ip.to_canonical()))
        .ok_or_else(|| Rejection::new(RejectCode::InvalidIp, "ip must be an IPv4 or IPv6 address"))
}

/// The /24 of an IPv4 address or the /48 of an IPv6 address: enough to tell networks apart, too
/// little to tell visitors apart.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & (u32::MAX << 8)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 80)).into(),
    }
}
