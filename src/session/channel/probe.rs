//! Zero-window probing: asking a peer that says nothing, or that the relay cannot reach, how far it is.

use crate::session::deadline::Deadline;

/// What asks the peer how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    None = 0,
    /// A PROBE, which does not wait at the relay.
    AtOnce,
    /// A message without bytes, which does: a PROBE that arrives between the short parks of a busy
    /// peer each time would never get through.
    Patient,
}

/// Whether the relay reaches the peer.
///
/// ```text
///              BUSY, AWAY, …                     AWAY
///   Reached ──────────────────▶ Unreached ────────────────▶ Away
///      ▲                           │ READY, DELIVERED, a new │
///      └───────────────────────────┴─ acknowledgement ───────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Reached = 0,
    /// The relay could not deliver: nothing but probes goes out.
    Unreached,
    /// The same, and the application was told that the peer is away.
    Away,
}

/// The probing of one channel's peer. All zeros is the initial state.
#[derive(Debug)]
#[repr(C)]
pub struct Prober {
    reach: Reach,
    /// An idle peer was asked whether it is there, and has not answered yet.
    asked: bool,
    /// What goes with the next send.
    due: Probe,
    /// Doublings of the timer.
    backoff: u8,
    /// When the timer fires.
    at: Deadline,
}

impl Prober {
    pub const fn new() -> Self {
        Self {
            reach: Reach::Reached,
            asked: false,
            due: Probe::None,
            backoff: 0,
            at: Deadline::NONE,
        }
    }

    /// Whether the relay could not deliver, so that nothing but probes goes out.
    pub fn is_blocked(&self) -> bool {
        self.reach != Reach::Reached
    }

    /// Whether the peer is expected to say something although it has everything.
    pub fn is_waiting(&self) -> bool {
        self.asked || self.is_blocked()
    }

    /// What goes with the next send.
    pub const fn due(&self) -> Probe {
        self.due
    }

    /// When the timer fires.
    pub const fn at(&self) -> Deadline {
        self.at
    }

    /// The relay could not deliver; false if that was so before.
    pub fn block(&mut self) -> bool {
        let is_news = self.reach == Reach::Reached;
        if is_news {
            self.reach = Reach::Unreached;
        }
        is_news
    }

    /// The relay has not seen the peer lately: whether the application is to be told.
    pub fn call_away(&mut self) -> bool {
        let tells = self.reach == Reach::Unreached;
        if tells {
            self.reach = Reach::Away;
        }
        tells
    }

    /// The peer takes data again: whether the application is to be told, as it was told before.
    pub fn unblock(&mut self) -> bool {
        core::mem::replace(&mut self.reach, Reach::Reached) == Reach::Away
    }

    /// The peer said something.
    pub fn answered(&mut self) {
        self.asked = false;
    }

    /// An idle peer is to be asked whether it is there; false if it was already.
    pub fn ask(&mut self) -> bool {
        let is_new = !core::mem::replace(&mut self.asked, true);
        if is_new {
            self.due = Probe::AtOnce;
        }
        is_new
    }

    /// This probe is to go with the next send.
    pub fn want(&mut self, probe: Probe) {
        self.due = probe;
    }

    /// A probe is to go with the next send, unless one is to already: patient if data may go.
    pub fn want_any(&mut self) {
        if self.due == Probe::None {
            self.due = if self.is_blocked() { Probe::AtOnce } else { Probe::Patient };
        }
    }

    /// The probe did not get through with its send.
    pub fn failed(&mut self) {
        if self.due == Probe::None {
            self.due = Probe::AtOnce;
        }
    }

    /// A send has the probe.
    pub fn sent(&mut self) {
        self.due = Probe::None;
    }

    /// The timer begins anew, without doublings, and fires after `rto` ms.
    pub fn restart(&mut self, now: u64, rto: u64) {
        self.backoff = 0;
        self.at = Deadline::at(now + rto);
    }

    /// Something is outstanding: the timer runs.
    pub fn run(&mut self, now: u64, rto: u64) {
        if !self.at.is_set() {
            self.at = Deadline::at(now + rto);
        }
    }

    /// Nothing is outstanding, or something was acknowledged: the timer stops.
    pub fn stop(&mut self) {
        self.backoff = 0;
        self.at = Deadline::NONE;
    }

    /// The channel has ended: nobody is asked.
    pub fn end(&mut self) {
        self.due = Probe::None;
        self.at = Deadline::NONE;
    }

    /// A peer that is not reached spoke, but may not hear: its sends may pass while its park is gone.
    /// It is asked by `soon`; whether that is sooner than before.
    pub fn hurry(&mut self, soon: u64) -> bool {
        if !self.is_blocked() {
            return false;
        }
        self.backoff = 0;
        let is_sooner = self.at.is_set() && soon < self.at.or_never();
        if is_sooner {
            self.at = Deadline::at(soon);
        }
        is_sooner
    }

    /// The timer fired; `asks` is whether the peer is to be asked. It doubles, from `rto` up to `most`
    /// ms.
    pub fn fire(&mut self, now: u64, rto: u64, most: u64, asks: bool) {
        if asks {
            self.due = Probe::AtOnce;
        }
        self.backoff = self.backoff.saturating_add(1);
        self.at = Deadline::at(now + (rto << self.backoff.min(6)).min(most.max(rto)));
    }
}
