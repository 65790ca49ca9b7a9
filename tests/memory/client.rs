//! The memory of a client: heap, threads, stacks.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use byway::client::{Client, Config, Stream};
use byway::session::{Profile, Stats};
use byway::transport::{Proxy, Roots};
use peak_alloc::PeakAlloc;

use crate::process::{Helper, SAYS};
use crate::{HEAP, page, peer, proxy};

/// The helper's orders: the profile, the relay's URL, the certificate to trust, and the proxy.
const VARIABLE: &str = "BYWAY_MEMORY_CLIENT";

/// Octets of a lane's stack, which the page has, too.
const STACK: u64 = 128 << 10;
/// A call that never returns fails the test rather than hang it.
const DEADLINE: Duration = Duration::from_secs(120);
const WARM_UP: usize = 200;
const ROUND_TRIPS: usize = 1_000;
/// Octets each way while the peak is taken.
const BULK: u64 = 8 << 20;

#[test]
fn phone_stays_within_the_page() {
    check("PHONE");
}

#[test]
fn pc_stays_within_the_page() {
    check("PC");
}

#[test]
fn phone_with_tls_stays_within_the_page() {
    check("PHONE, TLS");
}

#[test]
fn phone_behind_a_proxy_stays_within_the_page() {
    check("PHONE, proxy");
}

/// Runs a client of that profile, and compares its memory with the page.
fn check(profile: &str) {
    let peer = peer::start();
    let order = match profile {
        "PHONE" => format!("phone {} - -", peer.url),
        "PHONE, proxy" => format!("phone {} - {}", proxy::RELAY, peer.proxy),
        "PC" => format!("pc {} - -", peer.url),
        _ => format!("phone {} {} -", peer.tls_url, peer.certificate),
    };
    let mut helper = Helper::start("client::helper", VARIABLE, &order);
    let mut measured = HashMap::new();
    while let Some(line) = helper.says() {
        let (what, number) = line.rsplit_once(' ').expect("what and how much");
        println!("{profile}: {what}: {number}");
        measured.insert(what.to_owned(), number.parse::<u64>().expect("a number"));
    }
    assert!(helper.succeeded(), "the client's process failed");
    let budget = page::table("client");
    assert_eq!(measured.len(), budget.len(), "every line is measured");
    for (what, row) in &budget {
        let (most, is) = (page::number(row, profile), measured[what]);
        assert!(is <= most, "{profile}: {what}: {is}, and the page says at most {most}");
    }
    assert_eq!(measured["threads"], page::number(&budget["threads"], profile));
}

#[test]
#[ignore = "a helper of the other tests"]
fn helper() {
    let Ok(order) = std::env::var(VARIABLE) else { return };
    let order: Vec<&str> = order.split(' ').collect();
    let [profile, url, certificate, proxy] = order[..] else { panic!("orders: {order:?}") };
    let threads = threads();
    let before = PeakAlloc.current_usage();

    let client = Client::open(Config {
        profile: if profile == "pc" { Profile::PC } else { Profile::PHONE },
        roots: std::fs::read(certificate).map_or(Roots::Web, Roots::Pem),
        proxy: if proxy == "-" { Proxy::Direct } else { Proxy::Url(proxy.to_owned()) },
        ..Config::new(url)
    });
    let client = client.expect("a client");
    let mut stream = client.connect(peer::ECHO).expect("a stream");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time");
    stream.set_write_timeout(Some(DEADLINE)).expect("a time");
    let memory = client.memory();
    // The heap without state, rings and pool.
    let session = memory.state + memory.rings + memory.pool;
    let beyond = |octets: usize| octets.saturating_sub(before + session);

    round_trips(&mut stream, WARM_UP);
    let idle = beyond(PeakAlloc.current_usage());
    PeakAlloc.reset_peak_usage();
    let small = Count::of(&client, || round_trips(&mut stream, ROUND_TRIPS));
    let after = beyond(PeakAlloc.current_usage());
    // Either snapshot may fall into an exchange.
    assert!(after < idle + 8192, "the heap grew from {idle} to {after} in round trips");
    let large = Count::of(&client, || bulk(&mut stream));

    say("threads", self::threads() - threads);
    say("heap, while small messages go", idle);
    say("heap, at most, while 8 MiB go each way", beyond(PeakAlloc.peak_usage()));
    say("allocations an exchange, small messages", small.per_exchange());
    say("allocations an exchange, 8 MiB each way", large.per_exchange());
    let stacks = stacks();
    // The stack of a thread may be joined with a large block above it, and is not recognised then.
    assert!(
        (1..=2).contains(&stacks.len()),
        "each thread has a stack of the size that the page says"
    );
    say("stack of a thread", STACK);
    say("stack of a thread, touched", stacks.into_iter().max().unwrap_or_default());
    say("process, resident at most", status("VmHWM:") << 10);
}

fn say(what: &str, number: impl std::fmt::Display) {
    println!("{SAYS}{what} {number}");
}

/// The allocations and exchanges during a piece of work.
struct Count {
    allocations: usize,
    exchanges: u64,
}

impl Count {
    fn of(client: &Client, work: impl FnOnce()) -> Self {
        let count = |stats: Stats| stats.sends + stats.parks;
        let (heap, begun) = (HEAP.stats(), count(client.stats()));
        work();
        let change = HEAP.stats() - heap;
        let exchanges = count(client.stats()) - begun;
        Self { allocations: change.allocations + change.reallocations, exchanges }
    }

    /// The number of allocations per exchange, rounded up.
    fn per_exchange(&self) -> u64 {
        (self.allocations as u64).div_ceil(self.exchanges.max(1))
    }
}

fn round_trips(stream: &mut Stream, count: usize) {
    let mut message = [7; 64];
    for _ in 0..count {
        stream.write_all(&message).expect("written");
        stream.read_exact(&mut message).expect("sent back");
    }
}

/// Carries [`BULK`] octets there and back at once.
fn bulk(stream: &mut Stream) {
    let mut writer = stream.try_clone().expect("a clone");
    thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let octets = [7; 16 << 10];
            for _ in 0..BULK / octets.len() as u64 {
                writer.write_all(&octets).expect("written");
            }
        });
        let mut octets = [0; 16 << 10];
        for _ in 0..BULK / octets.len() as u64 {
            stream.read_exact(&mut octets).expect("sent back");
        }
        // The end of the scope would not wait until the system has ended the thread.
        writing.join().expect("the writer does not panic");
    });
}

fn threads() -> u64 {
    status("Threads:")
}

/// A number of `/proc/self/status`.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of status");
    line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}

/// Octets of the page below a thread's stack.
const GUARD: u64 = 4096;

/// The touched octets of the stack of every thread of a client: a mapping of just that size behind
/// a guard page.
fn stacks() -> Vec<u64> {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("/proc");
    let mut stacks = Vec::new();
    let mut guarded = false;
    let mut is_stack = false;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if let Some((from, to)) = first.split_once('-') {
            let address = |hex| u64::from_str_radix(hex, 16).unwrap_or_default();
            let len = address(to) - address(from);
            // The kernel may have joined the stack with a block above it.
            is_stack = guarded && second == "rw-p" && (STACK..2 * STACK).contains(&len);
            guarded = second == "---p" && len == GUARD;
        } else if is_stack && first == "Rss:" {
            stacks.push(second.parse::<u64>().expect("a number") << 10);
        }
    }
    stacks
}
