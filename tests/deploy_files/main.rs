//! The files under `deploy/` and `docker/` fit the binaries they start, and the guides fit the tree.
//!
//! Schemas are checked elsewhere (`.ci/deploy-files`); here it is names, ports, paths and
//! whether the processes start the way the units say. Nothing leaves this machine.

mod binary;
mod docker;
mod figures;
mod files;
mod guides;
mod kubernetes;
mod started;
mod systemd;
mod usage;
