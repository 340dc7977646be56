//! Where the API is.

use std::fmt;

use adtally_service::Failure;
use clap::Args;
use url::Url;

/// Where the API is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// The API's URL
    #[arg(
        long,
        env = "ADTALLY_API_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) api: String,
}

impl ApiArgs {
    /// The address to use.
    ///
    /// # Errors
    /// A configuration [`Failure`] when it is malformed.
    pub(crate) fn resolve(&self) -> Result<ApiUrl, Failure> {
        ApiUrl::parse(&self.api)
    }
}

/// The API's URL, below which its routes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiUrl(String);

impl ApiUrl {
    /// Reads `text`; a trailing slash does not matter.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let expected = "expected something like http://127.0.0.1:8080";
        let fault = match Url::parse(text) {
            Err(error) => Some(format!("it is no URL ({error}); {expected}")),
            Ok(url) if url.scheme() != "http" => {
                Some(format!("only http is spoken here; {expected}"))
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => Some(format!(
                "it must end with the host, the port or a path; {expected}"
            )),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Some(format!("it must not hold a user or password; {expected}"))
            }
            Ok(_) => None,
        };
        match fault {
            Some(fault) => Err(Failure::configuration(format!("--api: {fault}"))),
            None => Ok(Self(text.trim_end_matches('/').to_owned())),
        }
    }

    /// The URL of a route, which begins with a slash.
    pub(crate) fn route(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_lie_below_the_url() {
        for text in ["http://127.0.0.1:8080", "http://127.0.0.1:8080/"] {
            let url = ApiUrl::parse(text).unwrap();
            assert_eq!(url.route("/livez"), "http://127.0.0.1:8080/livez");
        }
        let url = ApiUrl::parse("http://ads.example/tally/").unwrap();
        assert_eq!(
            url.route("/v1/events"),
            "http://ads.example/tally/v1/events"
        );
    }

    #[test]
    fn what_is_no_http_url_is_a_fault_of_the_configuration() {
        for text in [
            "",
            "127.0.0.1:8080",
            "localhost:8080",
            "https://h",
            "http://h?x=1",
            "http://u:secret@h",
        ] {
            let failure = ApiUrl::parse(text).unwrap_err();
            assert_eq!(failure.kind.code(), 78, "{text}");
            assert!(failure.message.starts_with("--api: "));
            assert!(!failure.message.contains("secret"));
        }
    }
}
