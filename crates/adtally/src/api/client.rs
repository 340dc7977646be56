//! An HTTP client for one API.

use std::time::Duration;

use actix_web::web::Bytes;
use adtally_service::Failure;
use awc::error::{ConnectError, SendRequestError};
use awc::http::{Method, Uri, header};
use thiserror::Error;

use super::ApiUrl;

/// The most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// How long an unreachable server may keep a command waiting, with room for the rest of the 10 s.
const REACH_TIMEOUT: Duration = Duration::from_secs(8);
/// Less than the 5 s after which actix closes an idle connection, so that none is used as it closes.
const IDLE: Duration = Duration::from_secs(4);

/// How a client behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientOptions {
    /// The most connections held open.
    pub(crate) connections: usize,
    /// How long to wait for an answer.
    pub(crate) timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connections: 8,
            timeout: Duration::from_secs(30),
        }
    }
}

/// A client of one API. Runs on one thread, inside a `tokio::task::LocalSet`.
#[derive(Clone)]
pub(crate) struct Client {
    inner: awc::Client,
    url: ApiUrl,
    events: Uri,
    events_with_ids: Uri,
}

/// An answer of the API.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    /// The HTTP status.
    pub(crate) status: u16,
    /// How long the server asked to wait before the next attempt.
    pub(crate) retry_after: Option<Duration>,
    /// The body.
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NoAnswer {
    /// No connection was made, so nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// The request may or may not have arrived.
    #[error("{0}")]
    Lost(String),
}

impl Client {
    /// A client of the API at `url`. Connects when first used.
    ///
    /// # Errors
    /// A configuration [`Failure`] when the URL is none that HTTP can name.
    pub(crate) fn new(url: ApiUrl, options: ClientOptions) -> Result<Self, Failure> {
        let uri = |route| {
            url.route(route).parse().map_err(|error| {
                Failure::configuration(format!("--api: {url} is no address of a server: {error}"))
            })
        };
        let (events, events_with_ids) = (uri("/v1/events")?, uri("/v1/events?ids=1")?);
        let connector = awc::Connector::new()
            .limit(options.connections)
            .timeout(REACH_TIMEOUT.min(options.timeout))
            .conn_keep_alive(IDLE);
        let inner = awc::Client::builder()
            .connector(connector)
            .timeout(options.timeout)
            .disable_redirects()
            .finish();
        Ok(Self {
            inner,
            url,
            events,
            events_with_ids,
        })
    }

    /// Where the API is.
    pub(crate) fn url(&self) -> &ApiUrl {
        &self.url
    }

    /// Asks for one sign of life.
    ///
    /// # Errors
    /// An unavailable [`Failure`] when there is none within 8 seconds.
    pub(crate) async fn reach(&self) -> Result<(), Failure> {
        let answer = tokio::time::timeout(REACH_TIMEOUT, self.get("/livez")).await;
        let reason = match answer {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", REACH_TIMEOUT.as_secs()),
        };
        Err(unreachable(&self.url, &reason))
    }

    /// Posts events: `body` is a JSON object or array. The answer names the events' ids where
    /// `with_ids` asks for them.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn post_events(
        &self,
        source: &str,
        body: Bytes,
        with_ids: bool,
    ) -> Result<Response, NoAnswer> {
        let route = if with_ids {
            &self.events_with_ids
        } else {
            &self.events
        };
        let request = self
            .inner
            .request(Method::POST, route.clone())
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .insert_header(("x-adtally-source", source));
        read(request.send_body(body).await).await
    }

    /// Gets a route, which begins with a slash.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Response, NoAnswer> {
        let request = self.inner.get(self.url.route(path));
        read(request.send().await).await
    }
}

/// The failure of a command whose API does not answer.
pub(crate) fn unreachable(url: &ApiUrl, reason: &str) -> Failure {
    Failure::unavailable(format!(
        "no API answers at {url} ({reason}): start it, or name another with --api"
    ))
}

type Answered<S> = Result<awc::ClientResponse<S>, SendRequestError>;

async fn read<S>(answered: Answered<S>) -> Result<Response, NoAnswer>
where
    S: futures_util::Stream<Item = Result<Bytes, awc::error::PayloadError>>,
{
    let mut response = answered.map_err(|error| no_answer(&error))?;
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let body = response
        .body()
        .limit(MAX_ANSWER_BYTES)
        .await
        .map_err(|error| NoAnswer::Lost(error.to_string()))?;
    Ok(Response {
        status: response.status().as_u16(),
        retry_after,
        body,
    })
}

fn no_answer(error: &SendRequestError) -> NoAnswer {
    match error {
        SendRequestError::Url(error) => NoAnswer::Unreachable(error.to_string()),
        // awc's word for a connection that was closed while an answer was waited for.
        SendRequestError::Connect(ConnectError::Disconnected) => {
            NoAnswer::Lost("the connection was closed before an answer came".to_owned())
        }
        SendRequestError::Connect(error) => NoAnswer::Unreachable(error.to_string()),
        SendRequestError::Timeout => NoAnswer::Lost("no answer in time".to_owned()),
        error => NoAnswer::Lost(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn post(url: &str) -> Result<Response, NoAnswer> {
        let options = ClientOptions {
            connections: 1,
            timeout: Duration::from_secs(1),
        };
        let client = Client::new(ApiUrl::parse(url).unwrap(), options).unwrap();
        client
            .post_events("test", Bytes::from_static(b"{}"), false)
            .await
    }

    #[actix_web::test]
    async fn a_request_that_may_have_arrived_is_lost_and_not_unreachable() {
        for answers_by_closing in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            actix_web::rt::spawn(async move {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = [0; 1_024];
                let _read = connection.read(&mut request).await.unwrap();
                if !answers_by_closing {
                    std::future::pending::<()>().await;
                }
            });
            let answer = post(&url).await;
            assert!(matches!(answer, Err(NoAnswer::Lost(_))), "{answer:?}");
        }
    }

    #[actix_web::test]
    async fn nothing_arrives_where_nobody_listens() {
        let answer = post("http://127.0.0.1:1").await;
        assert!(
            matches!(answer, Err(NoAnswer::Unreachable(_))),
            "{answer:?}"
        );
    }
}
