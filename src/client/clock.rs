//! The session's time: milliseconds that never go back and go on while the device sleeps.

/// Sleep, in ms, after which the device may be in another network, and the other ends of its
/// connections may have given them up.
const SLEPT_MS: u64 = 5_000;

/// The times of the system's clocks, in ms since the system was started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub with_sleep: u64,
    pub awake: u64,
}

impl Times {
    pub fn read() -> Self {
        use rustix::time::ClockId;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let with_sleep = ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let with_sleep = ClockId::Monotonic;
        Self { awake: millis(ClockId::Monotonic), with_sleep: millis(with_sleep) }
    }

    fn asleep(&self) -> u64 {
        self.with_sleep.saturating_sub(self.awake)
    }
}

fn millis(clock: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}

/// Where the session's time comes from.
#[derive(Debug)]
pub(super) struct SessionClock {
    read: fn() -> Times,
    /// The last time told to the session.
    pub now: u64,
    /// How long the device had slept by then, in ms.
    asleep: u64,
}

impl SessionClock {
    pub fn new(read: fn() -> Times) -> Self {
        let times = read();
        Self { read, now: times.with_sleep, asleep: times.asleep() }
    }

    /// Goes on to the present; whether the device has slept for over [`SLEPT_MS`] since the call before.
    pub fn advance(&mut self) -> bool {
        let times = (self.read)();
        self.now = self.now.max(times.with_sleep);
        let asleep = times.asleep();
        let slept = asleep.saturating_sub(self.asleep) > SLEPT_MS;
        self.asleep = asleep;
        slept
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::client::monitor::Monitor;
    use crate::error::Blocked;
    use crate::session::{Event, HeapStorage, Lane, Profile, Settings};
    use crate::transport::{HttpConfig, HttpTransport, Transport};

    thread_local! {
        static TIMES: Cell<Times> =
            const { Cell::new(Times { with_sleep: 900_000, awake: 500_000 }) };
    }

    const TIMES_READ: fn() -> Times = || TIMES.get();

    fn pass(awake: u64, asleep: u64) {
        let Times { with_sleep, awake: before } = TIMES.get();
        TIMES.set(Times { with_sleep: with_sleep + awake + asleep, awake: before + awake });
    }

    #[test]
    fn long_sleep_is_told_once_and_long_wait_is_no_sleep() {
        let mut clock = SessionClock::new(TIMES_READ);
        assert!(!clock.advance());
        pass(3_600_000, 0);
        assert!(!clock.advance(), "nothing was asked of it for an hour");
        for _ in 0..100 {
            pass(1_000, 900);
            assert!(!clock.advance(), "naps between two looks");
        }
        let before = clock.now;
        pass(10, 6_000);
        assert!(clock.advance());
        assert_eq!(clock.now, before + 6_010);
        assert!(!clock.advance());
        TIMES.set(Times { with_sleep: 0, awake: 0 });
        assert!(!clock.advance());
        assert_eq!(clock.now, before + 6_010, "never back");
    }

    #[test]
    fn sleep_breaks_both_exchanges_and_the_next_begins_at_once() {
        let config = HttpConfig::new("http://relay.invalid/");
        let cancellers =
            [(); 2].map(|()| HttpTransport::new(&config).expect("a client").canceller());
        let storage = HeapStorage::new(&Profile::TINY).expect("a valid profile");
        let monitor = Monitor::with_clock(storage, &Profile::TINY, cancellers, TIMES_READ);
        monitor.call(|session, now| session.open(now, &Settings::new([1; 16], 1)));
        let begun = monitor.call(|session, now| session.poll_exchange(now, Lane::Send));
        assert!(begun.is_some());
        pass(100, 0);
        let cancelled = || [Lane::Park, Lane::Send].map(|l| monitor.canceller(l).is_cancelled());
        monitor.call(|_, _| ());
        assert_eq!(cancelled(), [false; 2]);
        pass(100, 20_000);
        // The first call after waking finds out.
        let events = monitor.call(|session, now| {
            session.handle_failure(now, Lane::Send, Blocked::Cut, true);
            std::iter::from_fn(|| session.poll_event()).collect::<Vec<_>>()
        });
        assert_eq!(cancelled(), [true; 2]);
        assert_eq!(events, [Event::Connecting], "that is no fault of the path");
        let again = monitor.call(|session, now| session.poll_exchange(now, Lane::Send));
        assert!(again.is_some(), "and nothing is waited for");
    }
}
