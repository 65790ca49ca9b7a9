//! The cost of the parts between two applications, without I/O: `cargo bench --bench micro`
//! measures time, and `examples/bench/instructions` counts instructions and allocations of the same
//! cases.
//!
//! ```text
//! cargo bench --bench micro [-- FILTER]
//! cargo bench --bench micro -- --cases                  the names of all
//! cargo bench --bench micro -- --count CASE N           N operations, to be run under callgrind
//! cargo bench --bench micro -- --allocations CASE N     allocations of N operations
//! ```

mod case;
mod codec;
mod count;
mod pump;
mod ring;
mod router;
mod session;

use std::cell::RefCell;

use divan::Bencher;
use divan::counter::BytesCount;

use case::Case;
use count::guarded;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--cases", ..] => all().for_each(|(group, case)| println!("{group}/{case}")),
        ["--count", name, n, ..] => count::repeat(&find(name), number(n)),
        ["--allocations", name, n, ..] => count::allocations(&find(name), number(n)),
        _ => divan::main(),
    }
}

fn all() -> impl Iterator<Item = (&'static str, Case)> {
    let groups: [(_, &[Case]); 4] = [
        ("codec", &codec::CASES),
        ("ring", &ring::CASES),
        ("router", &router::CASES),
        ("session", &session::CASES),
    ];
    groups.into_iter().flat_map(|(group, cases)| cases.iter().map(move |case| (group, *case)))
}

fn find(name: &str) -> Case {
    let mut found = all().filter(|(group, case)| format!("{group}/{case}") == name);
    found.next().expect("one of those that --cases names").1
}

fn number(n: &str) -> usize {
    n.parse().expect("a number of operations")
}

#[divan::bench(args = codec::CASES)]
fn codec(bencher: Bencher, case: Case) {
    time(bencher, case);
}

// No more at once than fit a ring.
#[divan::bench(args = ring::CASES, sample_size = ring::BATCH)]
fn ring(bencher: Bencher, case: Case) {
    time(bencher, case);
}

#[divan::bench(args = router::CASES)]
fn router(bencher: Bencher, case: Case) {
    time(bencher, case);
}

#[divan::bench(args = session::CASES)]
fn session(bencher: Bencher, case: Case) {
    time(bencher, case);
}

fn time(bencher: Bencher, case: Case) {
    let work = RefCell::new(case.start());
    let bencher = bencher.with_inputs(|| work.borrow_mut().prepare());
    let run = |()| work.borrow_mut().run();
    match case.bytes {
        0 => bencher.bench_local_values(run),
        bytes => bencher.counter(BytesCount::new(bytes)).bench_local_values(run),
    }
}
