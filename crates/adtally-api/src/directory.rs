//! Where clicks lead: a copy of the ads in memory, so that a click needs no database.
//!
//! It holds the targets of approved ads and nothing else, each once. They are read in parts, which replace
//! what was there part by part, and from then on only what changed is read.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use actix_web::http::header::HeaderValue;
use adtally_domain::AdId;
use adtally_service::{Failure, Shutdown};
use adtally_store::{AdTarget, AdsWatermark, Store, StoreError};

use crate::http::web_address::web_address;

/// How often changes are read; so long another process' change takes to show here.
const REFRESH: Duration = Duration::from_secs(5);

/// How often all ads are read again. A deleted ad, which leaves no change to read, leads somewhere so long.
const READ_ALL: Duration = Duration::from_secs(600);

/// Ads that are read at once.
const PART: u32 = 5_000;

/// The targets of all approved ads. What the database said last stays while it is away.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether all ads were read once.
    is_loaded: bool,
    targets: BTreeMap<AdId, Box<str>>,
    /// What this process wrote since the last read began: the rows read may be older.
    written: HashMap<AdId, Option<Box<str>>>,
}

impl State {
    fn set(&mut self, ad: AdId, location: Option<Box<str>>) {
        match location {
            // Most of what is read is what was read before.
            Some(location) if self.targets.get(&ad) == Some(&location) => {}
            Some(location) => {
                self.targets.insert(ad, location);
            }
            None => {
                self.targets.remove(&ad);
            }
        }
    }

    /// What was written while it was read stands over `read`.
    fn end_read(&mut self, read: impl Iterator<Item = (AdId, Option<Box<str>>)>) {
        for (ad, location) in read {
            self.set(ad, location);
        }
        for (ad, location) in std::mem::take(&mut self.written) {
            self.set(ad, location);
        }
    }
}

/// What the directory knows about an ad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A click leads there.
    To(HeaderValue),
    /// The ad is unknown, not approved or has no target.
    Nowhere,
    /// The ads were never loaded.
    NotLoaded,
}

/// How far a copy of the ads goes.
#[derive(Debug, Clone, Copy)]
struct Read {
    all_at: Instant,
    watermark: AdsWatermark,
}

impl Directory {
    /// Where a click on `ad` leads.
    pub(crate) fn target(&self, ad: AdId) -> Target {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if !state.is_loaded {
            return Target::NotLoaded;
        }
        let location = state.targets.get(&ad);
        let value = location.and_then(|location| HeaderValue::from_str(location).ok());
        value.map_or(Target::Nowhere, Target::To)
    }

    /// Takes over an ad this process just wrote, ahead of the next read.
    pub(crate) fn put(&self, ad: AdId, approved: bool, target_url: Option<&str>) {
        let location = location(approved, target_url);
        let mut state = self.lock();
        state.written.insert(ad, location.clone());
        state.set(ad, location);
    }

    /// Reads all ads from `store`.
    #[cfg(test)]
    pub(crate) async fn load(&self, store: &Store) -> Result<(), StoreError> {
        self.read_all(store).await.map(drop)
    }

    async fn read_all(&self, store: &Store) -> Result<Read, StoreError> {
        let watermark = store.ads_watermark().await?;
        let mut after = None;
        loop {
            self.begin_read();
            let ads = store.ad_targets(after, PART).await?;
            // A part that is not full is the last one.
            let is_full = u32::try_from(ads.len()).is_ok_and(|read| read >= PART);
            let last = ads.last().map(|ad| ad.id).filter(|_| is_full);
            self.end_part(after, last, ads);
            if last.is_none() {
                break;
            }
            after = last;
        }
        self.lock().is_loaded = true;
        Ok(Read {
            all_at: Instant::now(),
            watermark,
        })
    }

    /// Reads what changed since `read`, or all ads.
    async fn refresh(&self, store: &Store, read: Option<Read>) -> Result<Read, StoreError> {
        let Some(read) = read.filter(|read| read.all_at.elapsed() < READ_ALL) else {
            return self.read_all(store).await;
        };
        self.begin_read();
        let Some(changes) = store.ad_changes(read.watermark).await? else {
            return self.read_all(store).await;
        };
        let watermark = changes.watermark;
        let ads = changes.ads.into_iter();
        self.lock().end_read(ads.map(entry));
        Ok(Read { watermark, ..read })
    }

    /// Takes `ads` as if just loaded.
    #[cfg(test)]
    pub(crate) fn fill(&self, ads: Vec<AdTarget>) {
        self.begin_read();
        self.end_part(None, None, ads);
        self.lock().is_loaded = true;
    }

    fn begin_read(&self) {
        self.lock().written.clear();
    }

    /// Takes `ads`, which are all there are behind `after` and up to `last`, or to the end.
    fn end_part(&self, after: Option<AdId>, last: Option<AdId>, ads: Vec<AdTarget>) {
        let read: BTreeMap<_, _> = ads.into_iter().map(entry).collect();
        let bounds = (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            last.map_or(Bound::Unbounded, Bound::Included),
        );
        let mut state = self.lock();
        let kept = state.targets.range(bounds).map(|(ad, _)| *ad);
        let gone: Vec<AdId> = kept.filter(|ad| !read.contains_key(ad)).collect();
        let gone = gone.into_iter().map(|ad| (ad, None));
        state.end_read(gone.chain(read));
    }

    fn lock(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(ad: AdTarget) -> (AdId, Option<Box<str>>) {
    (ad.id, location(ad.approved, ad.target_url.as_deref()))
}

/// The value of a redirect's `location`, written anew from the parsed URL.
fn location(approved: bool, target_url: Option<&str>) -> Option<Box<str>> {
    let url = web_address(target_url.filter(|_| approved)?).ok()?;
    HeaderValue::from_str(url.as_str()).ok()?;
    Some(url.as_str().into())
}

/// Keeps `directory` up to date until `shutdown`. A change of the database's state is logged once.
///
/// # Errors
/// A configuration failure when the database's URL asks for what this build does not have, or leads to a
/// server that cannot be used.
pub(crate) async fn keep_fresh(
    directory: &Directory,
    store: &Store,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let (mut was_away, mut read) = (false, None);
    loop {
        match directory.refresh(store, read).await {
            Ok(now) => {
                read = Some(now);
                if std::mem::take(&mut was_away) {
                    log::info!("the database answers again; the directory of ads is up to date");
                }
            }
            Err(error @ (StoreError::NoTls | StoreError::Unsuitable(_))) => {
                return Err(Failure::configuration(format!("--database-url: {error}")));
            }
            Err(error) if !was_away => {
                // What a person must mend is told by whoever watches for it.
                if !error.is_lasting() {
                    log::warn!("{error}; events are accepted all the same, retrying");
                }
                was_away = true;
            }
            Err(_) => {}
        }
        let pause = if was_away {
            Duration::from_secs(1)
        } else {
            REFRESH
        };
        if shutdown.requested_within(pause).await {
            return Ok(());
        }
    }
}
