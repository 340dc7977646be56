//! Totals from the API.

use adtally_domain::{ReportingZone, Timestamp};
use adtally_service::{ExitKind, Failure, clock};
use adtally_store::Granularity;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::args::StatsArgs;
use super::period::period;
use super::totals::{Collector, Totals, TotalsRow};
use crate::api::{ApiUrl, Client, ClientOptions, unreachable};

/// How many rows are asked for at once.
const PAGE: &str = "10000";

/// An API to read totals from.
pub(super) struct ApiTotals {
    client: Client,
}

#[derive(Deserialize)]
struct Page {
    timezone: String,
    data: Vec<TotalsRow>,
    #[serde(default)]
    next_cursor: Option<String>,
}

impl ApiTotals {
    /// The API at `url`.
    pub(super) async fn connect(url: &str) -> Result<Self, Failure> {
        let client = Client::new(ApiUrl::parse(url)?, ClientOptions::default())?;
        client.reach().await?;
        Ok(Self { client })
    }

    /// The totals that `args` ask for.
    pub(super) async fn read(&self, args: &StatsArgs) -> Result<Totals, Failure> {
        let granularity: Granularity = args.granularity.into();
        let zone = self.zone().await?;
        let now = Timestamp::try_from(clock::now()).unwrap_or(Timestamp::MAX);
        let (from, to) = (args.from.as_deref(), args.to.as_deref());
        let (from, to) = period(from, to, zone, granularity, now)?;
        let query = |cursor: Option<&str>| {
            let mut query = Serializer::new(String::new());
            query.append_pair("granularity", granularity.as_str());
            query.append_pair("from", &from.to_string());
            query.append_pair("to", &to.to_string());
            if args.ad.is_none() {
                query.append_pair("limit", PAGE);
            }
            if let Some(cursor) = cursor {
                query.append_pair("cursor", cursor);
            }
            query.finish()
        };
        let (path, mut collector) = match args.ad {
            Some(ad) => (format!("/v1/ads/{ad}/stats"), Collector::of_ads(usize::MAX)),
            None if args.by_ad => (
                "/v1/stats".to_owned(),
                Collector::of_ads(args.limit as usize),
            ),
            None => ("/v1/stats".to_owned(), Collector::of_all()),
        };
        let mut cursor = None;
        loop {
            let page = self
                .page(&format!("{path}?{}", query(cursor.as_deref())))
                .await?;
            let mut wanted = true;
            for mut row in page.data {
                row.ad_id = row.ad_id.or(args.ad.map(|ad| ad.get()));
                wanted = wanted && collector.take(row);
            }
            cursor = page.next_cursor;
            if !wanted || cursor.is_none() {
                return Ok(collector.finish(page.timezone, granularity));
            }
        }
    }

    async fn zone(&self) -> Result<ReportingZone, Failure> {
        let page = self.page("/v1/stats?limit=1").await?;
        page.timezone.parse().map_err(|error| Failure {
            kind: ExitKind::Failure,
            message: format!(
                "{} reports in a zone unknown here: {error}",
                self.client.url()
            ),
        })
    }

    async fn page(&self, path: &str) -> Result<Page, Failure> {
        let url = self.client.url();
        let response = self.client.get(path).await;
        let response = response.map_err(|error| unreachable(url, &error.to_string()))?;
        let page = (response.status == 200).then(|| serde_json::from_slice(&response.body).ok());
        page.flatten().ok_or_else(|| {
            let kind = match response.status {
                500.. => ExitKind::Unavailable,
                _ => ExitKind::Failure,
            };
            let reason = response.reason();
            let message = format!("{url} has no totals to give: {reason}");
            Failure { kind, message }
        })
    }
}
