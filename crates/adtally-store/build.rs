//! The migrations are compiled into the binary, so a change to one must rebuild it.

#[expect(
    clippy::print_stdout,
    reason = "this is how a build script speaks to cargo"
)]
fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
