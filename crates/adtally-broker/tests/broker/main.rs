//! The crate against a real RabbitMQ.

#[cfg(test)]
mod consuming;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod publishing;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod topology;
