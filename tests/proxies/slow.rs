//! Readers that stand, or take a byte a second, behind a proxy that takes whatever it is given: the
//! bytes under way stay within the windows, the relay holds none of them, and other channels go on.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, Stream};
use byway::session::{Pace, Profile};

use crate::daemon::{Daemon, free_port};
use crate::deploy::Relay;
use crate::{DEADLINE, PACES, client, pattern, relay};

const RING: usize = 256 << 10;
const PROFILE: Profile =
    Profile { channels: 4, ring: RING, pool: 0, listeners: 1, io_buffer: 64 << 10 };

/// Bytes of a slow channel: more than both rings and the buffers of the proxy and the kernels take,
/// if only the window held them back.
const SLOW_LEN: usize = 8 * RING;

/// The longest time without a byte on the busy channel, beside probes and polls of the slow ones.
const STALL: Duration = Duration::from_secs(3);

/// Octets that the relay may hold: those queued for the two clients, and control messages.
const HELD: u64 = 128 << 10;

/// Octets by which the relay process may grow after its first seconds.
const GROWTH: u64 = 4 << 20;

/// How long the readers are slow.
fn duration() -> Duration {
    let seconds = std::env::var("BYWAY_SLOW_SECONDS").ok();
    Duration::from_secs(seconds.map_or(10, |text| text.parse().expect("a number of seconds")))
}

#[test]
fn relay_holds_no_data_for_a_slow_reader() {
    for pace in PACES {
        let relay = relay();
        let most = AtomicU64::new(0);
        run(pace, relay.local_addr().port(), |_| {
            let held = relay.stats().held as u64;
            most.fetch_max(held, SeqCst);
            assert!(held <= HELD, "{held} octets held");
        });
        println!("{pace:?}: {most:?} octets held at most");
    }
}

#[test]
fn relay_does_not_grow_with_slow_readers() {
    for pace in PACES {
        let port = free_port();
        let relay = Relay::start(port);
        let (first, most) = (AtomicU64::new(0), AtomicU64::new(0));
        run(pace, port, |since| {
            let resident = relay.resident();
            if since < Duration::from_secs(2) {
                first.fetch_max(resident, SeqCst);
            }
            most.fetch_max(resident, SeqCst);
            let before = first.load(SeqCst);
            assert!(resident <= before + GROWTH, "{resident} octets, and {before} at first");
        });
        println!("{pace:?}: {first:?} octets resident at first, {most:?} at most");
    }
}

/// A channel with its writer and its reader.
struct Pair {
    writer: Stream,
    reader: Stream,
    key: u64,
}

impl Pair {
    /// The bytes under way fit the reader's ring, and no writer sends more than it was given. Gives
    /// the window.
    fn check(&self) -> u64 {
        let sent = self.writer.stats().expect("open");
        let got = self.reader.stats().expect("open");
        assert!(sent.window <= got.read + RING as u64, "{sent:?} {got:?}");
        assert!(got.received <= got.read + RING as u64, "{got:?}");
        assert!(sent.written - sent.acked <= RING as u64, "{sent:?}");
        assert_eq!((sent.overflows, self.writer.take_overflow()), (0, Ok(None)));
        sent.window
    }

    fn read(&self, at: &AtomicU64, most: usize) -> usize {
        let mut buffer = vec![0; most];
        let n = (&self.reader).read(&mut buffer).expect("reads");
        let before = at.fetch_add(n as u64, SeqCst);
        assert!(buffer[..n] == pattern(self.key, before, n), "not what was written, at {before}");
        n
    }

    fn read_up_to(&self, at: &AtomicU64, end: u64) {
        self.reader.set_read_timeout(Some(DEADLINE)).expect("not zero");
        while at.load(SeqCst) < end {
            assert!(self.read(at, RING) > 0, "the end of the stream");
        }
    }
}

fn pairs(from: &Client, to: &Client) -> [Pair; 3] {
    let listener = to.listen("slow:1").expect("listens");
    [1, 2, 3].map(|key| {
        let writer = from.connect("slow:1").expect("connects");
        let reader = listener.accept_timeout(DEADLINE).expect("accepts");
        Pair { writer, reader, key }
    })
}

/// Runs the scene, and calls `look` with the time since its beginning, ten times a second.
fn run(pace: Pace, relay: u16, mut look: impl FnMut(Duration)) {
    let nginx = Daemon::nginx(|_, port| {
        format!(
            "server {{ listen 127.0.0.1:{port}; \
             location / {{ proxy_pass http://127.0.0.1:{relay}; }} }}"
        )
    });
    let config = || Config { profile: PROFILE, ..Config::new(nginx.url()) };
    let (from, to) = (client(pace, config()), client(pace, config()));
    let pairs = pairs(&from, &to);
    let [stopped, trickle, busy] = &pairs;
    let read = [0; 3].map(AtomicU64::new);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Ends the threads in the scene, however the scene ends.
        let guard = Guard(&over);
        for pair in [stopped, trickle] {
            scope.spawn(|| write(pair, SLOW_LEN as u64, &AtomicBool::new(false)));
        }
        let writing = scope.spawn(|| write(busy, u64::MAX, &over));
        let reading = scope.spawn(|| {
            busy.reader.set_read_timeout(Some(Duration::from_millis(100))).expect("not zero");
            while !over.load(SeqCst) {
                read_some(busy, &read[2]);
            }
        });
        let begun = Instant::now();
        let (mut moved, mut moved_at, mut longest) = (0, begun, Duration::ZERO);
        while begun.elapsed() < duration() {
            thread::sleep(Duration::from_millis(100));
            let sent = from.stats().sent;
            let windows: u64 = pairs.iter().map(Pair::check).sum();
            // Records have octets besides the application's, of which the windows tell.
            let most = windows + windows / 100;
            assert!(sent <= most, "{sent} octets sent into windows of {windows}");
            look(begun.elapsed());
            let now = read[2].load(SeqCst);
            if now > moved {
                longest = longest.max(moved_at.elapsed());
                (moved, moved_at) = (now, Instant::now());
            }
            assert!(moved_at.elapsed() < STALL, "the busy channel stands at {now}");
            let due = begun.elapsed().as_secs();
            if read[1].load(SeqCst) < due {
                trickle.read(&read[1], 1);
            }
        }
        println!("{pace:?}: {moved} bytes on the busy channel, {longest:?} without one at most");
        assert!(read[1].load(SeqCst) + 1 >= duration().as_secs(), "a byte a second");
        assert_eq!(from.stats().overflows, 0);
        drop(guard);
        let written = writing.join().expect("writes");
        reading.join().expect("reads");
        busy.read_up_to(&read[2], written);
        stopped.read_up_to(&read[0], SLOW_LEN as u64);
        trickle.read_up_to(&read[1], SLOW_LEN as u64);
        look(begun.elapsed());
    });
}

struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Writes `len` bytes, or until told otherwise, and gives the number.
fn write(pair: &Pair, len: u64, over: &AtomicBool) -> u64 {
    // The reader may stand for this long; the test has failed behind that.
    pair.writer.set_write_timeout(Some(duration() + DEADLINE)).expect("not zero");
    let mut at = 0;
    while at < len && !over.load(SeqCst) {
        let bytes = pattern(pair.key, at, (len - at).min(16 << 10) as usize);
        if (&pair.writer).write_all(&bytes).is_err() {
            break;
        }
        at += bytes.len() as u64;
    }
    at
}

fn read_some(pair: &Pair, at: &AtomicU64) {
    let mut buffer = vec![0; RING];
    match (&pair.reader).read(&mut buffer) {
        Ok(n) => {
            let before = at.load(SeqCst);
            assert!(buffer[..n] == pattern(pair.key, before, n), "wrong at {before}");
            at.store(before + n as u64, SeqCst);
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => {}
        Err(error) => panic!("{error}"),
    }
}
