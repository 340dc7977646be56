//! The API as its clients see it: where it is, how to ask it, what it answered.

mod address;
mod answer;
mod client;

pub(crate) use address::{ApiArgs, ApiUrl};
pub(crate) use answer::{Answer, Refused, event_ids};
pub(crate) use client::{Client, ClientOptions, NoAnswer, Response, unreachable};
