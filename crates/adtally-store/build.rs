//! The migrations are compiled into the binary, so a change to one must rebuild it.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
