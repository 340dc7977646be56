//! Where clicks lead: a copy of the targets of approved ads, each once, so that a click needs no database.

#[cfg(test)]
mod tests;

use actix_web::http::header::HeaderValue;
use adtally_domain::AdId;
use adtally_service::{Failure, Shutdown};
use adtally_store::{AdTarget, AdsWatermark, Store, StoreError};

use crate::cached::{Cached, Changes, Entry, Lookup, Source};
use crate::http::web_address::web_address;

/// The targets of all approved ads.
#[derive(Debug, Default)]
pub(crate) struct AdCache(Cached<AdId, Box<str>>);

/// The table that the copy is made of.
struct Ads<'a>(&'a Store);

impl AdCache {
    /// Where a click on `ad` leads; nowhere if the ad is unknown, not approved or has no target.
    pub(crate) fn target(&self, ad: AdId) -> Lookup<HeaderValue> {
        match self.0.get(&ad, |location| HeaderValue::from_str(location)) {
            Lookup::Found(Ok(location)) => Lookup::Found(location),
            Lookup::Found(Err(_)) | Lookup::Missing => Lookup::Missing,
            Lookup::NotLoaded => Lookup::NotLoaded,
        }
    }

    /// Takes over an ad that this process just wrote.
    pub(crate) fn put(&self, ad: AdId, approved: bool, target_url: Option<&str>) {
        self.0.put(ad, location(approved, target_url));
    }

    /// Keeps the copy up to date until `shutdown`.
    ///
    /// # Errors
    /// Those of [`Cached::keep_fresh`].
    pub(crate) async fn keep_fresh(
        &self,
        store: &Store,
        shutdown: &Shutdown,
    ) -> Result<(), Failure> {
        self.0.keep_fresh(&Ads(store), shutdown).await
    }

    /// Reads all ads from `store`.
    #[cfg(test)]
    pub(crate) async fn load(&self, store: &Store) -> Result<(), StoreError> {
        self.0.load(&Ads(store)).await
    }

    /// Takes `ads` as if just read.
    #[cfg(test)]
    pub(crate) fn fill(&self, ads: Vec<AdTarget>) {
        self.0.fill(ads.into_iter().map(entry).collect());
    }
}

impl Source for Ads<'_> {
    const NAME: &'static str = "directory of ads";
    type Key = AdId;
    type Value = Box<str>;
    type Watermark = AdsWatermark;

    async fn watermark(&self) -> Result<AdsWatermark, StoreError> {
        self.0.ads_watermark().await
    }

    async fn part(
        &self,
        after: Option<AdId>,
        limit: u32,
    ) -> Result<Vec<Entry<AdId, Box<str>>>, StoreError> {
        let ads = self.0.ad_targets(after, limit).await?;
        Ok(ads.into_iter().map(entry).collect())
    }

    async fn changes(&self, since: AdsWatermark) -> Result<Option<Changes<Self>>, StoreError> {
        let changes = self.0.ad_changes(since).await?;
        Ok(changes.map(|changes| Changes {
            entries: changes.ads.into_iter().map(entry).collect(),
            watermark: changes.watermark,
        }))
    }
}

fn entry(ad: AdTarget) -> Entry<AdId, Box<str>> {
    (ad.id, location(ad.approved, ad.target_url.as_deref()))
}

/// The value of a redirect's `location`, written anew from the parsed URL.
fn location(approved: bool, target_url: Option<&str>) -> Option<Box<str>> {
    let url = web_address(target_url.filter(|_| approved)?).ok()?;
    HeaderValue::from_str(url.as_str()).ok()?;
    Some(url.as_str().into())
}
