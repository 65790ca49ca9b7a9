//! The life of a session, and what it tells its owner.

use crate::error::{Blocked, Error};
use crate::session::channel::ChannelRecord;
use crate::session::channel::tombstone::Tombstone;
use crate::session::ids::ChannelId;
use crate::session::listener::Claim;
use crate::session::mode::Mode;
use crate::session::path::{Backoff, BodySize, Hold, Rate, StreamWatch};
#[cfg(feature = "secure")]
use crate::session::security::Security;
use crate::session::settings::Settings;
use crate::session::state::{Phase, Wakes};
use crate::session::stats::Stats;
use crate::session::terms::{Event, Lane, Wake};
use crate::session::view::Session;
use crate::trace::debug;

impl<M: Mode> Session<'_, M> {
    /// Begins a life: everything of an earlier one is forgotten. An empty send is due at once, so
    /// that [`is_open`](Self::is_open) tells whether the relay answers.
    pub fn open(&mut self, now: u64, settings: &Settings) {
        if M::SINGLE {
            if matches!(self.core.phase, Phase::New) {
                self.core.begin(now, settings);
            }
            return;
        }
        for channel in self.channels.iter_mut() {
            *channel = ChannelRecord::new();
        }
        for tombstone in self.tombstones.iter_mut() {
            *tombstone = Tombstone::new();
        }
        for claim in self.claims.iter_mut() {
            *claim = Claim::new();
        }
        self.rings.reset();
        self.core.reset(now, settings);
        self.core.event(Event::Connecting);
    }

    /// Encrypts every channel that is made from now on, from end to end; called behind
    /// [`open`](Self::open), before the session listens or connects. A peer that does not encrypt is refused.
    #[cfg(feature = "secure")]
    pub fn encrypt(&mut self, security: Security) {
        self.core.security = Some(security);
    }

    /// Whether the session's channels are encrypted.
    pub fn encrypts(&self) -> bool {
        #[cfg(feature = "secure")]
        return self.core.security.is_some();
        #[cfg(not(feature = "secure"))]
        false
    }

    /// Whether a relay has answered.
    ///
    /// # Errors
    /// What ends every hope of this session: another version, a secret in use elsewhere.
    pub fn is_open(&self) -> Result<bool, Error> {
        self.core.fatal().map(|()| self.core.health.is_reached())
    }

    /// The obstacle on the path to the relay; `None` once an exchange has succeeded.
    pub fn blocked(&self) -> Option<Blocked> {
        self.core.health.cause()
    }

    /// What stands in the way, if somebody has to change something before it does not: it was met twice
    /// in a row, and is [lasting](Blocked::is_lasting).
    pub fn stays_blocked(&self) -> Option<Blocked> {
        self.core.health.lasting_cause().filter(|_| !M::SINGLE)
    }

    /// Ends in order: listeners at once, each channel when what was written is acknowledged or its
    /// linger time is over, then the session itself.
    pub fn close(&mut self, now: u64) {
        self.begin_close(now);
        for slot in 0..self.channels.len() {
            self.give_up(now, slot);
        }
    }

    /// Ends at once: each channel is aborted, then the session ends.
    pub fn abort_all(&mut self, now: u64) {
        self.begin_close(now);
        for slot in 0..self.channels.len() {
            self.abort_slot(now, slot);
        }
        self.tombstones.iter_mut().for_each(|t| t.forgive());
    }

    fn begin_close(&mut self, now: u64) {
        debug!("the session closes");
        // Without hope there is nobody to say goodbye to.
        if matches!(self.core.phase, Phase::New | Phase::Closed) || self.core.fatal().is_err() {
            self.core.phase = Phase::Closed;
        } else {
            self.core.phase = Phase::Closing;
        }
        for slot in 0..self.claims().len() {
            self.unlisten(now, self.claims[slot].id(slot));
        }
        self.ask_finals();
        self.core.wakes.session = true;
        self.core.wake_lanes();
    }

    /// Whether the session is over: nothing more will be exchanged.
    pub fn is_closed(&self) -> bool {
        matches!(self.core.phase, Phase::Closed)
    }

    /// The channels with something unacknowledged, each with the first such offset; without those
    /// that the application gave up.
    pub fn unacked(&self) -> impl Iterator<Item = (ChannelId, u64)> {
        self.channels
            .iter()
            .enumerate()
            .filter(|(_, c)| c.is_awaited() && !c.tx.is_acked())
            .map(|(slot, c)| (self.channel_id(slot), c.acked()))
    }

    /// How many streams ended in order lately whose peers may not have the final acknowledgement.
    pub fn unconfirmed(&self) -> usize {
        self.tombstones.iter().filter(|t| t.is_owed(self.core.clock)).count()
    }

    /// The device has another address or network: dial at once, and forget what the old path took.
    /// The owner of the transport also breaks the exchanges under way.
    pub fn network_changed(&mut self, now: u64) {
        debug!("the network has changed: what was found out about the path is forgotten");
        self.core.tick(now);
        if let Some(full) = self.core.full_mut() {
            full.body_size = BodySize::new();
            full.hold = Hold::new();
            full.stream_watch = StreamWatch::new();
            full.gateway.forget();
            full.rate = Rate::new();
        }
        for lane in [Lane::Park, Lane::Send] {
            let flight = self.core.flight(lane);
            if flight.is_active() {
                flight.break_off();
            }
            *self.core.backoff_mut(lane) = Backoff::new();
        }
        self.forget_round_trips();
        self.core.event(Event::Connecting);
        self.core.wake_lanes();
    }

    /// Numbers since the session was opened. A [`Single`](crate::session::Single) session keeps none: zeros.
    pub fn stats(&self) -> Stats {
        self.core.full().map_or(Stats::new(), |full| full.stats)
    }

    /// Gives the oldest event not told yet; `None` when every event was told.
    pub fn poll_event(&mut self) -> Option<Event> {
        let events = &mut self.core.full_mut()?.events;
        (!events.is_empty()).then(|| events.remove(0))
    }

    /// Gives the next wake that the owner is to do; `None` when there is none.
    pub fn poll_wake(&mut self) -> Option<Wake> {
        if M::SINGLE {
            let wakes = core::mem::take(&mut self.core.wakes.send);
            return (wakes && self.speaks()).then_some(Wake::Send);
        }
        if core::mem::take(&mut self.core.wakes.send) {
            self.go_single(self.core.clock);
            self.core.wakes.send_later = false;
            return Some(Wake::Send);
        }
        if core::mem::take(&mut self.core.wakes.send_later)
            && let Some(at) = self.core.acks_at.get()
        {
            return Some(Wake::SendBy(at));
        }
        let wakes = &mut self.core.wakes;
        let mut take = |flag: fn(&mut Wakes) -> &mut bool| core::mem::take(flag(wakes));
        if take(|w| &mut w.park) {
            return Some(Wake::Park);
        }
        if take(|w| &mut w.break_park) {
            return Some(Wake::BreakPark);
        }
        if take(|w| &mut w.break_send) {
            return Some(Wake::BreakSend);
        }
        if take(|w| &mut w.events) {
            return Some(Wake::Event);
        }
        if take(|w| &mut w.session) {
            return Some(Wake::Session);
        }
        if let Some(word) = wakes.channels.iter().position(|&w| w != 0) {
            let bit = wakes.channels[word].trailing_zeros() as usize;
            wakes.channels[word] &= wakes.channels[word] - 1;
            let slot = word * 32 + bit;
            return Some(Wake::Channel(slot));
        }
        if M::LISTENS && wakes.claims != 0 {
            let slot = wakes.claims.trailing_zeros() as usize;
            wakes.claims &= wakes.claims - 1;
            return Some(Wake::Listener(slot));
        }
        None
    }
}
