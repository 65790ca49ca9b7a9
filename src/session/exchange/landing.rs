//! An exchange is over: its messages are let go of, and those that did not get through are due again.

use super::{Item, ItemKind};
use crate::Kind;
use crate::session::acknowledge::LONG_PATH_MS;
use crate::session::mode::Mode;
use crate::session::path::Company;
use crate::session::rings::Direction;
use crate::session::view::Session;

/// A ring of a long path holds so many times what the path needs: where bodies are several round trips
/// long, one is under way, and the next is written meanwhile.
const BODIES: u64 = 2;

impl<M: Mode> Session<'_, M> {
    /// The request that said this is over; it `passed` if the relay had all of it.
    pub(in crate::session) fn land_item(&mut self, now: u64, item: &Item, passed: bool) {
        let slot = usize::from(item.slot);
        match item.kind {
            ItemKind::Listen if !passed => self.core.debts.owe_wake(),
            #[cfg(feature = "secure")]
            ItemKind::Proof => {}
            ItemKind::Listen => {}
            ItemKind::Reply => self.core.replies.land(slot, passed),
            ItemKind::Final if !passed => self.tombstones[slot].answer(),
            ItemKind::Final => {}
            ItemKind::Window => {
                let channel = &mut self.channels[slot];
                if !passed && channel.is_established() {
                    channel.rx.owe_now();
                }
            }
            ItemKind::Confirm if !passed => self.channels[slot].confirm_again(),
            ItemKind::Confirm => {}
            ItemKind::Connect | ItemKind::Accept | ItemKind::Close => {
                if !passed {
                    self.channels[slot].repeat_failed(now);
                }
                self.let_go(now, slot);
            }
            ItemKind::Probe => {
                if !passed {
                    self.channels[slot].prober.failed();
                }
                self.let_go(now, slot);
            }
            ItemKind::Data => {
                if !M::SINGLE && passed {
                    self.lengthen_for_next(now, slot);
                }
                self.channels[slot].tx.land(item.is_judged());
                self.watch(now, slot);
                self.wake_channel(slot);
                self.let_go(now, slot);
            }
            ItemKind::Datagram => {
                if M::DATAGRAMS {
                    self.channels[slot].tx.land_datagrams();
                    self.watch(now, slot);
                    self.wake_channel(slot);
                }
                self.let_go(now, slot);
            }
        }
    }

    /// Doubles a transmit ring that is full behind the body that has gone up, if what waits there is less
    /// than the next body may have: on a long path an exchange costs much, however little it carries.
    fn lengthen_for_next(&mut self, now: u64, slot: usize) {
        let most = self.core.max_body();
        let Some(full) = self.core.full() else { return };
        if full.body_size.round_trip_ms() < LONG_PATH_MS {
            return;
        }
        let next = full.body_size.budget(now, most, Company::Alone);
        let ring = self.rings.len(slot, Direction::Transmit);
        let channel = &self.channels[slot];
        let tx = &channel.tx;
        let is_too_little = tx.unsent() < next.into() && channel.is_ring_short(ring, BODIES);
        if channel.is_established() && is_too_little {
            self.lengthen(slot, Direction::Transmit);
        }
    }

    /// No body has messages of the channel any more: what waited for that is done.
    fn let_go(&mut self, now: u64, slot: usize) {
        self.channels[slot].land();
        self.finish_if_done(now, slot);
        self.reap(now, slot);
    }

    /// An answer to a park is lost, and perhaps data with it, or acknowledgements and windows: a
    /// channel that waits for those asks at once, since its own timer may have backed off while the
    /// path was dark.
    pub(in crate::session) fn note_losses(&mut self, now: u64) {
        self.ask_finals();
        let rto = self.core.rto();
        let single = self.core.is_single();
        // Where one answer after the other is lost, what waits goes by its own timer.
        let in_vain = !M::SINGLE && self.core.park_backoff.is_in_vain();
        for channel in self.channels.iter_mut() {
            if !channel.is_established() || channel.kind::<M>() != Kind::Stream {
                continue;
            }
            if !channel.rx.has_fin() {
                channel.rx.note_loss();
                channel.rx.owe_now();
            }
            if channel.is_outstanding::<M>() && !in_vain {
                channel.prober.want_any();
                // What hangs up to say so is no reason to say it more often.
                if !single || !self.core.park.is_broken() {
                    channel.prober.restart(now, rto);
                }
                self.core.wakes.send = true;
            }
        }
    }
}
