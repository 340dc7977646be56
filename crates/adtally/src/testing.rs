//! An API that answers as a test wants it to.

use std::sync::{Arc, Mutex};

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A request with events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Posted {
    /// The header `x-adtally-source`.
    pub(crate) source: String,
    /// The events, also of a request with a single one.
    pub(crate) events: Vec<Value>,
    /// The body as it arrived.
    pub(crate) body: Bytes,
}

impl Posted {
    /// The answer that accepts all events.
    pub(crate) fn accepted(&self) -> HttpResponse {
        self.judged(&[])
    }

    /// The answer that refuses the events at these places with these codes, and accepts the others.
    pub(crate) fn judged(&self, refused: &[(usize, &str)]) -> HttpResponse {
        let rejected: Vec<_> = refused
            .iter()
            .map(|(index, code)| json!({"index": index, "code": code, "detail": "as asked"}))
            .collect();
        let accepted = self.events.len() - rejected.len();
        let id = |(place, event): (usize, &Value)| {
            let is_refused = refused.iter().any(|(index, _)| *index == place);
            (!is_refused).then(|| id_of(event))
        };
        let ids: Vec<_> = self.events.iter().enumerate().map(id).collect();
        let answer = json!({"accepted": accepted, "rejected": rejected, "ids": ids});
        HttpResponse::Accepted().json(answer)
    }

    /// The `event_id` of each event.
    pub(crate) fn ids(&self) -> Vec<String> {
        let id = |event: &Value| event["event_id"].as_str().unwrap().to_owned();
        self.events.iter().map(id).collect()
    }
}

/// The same id for the same event, as the API makes them.
fn id_of(event: &Value) -> Uuid {
    let parts = ["kind", "ad_id", "event_id", "occurred_at"].map(|name| event[name].to_string());
    let digest = Sha256::digest(parts.join(" "));
    Uuid::from_slice(&digest[..16]).unwrap()
}

type Answer = dyn Fn(usize, &Posted) -> HttpResponse + Send + Sync;

#[derive(Clone)]
struct State {
    posted: Arc<Mutex<Vec<Posted>>>,
    answer: Arc<Answer>,
}

/// A server on a free port of its own.
pub(crate) struct FakeApi {
    url: String,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl FakeApi {
    /// A server that answers each request with events as `answer` says, which is told the number of
    /// the request, from 0.
    pub(crate) fn start(
        answer: impl Fn(usize, &Posted) -> HttpResponse + Send + Sync + 'static,
    ) -> Self {
        let posted = Arc::new(Mutex::new(Vec::new()));
        let state = State {
            posted: Arc::clone(&posted),
            answer: Arc::new(answer),
        };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(Data::new(state.clone()))
                .route("/livez", web::get().to(HttpResponse::Ok))
                .route("/v1/events", web::post().to(post))
        });
        let server = server
            .workers(1)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        actix_web::rt::spawn(server.run());
        Self { url, posted }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The requests so far.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }
}

async fn post(request: HttpRequest, body: Bytes, state: Data<State>) -> HttpResponse {
    let source = request.headers().get("x-adtally-source").unwrap();
    let events = match serde_json::from_slice(&body).unwrap() {
        Value::Array(events) => events,
        event => vec![event],
    };
    let request = Posted {
        source: source.to_str().unwrap().to_owned(),
        events,
        body,
    };
    let number = {
        let mut posted = state.posted.lock().unwrap();
        posted.push(request.clone());
        posted.len() - 1
    };
    (state.answer)(number, &request)
}
