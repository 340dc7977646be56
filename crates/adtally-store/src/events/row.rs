//! An event as a row.

use adtally_domain::Event;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use ipnet::IpNet;
use uuid::Uuid;

use crate::schema::events;

/// A row of `events`; `verdict` and `rule_version` take their defaults.
#[derive(Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub(super) struct EventRow<'a> {
    event_id: Uuid,
    ad_id: i64,
    kind: i16,
    received_at: DateTime<Utc>,
    impression_id: Option<Uuid>,
    ip: Option<IpNet>,
    visitor_id: Option<&'a str>,
    user_agent: Option<&'a str>,
    referer: Option<&'a str>,
    placement: Option<&'a str>,
    source: Option<&'a str>,
}

impl<'a> From<&&'a Event> for EventRow<'a> {
    fn from(event: &&'a Event) -> Self {
        Self {
            event_id: event.id.as_uuid(),
            ad_id: event.ad_id.get(),
            kind: i16::from(event.kind.code()),
            received_at: event.received_at.to_datetime(),
            impression_id: event.impression_id,
            ip: event.ip.map(IpNet::from),
            visitor_id: event.visitor_id.as_deref(),
            user_agent: event.user_agent.as_deref(),
            referer: event.referer.as_deref(),
            placement: event.placement.as_deref(),
            source: event.source.as_deref(),
        }
    }
}
