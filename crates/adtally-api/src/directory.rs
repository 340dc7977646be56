//! Where clicks lead: a copy of the ads in memory, so that a click needs no database.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use adtally_domain::AdId;
use adtally_service::{Failure, Shutdown};
use adtally_store::{AdTarget, Store, StoreError};

use crate::address::web_address;

/// How often the ads are read again; so long another process' change takes to show here.
const REFRESH: Duration = Duration::from_secs(5);

/// The targets of all approved ads. What the database said last stays while it is away.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` until the first load.
    targets: Option<HashMap<AdId, HeaderValue>>,
    /// What this process wrote since the last read began: the rows read may be older.
    written: HashMap<AdId, Option<HeaderValue>>,
}

impl State {
    fn set(&mut self, ad: AdId, location: Option<HeaderValue>) {
        if let Some(targets) = &mut self.targets {
            match location {
                Some(location) => targets.insert(ad, location),
                None => targets.remove(&ad),
            };
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

impl Directory {
    /// Where a click on `ad` leads.
    pub(crate) fn target(&self, ad: AdId) -> Target {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match &state.targets {
            None => Target::NotLoaded,
            Some(targets) => targets
                .get(&ad)
                .cloned()
                .map_or(Target::Nowhere, Target::To),
        }
    }

    /// Takes over an ad this process just wrote, ahead of the next load.
    pub(crate) fn put(&self, ad: AdId, approved: bool, target_url: Option<&str>) {
        let location = location(approved, target_url);
        let mut state = self.lock();
        state.written.insert(ad, location.clone());
        state.set(ad, location);
    }

    /// Reads the ads from `store`.
    ///
    /// # Errors
    /// The store's; what was loaded before stays.
    pub(crate) async fn load(&self, store: &Store) -> Result<(), StoreError> {
        self.begin_read();
        self.end_read(store.ads_directory().await?);
        Ok(())
    }

    /// Takes `ads` as if just loaded.
    #[cfg(test)]
    pub(crate) fn fill(&self, ads: Vec<AdTarget>) {
        self.begin_read();
        self.end_read(ads);
    }

    fn begin_read(&self) {
        self.lock().written.clear();
    }

    /// Takes `ads`, and over them what was written while they were read.
    fn end_read(&self, ads: Vec<AdTarget>) {
        let targets = ads
            .into_iter()
            .filter_map(|ad| Some((ad.id, location(ad.approved, ad.target_url.as_deref())?)));
        let mut targets = Some(targets.collect());
        let mut state = self.lock();
        // The old ones are dropped once the lock is free: that takes a while, and clicks wait for it.
        std::mem::swap(&mut state.targets, &mut targets);
        for (ad, location) in std::mem::take(&mut state.written) {
            state.set(ad, location);
        }
    }

    fn lock(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of a redirect's `location`, written anew from the parsed URL.
fn location(approved: bool, target_url: Option<&str>) -> Option<HeaderValue> {
    let url = web_address(target_url.filter(|_| approved)?).ok()?;
    HeaderValue::from_str(url.as_str()).ok()
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
    let mut was_away = false;
    loop {
        match directory.load(store).await {
            Ok(()) if was_away => {
                log::info!("the database answers again; the directory of ads is up to date");
                was_away = false;
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
            Ok(()) | Err(_) => {}
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
