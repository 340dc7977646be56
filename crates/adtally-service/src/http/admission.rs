//! Newcomers are admitted in turns as well, so that a crowd of them delays nobody else.

use std::cell::RefCell;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use actix_http::error::DispatchError;
use actix_service::{Service, ServiceFactory, fn_factory};
use tokio::net::TcpStream;

use super::turns::{Rounds, TURN, Turns};

/// How many newcomers make a turn.
const NEWCOMERS: usize = 16;

/// Makes connections of those that were accepted.
struct Admission<F> {
    admit: F,
    turns: RefCell<Turns>,
}

/// Has `admit` make a connection of each that was accepted, some in each of `rounds`.
pub(super) fn in_turns<F, C>(
    rounds: Rounds,
    admit: F,
) -> impl ServiceFactory<TcpStream, Config = (), Response = C, Error = DispatchError, InitError = ()>
where
    F: Fn(TcpStream) -> Result<C, DispatchError> + Clone,
{
    fn_factory(move || {
        ready(Ok(Admission {
            admit: admit.clone(),
            turns: RefCell::new(rounds.turns()),
        }))
    })
}

impl<F, C> Service<TcpStream> for Admission<F>
where
    F: Fn(TcpStream) -> Result<C, DispatchError>,
{
    type Response = C;
    type Error = DispatchError;
    type Future = Ready<Result<C, DispatchError>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), DispatchError>> {
        if self.turns.borrow_mut().may_go_on(context.waker()) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn call(&self, io: TcpStream) -> Self::Future {
        self.turns.borrow_mut().took(TURN / NEWCOMERS);
        ready((self.admit)(io))
    }
}
