//! What the application's threads and the two lanes share: one lock over the session, and who
//! waits for what. The lock is never held across I/O; whoever waits does so for a predicate.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ClientEvent;
use super::channel::deadline;
use super::clock::{Clock, Times};
use super::readiness::{Readiness, Target, Watches};
use crate::error::Error;
use crate::session::{ChannelId, HeapStorage, Lane, ListenerId, Profile, Session, Wake};
use crate::transport::{Canceller, Way};

/// Events kept until somebody takes them; then the oldest is dropped, and counted.
const EVENTS: usize = 16;

/// Threads that carry exchanges: one for parks, one for sends.
pub(super) const LANES: usize = 2;

#[derive(Debug)]
pub(super) struct Shared {
    core: Mutex<Core>,
    lanes: [Signal; LANES],
    channels: Box<[OnChannel]>,
    listeners: Box<[Signal]>,
    session: Signal,
    events: Signal,
    cancellers: [Canceller; LANES],
}

/// Where threads wait for a channel, by what they wait for: a verdict is nothing to a reader.
#[derive(Debug, Default)]
pub(super) struct OnChannel {
    read: Signal,
    write: Signal,
    other: Signal,
}

impl OnChannel {
    /// For something to read.
    pub fn read(&self) -> &Signal {
        &self.read
    }

    /// For room.
    pub fn write(&self) -> &Signal {
        &self.write
    }

    /// For anything else: that it opens, that everything was delivered or acknowledged. Waits of
    /// all kinds are cancelled by this one.
    pub fn other(&self) -> &Signal {
        &self.other
    }

    pub fn notify_all(&self) {
        [&self.read, &self.write, &self.other].into_iter().for_each(Signal::notify_all);
    }
}

/// Where threads wait. To notify costs a system call only while somebody does.
#[derive(Debug, Default)]
pub(super) struct Signal {
    condvar: Condvar,
    /// Rises with the lock held, before the waiter lets go of it: whoever changes what it waits
    /// for, with the lock held, sees it afterwards.
    waiters: AtomicU32,
    /// How often the waits here were cancelled; rises with the lock held.
    cancelled: AtomicU32,
}

impl Signal {
    pub fn notify_all(&self) {
        if self.waiters.load(Ordering::Relaxed) > 0 {
            self.condvar.notify_all();
        }
    }

    /// Waits, for at most `left`.
    pub fn wait<'a>(
        &self,
        core: MutexGuard<'a, Core>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, Core> {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        let core = match left {
            Some(left) => {
                let waited = self.condvar.wait_timeout(core, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.condvar.wait(core).unwrap_or_else(PoisonError::into_inner),
        };
        self.waiters.fetch_sub(1, Ordering::Relaxed);
        core
    }
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct Core {
    storage: HeapStorage,
    clock: Clock,
    cancellers: [Canceller; LANES],
    /// The application is done: every call of it but `close` fails.
    pub closed: bool,
    /// The lanes are to end.
    pub stop: bool,
    /// Lanes that run.
    pub running: usize,
    /// When the sending lane looks again by itself; `None`: never.
    pub send_looks_at: Option<u64>,
    events: VecDeque<ClientEvent>,
    events_lost: u64,
    /// What the exchange that failed last saw.
    pub seen: String,
    pub watches: Watches,
}

impl Core {
    /// The session, and the time now.
    pub fn session(&mut self) -> (Session<'_>, u64) {
        if self.clock.advance() {
            self.change_network(None);
        }
        (self.storage.session(), self.clock.now)
    }

    /// The device has another address or network, or has slept: both connections are dropped.
    /// If there is another way to the relay, the next exchanges take it.
    pub fn change_network(&mut self, redirect: Option<&Arc<Way>>) {
        self.clock.advance();
        for canceller in &self.cancellers {
            canceller.forget_addresses();
            if let Some(way) = redirect {
                canceller.redirect(Arc::clone(way));
            }
        }
        self.storage.session().network_changed(self.clock.now);
        self.cancel();
    }

    /// What can be done without waiting.
    pub fn readiness(&mut self, target: Target) -> Readiness {
        let event = !self.events.is_empty();
        target.readiness(&self.storage.session(), self.closed, event)
    }

    /// Breaks the exchanges under way.
    pub fn cancel(&self) {
        self.cancellers.iter().for_each(Canceller::cancel);
    }

    /// Whether there will be no more exchanges: the session has ended, or it can go on no longer
    /// and the application is done with it.
    pub fn is_over(&mut self) -> bool {
        let closed = self.closed;
        let (session, _) = self.session();
        session.is_closed() || closed && session.is_open().is_err()
    }

    /// Whether the relay has answered, or why the session can go on no longer. Does not look at the
    /// clock, so that it makes no event.
    pub fn is_open(&mut self) -> Result<bool, Error> {
        self.storage.session().is_open()
    }

    pub fn next_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    pub fn events_lost(&self) -> u64 {
        self.events_lost
    }
}

/// Who is to look again.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    lanes: [bool; LANES],
    channels: [u64; 4],
    readers: [u64; 4],
    writers: [u64; 4],
    listeners: u64,
    session: bool,
    events: bool,
}

pub(super) const fn index(lane: Lane) -> usize {
    match lane {
        Lane::Park => 0,
        Lane::Send => 1,
    }
}

impl Shared {
    pub fn new(storage: HeapStorage, profile: &Profile, cancellers: [Canceller; LANES]) -> Self {
        Self::with_clock(storage, profile, cancellers, Times::read)
    }

    /// As [`Shared::new`], by another clock than the system's.
    pub fn with_clock(
        storage: HeapStorage,
        profile: &Profile,
        cancellers: [Canceller; LANES],
        read: fn() -> Times,
    ) -> Self {
        Self {
            core: Mutex::new(Core {
                storage,
                clock: Clock::new(read),
                cancellers: cancellers.clone(),
                closed: false,
                stop: false,
                running: 0,
                send_looks_at: None,
                events: VecDeque::with_capacity(EVENTS),
                events_lost: 0,
                seen: String::new(),
                watches: Watches::default(),
            }),
            lanes: Default::default(),
            channels: (0..profile.channels).map(|_| OnChannel::default()).collect(),
            listeners: (0..profile.listeners).map(|_| Signal::default()).collect(),
            session: Signal::default(),
            events: Signal::default(),
            cancellers,
        }
    }

    /// A panic elsewhere leaves the session as it was between two calls, so the lock stays good.
    pub fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn canceller(&self, lane: Lane) -> &Canceller {
        &self.cancellers[index(lane)]
    }

    pub fn on_lane(&self, lane: Lane) -> &Signal {
        &self.lanes[index(lane)]
    }

    pub fn on_channel(&self, id: ChannelId) -> &OnChannel {
        &self.channels[id.slot()]
    }

    pub fn on_listener(&self, id: ListenerId) -> &Signal {
        &self.listeners[id.slot()]
    }

    pub fn on_session(&self) -> &Signal {
        &self.session
    }

    pub fn on_events(&self) -> &Signal {
        &self.events
    }

    /// Calls the session, then wakes whom it names.
    pub fn call<T>(&self, f: impl FnOnce(&mut Session<'_>, u64) -> T) -> T {
        self.with(|core| {
            let (mut session, now) = core.session();
            f(&mut session, now)
        })
    }

    /// As [`Shared::call`], with all that the lock guards.
    pub fn with<T>(&self, f: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let result = f(&mut core);
        let wakes = self.drain(&mut core);
        drop(core);
        self.notify(&wakes);
        result
    }

    /// Calls the session until it gives something, waiting for `signal` in between; `None` when
    /// `deadline` is over before. Fails once the application has closed the client, or cancels what
    /// waits in `scope`.
    pub fn wait<T>(
        &self,
        signal: &Signal,
        scope: &Signal,
        deadline: Option<Instant>,
        mut f: impl FnMut(&mut Session<'_>, u64) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        self.wait_with(signal, scope, deadline, |core| {
            let closed = core.closed;
            let (mut session, now) = core.session();
            if closed {
                return Err(session.is_open().err().unwrap_or(Error::Closed));
            }
            match f(&mut session, now)? {
                // A session that can go on no longer gives nothing any more.
                None => session.is_open().map(|_| None),
                some => Ok(some),
            }
        })
    }

    /// As [`Shared::wait`], with all that the lock guards, and whether closed or not.
    pub fn wait_with<T>(
        &self,
        signal: &Signal,
        scope: &Signal,
        deadline: Option<Instant>,
        mut f: impl FnMut(&mut Core) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let mut core = self.lock();
        let cancelled = scope.cancelled.load(Ordering::Relaxed);
        loop {
            let result = f(&mut core);
            let wakes = self.drain(&mut core);
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            let result = match result {
                Ok(None) if scope.cancelled.load(Ordering::Relaxed) != cancelled => {
                    Err(Error::Cancelled)
                }
                result => result,
            };
            if !matches!(result, Ok(None)) || left.is_some_and(|left| left.is_zero()) {
                drop(core);
                self.notify(&wakes);
                return result;
            }
            self.notify(&wakes);
            core = signal.wait(core, left);
        }
    }

    /// Waits until what was asked for is there, at most for `timeout`; a cancel of `scope` ends that.
    ///
    /// # Errors
    /// Why it will never be there, or, when the time is over, what stood in the way. After no time at
    /// all that is [`Error::TimedOut`].
    pub fn wait_open(
        &self,
        target: Target,
        scope: &Signal,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let signal = match target {
            Target::Client => self.on_session(),
            Target::Listener(id) => self.on_listener(id),
            Target::Channel(id) => self.on_channel(id).other(),
        };
        let open = self.wait(signal, scope, deadline(timeout), |session, _| {
            Ok(target.is_open(session)?.then_some(()))
        })?;
        open.ok_or_else(|| self.call(|session, _| target.late(session, timeout)))
    }

    /// Ends the waits in `scope` that are in progress, if it is still `owned` by who asks: a slot
    /// may have got another channel or listener.
    pub fn cancel(&self, scope: &Signal, owned: impl FnOnce(&Session<'_>) -> bool) {
        let mut core = self.lock();
        if !owned(&core.storage.session()) {
            return;
        }
        scope.cancelled.fetch_add(1, Ordering::Relaxed);
        drop(core);
        // Who waits for something else may do so in this scope.
        self.wake_all();
    }

    /// Wakes everybody, after a flag was set that all look at.
    pub fn wake_all(&self) {
        self.channels.iter().for_each(OnChannel::notify_all);
        let all = self.lanes.iter().chain(&self.listeners);
        all.chain([&self.session, &self.events]).for_each(Signal::notify_all);
    }

    /// Takes what the session has to tell.
    pub fn drain(&self, core: &mut Core) -> Wakes {
        let mut wakes = Wakes::default();
        let mut session = core.storage.session();
        while let Some(wake) = session.poll_wake() {
            match wake {
                Wake::Park => wakes.lanes[index(Lane::Park)] = true,
                // At once, as long as the lock is held: the next exchange is not meant.
                Wake::BreakPark => self.canceller(Lane::Park).cancel(),
                Wake::BreakSend => self.canceller(Lane::Send).cancel(),
                Wake::Send => wakes.lanes[index(Lane::Send)] = true,
                Wake::SendBy(at) => {
                    // One that it should have kept is one that it sleeps through.
                    let now = core.clock.now;
                    let sooner =
                        core.send_looks_at.is_none_or(|looks_at| at < looks_at || looks_at <= now);
                    wakes.lanes[index(Lane::Send)] |= sooner;
                }
                Wake::Channel(slot) => {
                    let (word, bit) = (slot / 64, 1 << (slot % 64));
                    wakes.channels[word] |= bit;
                    wakes.readers[word] |= if session.is_readable(slot) { bit } else { 0 };
                    wakes.writers[word] |= if session.is_writable(slot) { bit } else { 0 };
                }
                Wake::Listener(slot) => wakes.listeners |= 1 << slot,
                Wake::Session => wakes.session = true,
                Wake::Event => wakes.events = true,
            }
        }
        if wakes.events {
            while let Some(event) = session.poll_event() {
                if core.events.len() == EVENTS {
                    core.events.pop_front();
                    core.events_lost += 1;
                }
                let event = ClientEvent::new(event, &core.seen);
                log::info!("{event}");
                core.events.push_back(event);
            }
        }
        if wakes.session && session.is_open().is_err() {
            wakes.channels = [u64::MAX; 4];
            wakes.readers = wakes.channels;
            wakes.writers = wakes.channels;
            wakes.listeners = u64::MAX;
            wakes.events = true;
        }
        core.watches.update(&session, core.closed, !core.events.is_empty());
        wakes
    }

    pub fn notify(&self, wakes: &Wakes) {
        for (lane, wake) in self.lanes.iter().zip(wakes.lanes) {
            if wake {
                lane.notify_all();
            }
        }
        let on_channels = |words: &[u64; 4], which: fn(&OnChannel) -> &Signal| {
            for (i, word) in words.iter().enumerate() {
                let channels = bits(*word).filter_map(|bit| self.channels.get(64 * i + bit));
                channels.for_each(|channel| which(channel).notify_all());
            }
        };
        on_channels(&wakes.readers, OnChannel::read);
        on_channels(&wakes.writers, OnChannel::write);
        on_channels(&wakes.channels, OnChannel::other);
        let listeners = bits(wakes.listeners).filter_map(|bit| self.listeners.get(bit));
        listeners.for_each(Signal::notify_all);
        if wakes.session {
            self.session.notify_all();
        }
        if wakes.events {
            self.events.notify_all();
        }
    }
}

fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            bit
        })
    })
}

#[cfg(test)]
mod tests;
