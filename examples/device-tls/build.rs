//! The programs begin at `run`: there is no start-up code, as they never run.

fn main() {
    println!("cargo:rustc-link-arg-bins=--entry=run");
}
