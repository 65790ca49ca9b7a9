//! The program of sizes begins at `run`: it has no start-up code, as it never runs.

fn main() {
    println!("cargo:rustc-link-arg-bin=sizes=--entry=run");
}
