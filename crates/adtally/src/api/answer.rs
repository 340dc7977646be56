//! What an answer to posted events means.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::Response;

/// How the API judged a request with events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Each event was judged: those not listed are kept.
    Judged(Vec<Refused>),
    /// Nothing was kept now; the same request may succeed later.
    Busy {
        /// What the API said.
        reason: String,
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
    /// The request as a whole was refused and will be refused again.
    Malformed {
        /// What the API said.
        reason: String,
    },
}

/// An event that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Refused {
    /// Its place in the request, from 0.
    pub(crate) index: usize,
    /// The API's stable code.
    pub(crate) code: String,
    /// What is wrong with it.
    #[serde(default)]
    pub(crate) detail: String,
}

impl Refused {
    /// The code of an event that was valid but could not be kept: it may be sent again.
    pub(crate) const NOT_KEPT: &'static str = "not_kept";

    /// Whether sending it again may succeed.
    pub(crate) fn is_not_kept(&self) -> bool {
        self.code == Self::NOT_KEPT
    }
}

#[derive(Deserialize)]
struct JudgedBody {
    accepted: usize,
    rejected: Vec<Refused>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    code: String,
}

impl Answer {
    /// The meaning of `response` to a request with `events` events.
    pub(crate) fn to(events: usize, response: &Response) -> Self {
        match response.status {
            202 | 422 => Self::judged(events, response),
            429 | 500.. => Self::Busy {
                reason: response.reason(),
                retry_after: response.retry_after,
            },
            _ => Self::Malformed {
                reason: response.reason(),
            },
        }
    }

    fn judged(events: usize, response: &Response) -> Self {
        let body = serde_json::from_slice::<JudgedBody>(&response.body);
        match body {
            Ok(body)
                if body.accepted + body.rejected.len() == events
                    && body.rejected.iter().all(|refused| refused.index < events)
                    && are_distinct(&body.rejected) =>
            {
                Self::Judged(body.rejected)
            }
            _ => Self::Malformed {
                reason: format!(
                    "an answer {} that does not judge {events} events",
                    response.status
                ),
            },
        }
    }
}

fn are_distinct(refused: &[Refused]) -> bool {
    let places: BTreeSet<_> = refused.iter().map(|refused| refused.index).collect();
    places.len() == refused.len()
}

/// The ids of the posted events in their order, those of refused events missing. Empty where the
/// answer names none.
pub(crate) fn event_ids(response: &Response) -> Vec<Option<Uuid>> {
    #[derive(Default, Deserialize)]
    struct Ids {
        #[serde(default)]
        ids: Vec<Option<Uuid>>,
    }
    serde_json::from_slice::<Ids>(&response.body)
        .unwrap_or_default()
        .ids
}

impl Response {
    /// The status and what a problem document says about it, in one line.
    pub(crate) fn reason(&self) -> String {
        let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = [problem.detail, problem.title, problem.code]
            .into_iter()
            .find(|text| !text.is_empty());
        match said {
            Some(said) => format!("{} {said}", self.status),
            None => self.status.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response {
            status,
            retry_after: Some(Duration::from_secs(2)),
            body: body.as_bytes().to_vec().into(),
        }
    }

    #[test]
    fn refused_events_are_named_and_the_others_kept() {
        let body = r#"{"accepted":1,"rejected":[{"index":1,"code":"too_old","detail":"d"}]}"#;
        let Answer::Judged(refused) = Answer::to(2, &response(202, body)) else {
            panic!("not judged");
        };
        assert_eq!(refused.len(), 1);
        assert_eq!((refused[0].index, refused[0].code.as_str()), (1, "too_old"));
    }

    #[test]
    fn an_answer_that_does_not_add_up_is_not_believed() {
        for body in [
            "",
            "<html>",
            r#"{"accepted":1,"rejected":[]}"#,
            r#"{"accepted":1,"rejected":[{"index":2,"code":"too_old"}]}"#,
            r#"{"accepted":0,"rejected":[{"index":1,"code":"a"},{"index":1,"code":"b"}]}"#,
        ] {
            let answer = Answer::to(2, &response(202, body));
            assert!(matches!(answer, Answer::Malformed { .. }), "{body}");
        }
    }

    #[test]
    fn a_busy_server_says_when_to_come_back() {
        let body = r#"{"title":"t","code":"not_kept","detail":"the broker is away"}"#;
        assert_eq!(
            Answer::to(1, &response(503, body)),
            Answer::Busy {
                reason: "503 the broker is away".to_owned(),
                retry_after: Some(Duration::from_secs(2)),
            }
        );
        let answer = Answer::to(1, &response(404, "no such page"));
        assert_eq!(
            answer,
            Answer::Malformed {
                reason: "404".to_owned()
            }
        );
    }
}
