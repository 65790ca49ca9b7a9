//! Which signals the session wants notified.

use super::{ClientState, LANES, Monitor, Signal, index};
use crate::client::monitor::ChannelSignals;
use crate::session::{Lane, Wake};

/// The signals that are to be notified once the lock is let go of. Bit `n` of the words stands for
/// slot `n`.
#[derive(Debug, Default)]
pub(in crate::client) struct Notices {
    lanes: [bool; LANES],
    channels: [u64; 4],
    readers: [u64; 4],
    writers: [u64; 4],
    listeners: u64,
    session: bool,
    events: bool,
}

impl Monitor {
    /// Takes what the session has to tell: breaks exchanges, keeps events, and gives the signals that
    /// are to be notified.
    pub fn drain(&self, state: &mut ClientState) -> Notices {
        let mut notices = Notices::default();
        let mut session = state.storage.session();
        while let Some(wake) = session.poll_wake() {
            match wake {
                Wake::Park => notices.lanes[index(Lane::Park)] = true,
                // While the lock is held, so that this cannot hit the next exchange.
                Wake::BreakPark => self.break_off(Lane::Park),
                Wake::BreakSend => self.break_off(Lane::Send),
                Wake::Send => notices.lanes[index(Lane::Send)] = true,
                Wake::SendBy(at) => {
                    // A time that has passed is one that the lane sleeps through.
                    let now = state.clock.now;
                    let sooner =
                        state.send_looks_at.is_none_or(|looks_at| at < looks_at || looks_at <= now);
                    notices.lanes[index(Lane::Send)] |= sooner;
                }
                Wake::Channel(slot) => {
                    let (word, bit) = (slot / 64, 1 << (slot % 64));
                    notices.channels[word] |= bit;
                    notices.readers[word] |= if session.is_readable(slot) { bit } else { 0 };
                    notices.writers[word] |= if session.is_writable(slot) { bit } else { 0 };
                }
                Wake::Listener(slot) => notices.listeners |= 1 << slot,
                Wake::Session => notices.session = true,
                Wake::Event => notices.events = true,
            }
        }
        if notices.events {
            state.take_events();
        }
        if notices.session
            && let Err(error) = state.is_open()
        {
            if !state.is_closed() {
                log::info!("the session cannot go on: {error}");
            }
            notices.channels = [u64::MAX; 4];
            notices.readers = notices.channels;
            notices.writers = notices.channels;
            notices.listeners = u64::MAX;
            notices.events = true;
        }
        state.update_watches();
        notices
    }

    fn break_off(&self, lane: Lane) {
        log::trace!("{lane:?}: the session breaks the exchange under way off");
        self.canceller(lane).cancel();
    }

    /// Notifies the signals; the lock need not be held.
    pub fn notify(&self, notices: &Notices) {
        for (lane, wake) in self.lanes.iter().zip(notices.lanes) {
            if wake {
                lane.notify_all();
            }
        }
        let on_channels = |words: &[u64; 4], which: fn(&ChannelSignals) -> &Signal| {
            for (i, word) in words.iter().enumerate() {
                let channels = bits(*word).filter_map(|bit| self.channels.get(64 * i + bit));
                channels.for_each(|channel| which(channel).notify_all());
            }
        };
        on_channels(&notices.readers, ChannelSignals::read);
        on_channels(&notices.writers, ChannelSignals::write);
        on_channels(&notices.channels, ChannelSignals::other);
        let listeners = bits(notices.listeners).filter_map(|bit| self.listeners.get(bit));
        listeners.for_each(Signal::notify_all);
        if notices.session {
            self.session.notify_all();
        }
        if notices.events {
            self.events.notify_all();
        }
    }
}

/// The bits that are set, by their numbers.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            bit
        })
    })
}
