//! What the lock of a client guards.

use std::collections::VecDeque;
use std::sync::Arc;

use super::LANES;
use crate::client::ClientEvent;
use crate::client::clock::{SessionClock, Times};
use crate::client::readiness::{Readiness, Waitable, Watches};
use crate::error::Error;
use crate::session::{HeapStorage, Session};
use crate::transport::{Canceller, RelayPath};

/// Events that are kept until the program takes them. When one more comes, the oldest is dropped and
/// counted.
const EVENTS: usize = 16;

/// How far the life of a client has come. It never goes back.
///
/// ```text
///  Open ── close, abort ──▶ Closing ── all said, or no more time ──▶ Stopping
///    │                                                                  ▲
///    └────── abort before a relay answered, a lane that panicked ───────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::client) enum ClientLife {
    /// The program may make every call.
    Open,
    /// Every call of the program fails but another close. The lanes carry what is left to say.
    Closing,
    /// The lanes end, too.
    Stopping,
}

/// What the lock guards: the session, its clock, and what the lanes and the program's threads tell
/// each other.
#[derive(Debug)]
pub(in crate::client) struct ClientState {
    pub(super) storage: HeapStorage,
    pub(super) clock: SessionClock,
    cancellers: [Canceller; LANES],
    life: ClientLife,
    /// How many lanes run.
    pub running: usize,
    /// When the sending lane looks again by itself, in ms of the session's clock; `None`: never.
    pub send_looks_at: Option<u64>,
    events: VecDeque<ClientEvent>,
    events_lost: u64,
    /// What was seen by the exchange that failed last, for the event that tells of it.
    pub seen: String,
    pub watches: Watches,
}

impl ClientState {
    pub(super) fn new(
        storage: HeapStorage,
        cancellers: [Canceller; LANES],
        read: fn() -> Times,
    ) -> Self {
        Self {
            storage,
            clock: SessionClock::new(read),
            cancellers,
            life: ClientLife::Open,
            running: 0,
            send_looks_at: None,
            events: VecDeque::with_capacity(EVENTS),
            events_lost: 0,
            seen: String::new(),
            watches: Watches::default(),
        }
    }

    /// The session, and the time now.
    pub fn session(&mut self) -> (Session<'_>, u64) {
        if self.clock.advance() {
            self.change_network(None);
        }
        (self.storage.session(), self.clock.now)
    }

    /// The device has another address or network, or has slept: both connections are dropped.
    /// If there is another way to the relay, the next exchanges take it.
    pub fn change_network(&mut self, redirect: Option<&Arc<RelayPath>>) {
        log::debug!("network changed, or the device has slept: both connections are dropped");
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
    pub fn readiness(&mut self, waitable: Waitable) -> Readiness {
        let (closed, event) = (self.is_closed(), !self.events.is_empty());
        waitable.readiness(&self.storage.session(), closed, event)
    }

    /// Breaks the exchanges under way.
    pub fn cancel(&self) {
        self.cancellers.iter().for_each(Canceller::cancel);
    }

    /// The client's life has come so far, unless it is further already.
    pub fn end(&mut self, to: ClientLife) {
        self.life = self.life.max(to);
    }

    /// Whether the program is done with the client: every call of it but close fails.
    pub fn is_closed(&self) -> bool {
        self.life != ClientLife::Open
    }

    /// Whether the lanes are to end.
    pub fn is_stopping(&self) -> bool {
        self.life == ClientLife::Stopping
    }

    /// Whether there will be no more exchanges: the session has ended, or it cannot go on and the
    /// program is done with it.
    pub fn is_over(&mut self) -> bool {
        let closed = self.is_closed();
        let (session, _) = self.session();
        session.is_closed() || closed && session.is_open().is_err()
    }

    /// Whether the relay has answered, or why the session cannot go on. Does not look at the clock, so
    /// that it makes no event.
    pub fn is_open(&mut self) -> Result<bool, Error> {
        self.storage.session().is_open()
    }

    pub fn next_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// How many events were dropped because the program did not take them.
    pub fn events_lost(&self) -> u64 {
        self.events_lost
    }

    /// Takes the session's events.
    pub(super) fn take_events(&mut self) {
        let mut session = self.storage.session();
        while let Some(event) = session.poll_event() {
            if self.events.len() == EVENTS {
                self.events.pop_front();
                self.events_lost += 1;
            }
            let event = ClientEvent::new(event, &self.seen);
            log::info!("{event}");
            self.events.push_back(event);
        }
    }

    /// Brings the file descriptors up to date.
    pub(super) fn update_watches(&mut self) {
        let (closed, event) = (self.is_closed(), !self.events.is_empty());
        self.watches.update(&self.storage.session(), closed, event);
    }
}
