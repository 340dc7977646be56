//! What `/v1/ads` takes and answers.

use adtally_domain::{AdId, AdvertiserId};
use adtally_store::{Ad, AdPatch, NewAd};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::manage::fields::{Fields, Sent};

/// An ad.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ad)]
pub(crate) struct AdBody {
    /// Its id.
    id: i64,
    /// Whose it is.
    advertiser_id: i64,
    /// Its title.
    title: String,
    /// Where its image is.
    image_url: Option<String>,
    /// Where a click leads.
    target_url: Option<String>,
    /// Whether clicks are led there.
    approved: bool,
}

/// An ad to create.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = NewAd)]
pub(crate) struct NewAdBody {
    /// Its id, when the sender chooses it.
    #[schema(value_type = Option<i64>, minimum = 1)]
    #[serde(default)]
    id: Sent,
    /// Whose it is.
    #[schema(value_type = i64, minimum = 1, required = true)]
    #[serde(default)]
    advertiser_id: Sent,
    /// Its title.
    #[schema(value_type = String, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", required = true)]
    #[serde(default)]
    title: Sent,
    /// Where its image is: http or https.
    #[schema(value_type = Option<String>, format = "uri", max_length = 2048)]
    #[serde(default)]
    image_url: Sent,
    /// Where a click leads: http or https.
    #[schema(value_type = Option<String>, format = "uri", max_length = 2048)]
    #[serde(default)]
    target_url: Sent,
    /// Whether clicks are led there; false when left out.
    #[schema(value_type = Option<bool>, nullable = false)]
    #[serde(default)]
    approved: Sent,
}

/// What to change of an ad; what is missing stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = AdChange)]
pub(crate) struct AdChangeBody {
    #[schema(ignore)]
    #[serde(default)]
    id: Sent,
    /// Another advertiser.
    #[schema(value_type = Option<i64>, minimum = 1, nullable = false)]
    #[serde(default)]
    advertiser_id: Sent,
    /// Another title.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", nullable = false)]
    #[serde(default)]
    title: Sent,
    /// Another image; null for none.
    #[schema(value_type = Option<String>, format = "uri", max_length = 2048)]
    #[serde(default)]
    image_url: Sent,
    /// Another target; null for none.
    #[schema(value_type = Option<String>, format = "uri", max_length = 2048)]
    #[serde(default)]
    target_url: Sent,
    /// Approved, or not any more.
    #[schema(value_type = Option<bool>, nullable = false)]
    #[serde(default)]
    approved: Sent,
}

/// Some ads in the order of their ids.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ads)]
pub(crate) struct AdPage {
    /// The ads.
    pub(super) data: Vec<AdBody>,
    /// Ask again with this as `cursor` for more; null at the end.
    pub(super) next_cursor: Option<String>,
}

impl From<Ad> for AdBody {
    fn from(ad: Ad) -> Self {
        Self {
            id: ad.id.get(),
            advertiser_id: ad.advertiser_id.get(),
            title: ad.title,
            image_url: ad.image_url,
            target_url: ad.target_url,
            approved: ad.approved,
        }
    }
}

impl NewAdBody {
    /// The ad this describes.
    ///
    /// # Errors
    /// The list of fields that are wrong.
    pub(super) fn validated(&self) -> Result<NewAd, Problem> {
        let mut fields = Fields::default();
        let id = fields.id("id", &self.id).and_then(AdId::new);
        let advertiser_id = fields.id("advertiser_id", &self.advertiser_id);
        let advertiser_id = fields
            .required("advertiser_id", &self.advertiser_id, advertiser_id)
            .and_then(AdvertiserId::new);
        let title = fields.name("title", &self.title);
        let title = fields.required("title", &self.title, title);
        let image_url = fields.web_address("image_url", &self.image_url).flatten();
        let target_url = fields.web_address("target_url", &self.target_url).flatten();
        let approved = fields.boolean("approved", &self.approved).unwrap_or(false);
        fields.finish(
            advertiser_id
                .zip(title)
                .map(|(advertiser_id, title)| NewAd {
                    id,
                    advertiser_id,
                    title,
                    image_url,
                    target_url,
                    approved,
                }),
        )
    }
}

impl AdChangeBody {
    /// The change this describes to the ad `id`.
    ///
    /// # Errors
    /// The list of fields that are wrong.
    pub(super) fn validated(&self, id: AdId) -> Result<AdPatch, Problem> {
        let mut fields = Fields::default();
        fields.same_id(&self.id, id.get());
        if self.advertiser_id == Sent::Null {
            fields.wrong("advertiser_id", "cannot be taken away");
        }
        let advertiser_id = fields.id("advertiser_id", &self.advertiser_id);
        let patch = AdPatch {
            advertiser_id: advertiser_id.and_then(AdvertiserId::new),
            title: fields.name("title", &self.title),
            image_url: fields.web_address("image_url", &self.image_url),
            target_url: fields.web_address("target_url", &self.target_url),
            approved: fields.boolean("approved", &self.approved),
        };
        fields.finish(Some(patch))
    }
}
