//! Events that look like those of ad servers.

use std::io::Write;

use adtally_domain::{EventId, EventKind, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::zipf::Zipf;

/// The offset of the Zipf-Mandelbrot distribution, which flattens its head.
const OFFSET: f64 = 2.0;
/// How many impressions are remembered for clicks to follow.
const RECENT: usize = 4_096;

const USER_AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 Chrome/150.0.0.0 Mobile Safari/537.36",
];
const PLACEMENTS: [&str; 4] = ["header", "sidebar", "in-article", "footer"];

/// What traffic is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrafficShape {
    /// How many ads there are, numbered from 1 in the order of their popularity.
    pub(crate) ads: u32,
    /// How steeply their popularity falls: the exponent of the Zipf-Mandelbrot distribution.
    pub(crate) slope: f64,
    /// The share of clicks among the events, from 0 to 1.
    pub(crate) click_share: f64,
}

/// Makes events, each with an id of its own.
pub(crate) struct Traffic {
    random: StdRng,
    ads: Zipf,
    click_share: f64,
    /// Impressions that clicks may follow, overwritten in turn.
    recent: Vec<(u32, EventId)>,
    oldest: usize,
}

impl Traffic {
    /// Traffic of `shape`; the same `seed` chooses the same ads and kinds.
    pub(crate) fn new(shape: TrafficShape, seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            ads: Zipf::new(shape.ads, shape.slope, OFFSET),
            click_share: shape.click_share,
            recent: Vec::with_capacity(RECENT),
            oldest: 0,
        }
    }

    /// Adds an event that happened at `time` to the end of `json`, as a JSON object, and tells its
    /// id. A click follows one of the impressions made before, of the same ad.
    pub(crate) fn write_event(&mut self, time: Timestamp, json: &mut Vec<u8>) -> EventId {
        let id = EventId::v7(time, self.id_bytes());
        let follows = if self.random.random_bool(self.click_share) {
            self.impression()
        } else {
            None
        };
        let (kind, ad) = match follows {
            Some((ad, _)) => (EventKind::Click, ad),
            None => (EventKind::Impression, self.ads.sample(&mut self.random)),
        };
        if kind == EventKind::Impression {
            self.remember(ad, id);
        }
        // The texts are this file's own and need no escapes. Writing to memory does not fail.
        let _infallible = write!(
            json,
            r#"{{"ad_id":{ad},"kind":"{kind}","event_id":"{id}","visitor_id":"v{:08x}","ip":"198.51.100.{}","user_agent":"{}","placement":"{}""#,
            self.random.random::<u32>(),
            self.random.random::<u8>(),
            self.pick(USER_AGENTS),
            self.pick(PLACEMENTS),
        );
        if let Some((_, impression)) = follows {
            let _infallible = write!(json, r#","impression_id":"{impression}""#);
        }
        json.push(b'}');
        id
    }

    /// Whether something of probability `share` happens now.
    pub(crate) fn happens(&mut self, share: f64) -> bool {
        self.random.random_bool(share)
    }

    /// The ids' bytes never repeat, whatever the seed: the same seed may be used twice.
    fn id_bytes(&self) -> [u8; 10] {
        rand::random()
    }

    fn pick(&mut self, texts: [&'static str; 4]) -> &'static str {
        let index = self.random.random_range(0..texts.len());
        texts.get(index).copied().unwrap_or_default()
    }

    fn impression(&mut self) -> Option<(u32, EventId)> {
        if self.recent.is_empty() {
            return None;
        }
        let index = self.random.random_range(0..self.recent.len());
        self.recent.get(index).copied()
    }

    fn remember(&mut self, ad: u32, id: EventId) {
        if self.recent.len() < RECENT {
            self.recent.push((ad, id));
        } else if let Some(slot) = self.recent.get_mut(self.oldest) {
            *slot = (ad, id);
            self.oldest = (self.oldest + 1) % RECENT;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use adtally_domain::{AdId, EventInput, Intake};

    use super::*;

    const TIME: i64 = 1_795_327_200_123;

    fn events(shape: TrafficShape, seed: u64, count: usize) -> Vec<adtally_domain::Event> {
        let mut traffic = Traffic::new(shape, seed);
        let time = Timestamp::from_millis(TIME).unwrap();
        let intake = Intake {
            max_event_age: std::time::Duration::from_secs(60),
            keep_ip: false,
        };
        let event = |_| {
            let mut json = Vec::new();
            let id = traffic.write_event(time, &mut json);
            let input: EventInput<'_> = serde_json::from_slice(&json).unwrap();
            let event = intake.accept(&input, time, None, || [0; 10]).unwrap();
            assert_eq!(event.id, id);
            event
        };
        (0..count).map(event).collect()
    }

    const SHAPE: TrafficShape = TrafficShape {
        ads: 100,
        slope: 1.0,
        click_share: 0.2,
    };

    #[test]
    fn every_event_is_valid_and_has_an_id_of_its_own() {
        let events = events(SHAPE, 1, 5_000);
        let ids: BTreeSet<_> = events.iter().map(|event| event.id).collect();
        assert_eq!(ids.len(), events.len());
        assert!(ids.iter().all(|id| id.time().as_millis() == TIME));
    }

    #[test]
    fn a_click_follows_an_impression_of_its_ad() {
        let events = events(SHAPE, 2, 10_000);
        let ad_of: BTreeMap<_, _> = events.iter().map(|e| (e.id.as_uuid(), e.ad_id)).collect();
        let clicks: Vec<_> = events
            .iter()
            .filter(|e| e.kind == EventKind::Click)
            .collect();
        assert!((1_800..2_200).contains(&clicks.len()), "{}", clicks.len());
        for click in clicks {
            assert_eq!(ad_of.get(&click.impression_id.unwrap()), Some(&click.ad_id));
        }
    }

    #[test]
    fn the_same_seed_chooses_the_same_ads() {
        let ads =
            |seed| -> Vec<AdId> { events(SHAPE, seed, 200).iter().map(|e| e.ad_id).collect() };
        assert_eq!(ads(3), ads(3));
        assert_ne!(ads(3), ads(4));
    }
}
