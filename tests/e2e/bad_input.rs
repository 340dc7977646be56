//! What comes in over HTTP and AMQP is anybody's invention. Whatever it is, it gets a clear answer,
//! ends nothing, and is stored only when it is an event: each test ends with a reckoning of ids.

mod ads;
mod amqp;
mod bodies;
mod browsers;
mod connections;
mod encodings;
mod fields;
mod packs;
mod paths;
mod protocol;
mod slow;
mod subject;
mod tasks;
mod wire;
