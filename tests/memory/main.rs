//! Compares `memory-budget.md` with what is measured: a test fails when reality exceeds the page.
//!
//! Each measurement runs in a process of its own, which is this program with the helper test in
//! [`peer`] or [`client`] and nothing else; relay and the other peer are in a third.

mod client;
mod page;
mod peer;
mod process;
mod proxy;
mod relay;
mod sizes;
mod tls;

use peak_alloc::PeakAlloc;
use stats_alloc::StatsAlloc;

/// Counts allocations, and the octets alive at most.
#[global_allocator]
static HEAP: StatsAlloc<PeakAlloc> = StatsAlloc::new(PeakAlloc);
