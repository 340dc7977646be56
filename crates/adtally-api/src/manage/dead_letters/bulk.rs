//! Many dead letters in one request.

use adtally_store::Store;

use super::body::{Bulk, BulkFailure, BulkResult};
use crate::dead_letters::{DeadLetterAction, DeadLetterFault, DeadLetterOutcome, DeadLetterSweep};
use crate::http::problem::{Problem, ProblemCode};

/// Does `action` with the letters of `bulk`. It stops early, and says so by what is left, when the
/// broker takes no more.
///
/// # Errors
/// The store's, or the broker's when nothing was done at all.
pub(super) async fn run(
    store: &Store,
    bulk: Bulk,
    action: &DeadLetterAction,
) -> Result<BulkResult, Problem> {
    let mut sweep = DeadLetterSweep::new(bulk.filter, bulk.cursor);
    let (mut result, mut met) = (BulkResult::default(), 0);
    while !sweep.is_over() && !sweep.is_refused() && met < bulk.limit {
        let outcomes = match sweep.next(store, action, bulk.limit - met).await {
            Ok(outcomes) => outcomes,
            // What was done so far must be told.
            Err(error) if met > 0 => {
                log::warn!("a change of dead letters is broken off: {error}");
                break;
            }
            Err(error) => return Err(error.into()),
        };
        met += outcomes.len();
        for (id, outcome) in outcomes {
            match outcome {
                DeadLetterOutcome::Done => result.done += 1,
                DeadLetterOutcome::Already => result.already += 1,
                DeadLetterOutcome::Failed(fault) => result.failed.push(BulkFailure {
                    id,
                    code: code_of(&fault).as_str(),
                    detail: fault.to_string(),
                }),
            }
        }
    }
    if sweep.is_refused() && result.done == 0 {
        let detail = "the broker took none of the dead letters; try again in a moment";
        return Err(Problem::new(ProblemCode::BrokerUnavailable, detail));
    }
    result.left = match sweep.left(store).await {
        Ok(left) => Some(left),
        // The same outage, perhaps: what was done must be told nevertheless.
        Err(error) => {
            log::warn!("the dead letters that are left cannot be counted: {error}");
            None
        }
    };
    result.next_cursor = sweep.cursor().map(|cursor| cursor.to_string());
    Ok(result)
}

fn code_of(fault: &DeadLetterFault) -> ProblemCode {
    match fault {
        DeadLetterFault::Missing => ProblemCode::NotFound,
        DeadLetterFault::NotJson | DeadLetterFault::ForeignQueue(_) => ProblemCode::NotRequeueable,
        DeadLetterFault::NotKept(_) => ProblemCode::BrokerUnavailable,
        DeadLetterFault::Requeued => ProblemCode::AlreadyRequeued,
    }
}

impl From<DeadLetterFault> for Problem {
    fn from(fault: DeadLetterFault) -> Self {
        Self::new(code_of(&fault), fault.to_string())
    }
}
