//! What the relay says of each message of a request.

use super::{Item, ItemKind};
use crate::Kind;
use crate::error::Blocked;
use crate::session::channel::EndCause;
use crate::session::channel::probe::Probe;
use crate::session::mode::Mode;
use crate::session::terms::Lane;
use crate::session::view::Session;
use crate::trace::debug;
use crate::wire::{Status, Verdict};

impl<M: Mode> Session<'_, M> {
    /// The relay says what became of a message of the request.
    pub(in crate::session) fn on_verdict(
        &mut self,
        now: u64,
        lane: Lane,
        verdict: &Verdict,
    ) -> Result<(), Blocked> {
        let Some(item) = self.core.flight(lane).item_of(verdict.index) else { return Ok(()) };
        if item.is_judged() {
            return Ok(());
        }
        if !M::SINGLE && !verdict.status.fits(item.kind.place()) {
            return Err(Blocked::Foreign);
        }
        item.judge();
        let item = *item;
        let slot = usize::from(item.slot);
        let delivered = verdict.status == Status::Delivered;
        if !delivered {
            self.tell_undelivered(&item, verdict.status);
        }
        // Datagrams leave the ring from its front: behind one without a verdict none does.
        if M::DATAGRAMS
            && item.kind == ItemKind::Datagram
            && self.core.flight(lane).skips_datagram(&item, verdict.index)
        {
            self.channels[slot].tx.keep_rest();
        }
        match item.kind {
            ItemKind::Data => {
                let bytes = if delivered { item.bytes() } else { verdict.bytes.min(item.bytes()) };
                self.channels[slot].tx.pass_on(bytes, delivered);
                if !delivered {
                    self.unreached(now, slot, verdict.status);
                }
                self.wake_channel(slot);
            }
            ItemKind::Datagram if M::DATAGRAMS => {
                self.on_datagram_verdict(now, &item, verdict.status)
            }
            ItemKind::Window if !delivered => self.channels[slot].rx.owe_now(),
            ItemKind::Confirm if !delivered && self.core.carries(lane) => {
                self.channels[slot].confirm_again();
            }
            ItemKind::Probe if delivered => self.unblock(now, slot),
            ItemKind::Probe => {
                self.unreached(now, slot, verdict.status);
                if !M::SINGLE && verdict.status == Status::Away {
                    self.give_place_away(now, slot);
                }
            }
            ItemKind::Connect if self.channels[slot].is_connecting() => match verdict.status {
                // The relay refuses in the listener's place.
                Status::NoListener
                | Status::WrongKind
                | Status::WrongSecurity
                | Status::Limited
                | Status::Forbidden => {
                    self.end(now, slot, EndCause::Refused(verdict.status), false);
                }
                status => self.channels[slot].hear(status),
            },
            #[cfg(feature = "secure")]
            ItemKind::Proof => {}
            ItemKind::Datagram
            | ItemKind::Connect
            | ItemKind::Accept
            | ItemKind::Listen
            | ItemKind::Confirm
            | ItemKind::Window
            | ItemKind::Final
            | ItemKind::Close
            | ItemKind::Reply => {}
        }
        Ok(())
    }

    /// Traces that a message was not delivered.
    fn tell_undelivered(&self, item: &Item, status: Status) {
        let (kind, slot) = (item.kind, usize::from(item.slot));
        match kind {
            ItemKind::Confirm
            | ItemKind::Window
            | ItemKind::Probe
            | ItemKind::Data
            | ItemKind::Datagram
            | ItemKind::Connect
            | ItemKind::Accept
            | ItemKind::Close => debug!(
                "channel {:#x}: {kind:?} not delivered: {}",
                self.channel_id(slot).0,
                status.name()
            ),
            ItemKind::Listen => debug!(
                "listener {:#x}: {kind:?} not delivered: {}",
                self.claims[slot].id(slot).0,
                status.name()
            ),
            #[cfg(feature = "secure")]
            ItemKind::Proof => debug!("PROOF not delivered: {}", status.name()),
            ItemKind::Final | ItemKind::Reply => {
                debug!("{kind:?} to a channel that is not here not delivered: {}", status.name());
            }
        }
    }

    fn on_datagram_verdict(&mut self, now: u64, item: &Item, status: Status) {
        let slot = usize::from(item.slot);
        let bytes = item.bytes();
        let tx = &mut self.channels[slot].tx;
        match status {
            Status::Delivered => {
                if tx.leave(bytes) {
                    self.core.count(|stats| stats.sent += u64::from(bytes));
                    self.wake_channel(slot);
                }
            }
            // No answer that the peer takes could hold it.
            Status::Limited if tx.give_up(bytes) => {
                self.core.count(|stats| stats.datagrams_lost += 1);
            }
            status => {
                tx.keep_rest();
                self.unreached(now, slot, status);
            }
        }
    }

    /// The relay could not deliver.
    fn unreached(&mut self, now: u64, slot: usize, status: Status) {
        if !self.core.send().is_readied() {
            return self.block(now, slot, status);
        }
        // READY came by the park before this older word of the send, and will not come again.
        let channel = &mut self.channels[slot];
        if channel.kind::<M>() == Kind::Stream {
            channel.prober.want(Probe::Patient);
        }
    }
}
