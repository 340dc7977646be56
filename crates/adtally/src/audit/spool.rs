//! What an API keeps on its disk until the broker takes it, from its metrics.

use std::collections::BTreeMap;

use crate::api::{ApiUrl, Client, ClientOptions};

/// How the names of the spool's metrics begin.
const PREFIX: &str = "adtally_spool_";

/// The state of an API's spool.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Spooled {
    /// No API was named.
    NotAsked,
    /// It could not be asked, for this reason.
    Unknown(String),
    /// Its metrics, without what all their names begin with; none when it has no spool.
    Known(BTreeMap<String, f64>),
}

impl Spooled {
    /// Asks the API at `url`.
    pub(super) async fn ask(url: Option<&str>) -> Self {
        let Some(url) = url else {
            return Self::NotAsked;
        };
        match read(url).await {
            Ok(metrics) => Self::Known(metrics),
            Err(reason) => Self::Unknown(reason),
        }
    }
}

async fn read(url: &str) -> Result<BTreeMap<String, f64>, String> {
    let url = ApiUrl::parse(url).map_err(|failure| failure.message)?;
    let client = Client::new(url, ClientOptions::default()).map_err(|failure| failure.message)?;
    client.reach().await.map_err(|failure| failure.message)?;
    let response = client
        .get("/metrics")
        .await
        .map_err(|error| error.to_string())?;
    if response.status != 200 {
        return Err(response.reason());
    }
    Ok(metrics(&String::from_utf8_lossy(&response.body)))
}

/// The spool's metrics in a page of Prometheus' text format. Counters are left out: they tell what
/// was, not what is.
fn metrics(page: &str) -> BTreeMap<String, f64> {
    page.lines()
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            let name = name.strip_prefix(PREFIX)?;
            let is_gauge = !name.contains('{') && !name.ends_with("_total");
            is_gauge.then_some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauges_of_the_spool_are_read() {
        let page = "# HELP adtally_spool_events Events on disk.\n\
                    # TYPE adtally_spool_events gauge\n\
                    adtally_spool_events 12\n\
                    adtally_spool_bytes 3400\n\
                    adtally_spool_written_events_total 99\n\
                    adtally_events_accepted_total{kind=\"click\"} 5\n";
        let expected = [("bytes".to_owned(), 3400.0), ("events".to_owned(), 12.0)];
        assert_eq!(metrics(page), BTreeMap::from(expected));
    }
}
