//! The bare handler: the same HTTP server, parser and judgement as the API's, and nothing behind it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::web::{Bytes, post};
use actix_web::{App, HttpResponse, HttpServer};
use adtally_domain::{Event, EventInput, Intake, Timestamp};
use adtally_service::clock;

/// The name it is started under.
pub(crate) const NAME: &str = "bare-handler";
/// The variable that holds its address.
pub(crate) const BIND: &str = "BARE_BIND";
/// The variable that holds the number of its HTTP threads, if that is not up to the server.
pub(crate) const WORKERS: &str = "BARE_WORKERS";

const INTAKE: Intake = Intake {
    max_event_age: Duration::from_secs(35 * 86_400),
    keep_ip: false,
};

/// Serves until it is told to stop.
pub(crate) fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("the bare handler failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> anyhow::Result<()> {
    let bind: SocketAddr = std::env::var(BIND)?.parse()?;
    let workers = std::env::var(WORKERS).ok();
    let workers = workers.map(|workers| workers.parse()).transpose()?;
    actix_web::rt::System::new().block_on(async move {
        let mut server = HttpServer::new(|| {
            App::new()
                .route("/v1/events", post().to(accept))
                .route("/readyz", actix_web::web::get().to(HttpResponse::Ok))
        });
        if let Some(workers) = workers {
            server = server.workers(workers);
        }
        server.bind(bind)?.run().await?;
        Ok(())
    })
}

async fn accept(body: Bytes) -> HttpResponse {
    match judge(&body) {
        Some(accepted) => HttpResponse::Accepted()
            .content_type("application/json")
            .body(format!(r#"{{"accepted":{accepted},"rejected":[]}}"#)),
        None => HttpResponse::UnprocessableEntity().finish(),
    }
}

/// How many events there are, if all are acceptable.
fn judge(body: &[u8]) -> Option<usize> {
    let now = Timestamp::try_from(clock::now()).ok()?;
    let event = |input: &EventInput<'_>| INTAKE.accept(input, now, None, rand::random).ok();
    if body.first() == Some(&b'[') {
        let inputs: Vec<EventInput<'_>> = serde_json::from_slice(body).ok()?;
        let events: Option<Vec<Event>> = inputs.iter().map(event).collect();
        events.map(|events| std::hint::black_box(events).len())
    } else {
        let input: EventInput<'_> = serde_json::from_slice(body).ok()?;
        std::hint::black_box(event(&input)).map(|_| 1)
    }
}
