//! What a session is opened with.

use core::fmt;
use core::num::NonZeroU32;

use super::cipher::encipher;
#[cfg(feature = "secure")]
use crate::secure::KeyProof;

/// What a session is opened with. Only secret and seed have no default, and later versions may add
/// settings:
///
/// ```
/// # use byway::session::Settings;
/// # let (secret, seed) = ([1; 16], 2);
/// let mut settings = Settings::new(secret, seed);
/// settings.linger_ms = 60_000;
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// 128 random bits that nobody else has and no other start of the program: a program that knows
    /// them can take the session over. They are also the key that makes the channels' tokens, so that these
    /// tell nothing of each other, of the secret or of the seed.
    pub secret: [u8; 16],
    /// Where the count begins of which tokens, jitter and owner are made. With the same secret and
    /// seed they are the same.
    pub seed: u64,
    /// The identity of the program that listens: a process with the same owner and a higher epoch takes
    /// names over. By default the owner is made of secret and seed, neither of which it tells; no other
    /// program has it, so that none takes names over.
    pub owner: [u8; 16],
    /// Start time of the process, in any unit that rises.
    pub epoch: u64,
    /// How long a channel rides out silence, in ms.
    pub linger_ms: u32,
    /// Probe the peer of an idle channel so often, in ms; 0: never.
    pub keepalive_ms: u32,
    /// How the session waits for data.
    pub pace: Pace,
    /// Most octets of a request's body.
    pub max_body: u32,
    /// Most octets of an answer's body.
    pub max_response: u32,
    /// What proves the session's key to the relay: without it the session listens on no key name.
    #[cfg(feature = "secure")]
    pub key_proof: Option<KeyProof>,
    /// Deadlines and intervals. A [`Single`](super::Single) session has those of its
    /// [`Purpose`](super::Purpose) instead.
    pub timers: Timers,
}

/// Without secret, seed and owner: who reads a log is not to have the session.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("epoch", &self.epoch)
            .field("linger_ms", &self.linger_ms)
            .field("keepalive_ms", &self.keepalive_ms)
            .field("pace", &self.pace)
            .field("max_body", &self.max_body)
            .field("max_response", &self.max_response)
            .field("timers", &self.timers)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// What storage holds before it is opened.
    pub(super) const ZERO: Self = Self {
        secret: [0; 16],
        seed: 0,
        owner: [0; 16],
        epoch: 0,
        linger_ms: 0,
        keepalive_ms: 0,
        pace: Pace::Streaming,
        max_body: 0,
        max_response: 0,
        #[cfg(feature = "secure")]
        key_proof: None,
        timers: Timers::ZERO,
    };

    /// Linger below two rounds of parking would end channels on a path that is merely slow.
    pub(super) const fn least_linger_ms(&self, timers: &Timers) -> u32 {
        let hold = match self.pace {
            Pace::Battery => timers.hold_battery_ms,
            Pace::Streaming | Pace::LongPoll => timers.hold_idle_ms,
        };
        2 * (hold + timers.park_grace_idle_ms)
    }

    /// How long the next park waits, and how long beyond that until it has failed, in ms; with
    /// traffic lately or not.
    pub(super) const fn hold(&self, timers: &Timers, active: bool) -> (u32, u32) {
        match (active, self.pace) {
            (true, _) => (timers.hold_active_ms, timers.park_grace_active_ms),
            (false, Pace::Battery) => (timers.hold_battery_ms, timers.park_grace_idle_ms),
            (false, _) => (timers.hold_idle_ms, timers.park_grace_idle_ms),
        }
    }

    /// How long a park may wait that cannot be hung up on, without traffic lately, in ms.
    pub(super) const fn idle_poll_ms(&self, most: u32, timers: &Timers) -> u32 {
        match self.pace {
            Pace::Battery => timers.hold_active_ms,
            Pace::Streaming | Pace::LongPoll => most,
        }
    }

    /// How long after traffic more is expected, in ms: shorter to spare the battery.
    pub(super) const fn active_for_ms(&self, timers: &Timers) -> u32 {
        match self.pace {
            Pace::Battery => timers.hold_active_ms,
            Pace::Streaming | Pace::LongPoll => timers.active_for_ms,
        }
    }

    /// The defaults.
    pub const fn new(secret: [u8; 16], seed: u64) -> Self {
        Self {
            secret,
            seed,
            owner: owner(&secret, seed),
            epoch: 0,
            linger_ms: 180_000,
            keepalive_ms: 0,
            pace: Pace::Streaming,
            // What the relay takes. Who takes less, as a stock nginx its 1 MiB, says so (413).
            max_body: 4 << 20,
            max_response: 16 << 20,
            #[cfg(feature = "secure")]
            key_proof: None,
            timers: Timers::DEFAULT,
        }
    }
}

/// The owner if none is configured. Tokens are made of the numbers behind these two.
const fn owner(secret: &[u8; 16], seed: u64) -> [u8; 16] {
    let high = encipher(secret, seed.wrapping_sub(1)) as u128;
    (high << 64 | encipher(secret, seed) as u128).to_be_bytes()
}

/// How a session waits for data of its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pace {
    /// By answers that stay open while there is traffic, where the path passes them on promptly; else
    /// as [`Pace::LongPoll`].
    #[default]
    Streaming = 0,
    /// By answers that end with the data that came.
    LongPoll,
    /// As [`Pace::LongPoll`], with holds as long as the path allows when idle.
    Battery,
}

/// Deadlines and intervals in milliseconds. The relations between them are on the protocol page.
///
/// Later versions may add some, so they are made of the protocol's:
///
/// ```
/// # use byway::session::Timers;
/// let mut timers = Timers::DEFAULT;
/// timers.hold_idle_ms = 20_000;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // each name says it; the protocol page gives the reasons
#[non_exhaustive]
pub struct Timers {
    /// The longest hold of a park while the session is active; each park's is up to a fifth shorter, by
    /// chance.
    pub hold_active_ms: u32,
    /// The longest hold of a park while the session is idle; each park's is up to a fifth shorter.
    pub hold_idle_ms: u32,
    /// The longest hold of a park of an idle session with [`Pace::Battery`].
    pub hold_battery_ms: u32,
    /// A session counts as active for this long after its last traffic.
    pub active_for_ms: u32,
    /// A park fails when its answer is late by this much while the session is active.
    pub park_grace_active_ms: u32,
    /// A park fails when its answer is late by this much while the session is idle.
    pub park_grace_idle_ms: u32,
    /// A send fails after this long without an octet either way.
    pub send_silence_ms: u32,
    /// Silence beyond what was announced after which an answer that stays open is late, or up to twice
    /// as long, by chance; lagging by a quarter of it on average is, too.
    pub stream_late_ms: u32,
    /// An acknowledgement waits this long for company while an answer stays open.
    pub ack_delay_ms: u32,
    /// The first pause after exchanges that failed; pauses double, and a part of each is by chance.
    pub retry_min_ms: u32,
    /// The longest pause after exchanges that failed.
    pub retry_max_ms: u32,
    /// The retransmission timeout (RFC 6298) while no round trip was measured.
    pub rto_first_ms: u32,
    /// The shortest retransmission timeout.
    pub rto_min_ms: u32,
    /// The longest retransmission timeout.
    pub rto_max_ms: u32,
    /// ACCEPT_RSP is repeated for this long without a word of the connector.
    pub accept_for_ms: u32,
    /// A datagram that could not be sent for this long is dropped.
    pub datagram_life_ms: u32,
    /// CLOSE_REQ is repeated for this long if no CLOSE_RSP comes: behind two sends that hang.
    pub abort_for_ms: u32,
}

impl Timers {
    /// What storage holds before it is opened.
    const ZERO: Self = Self {
        hold_active_ms: 0,
        hold_idle_ms: 0,
        hold_battery_ms: 0,
        active_for_ms: 0,
        park_grace_active_ms: 0,
        park_grace_idle_ms: 0,
        send_silence_ms: 0,
        stream_late_ms: 0,
        ack_delay_ms: 0,
        retry_min_ms: 0,
        retry_max_ms: 0,
        rto_first_ms: 0,
        rto_min_ms: 0,
        rto_max_ms: 0,
        accept_for_ms: 0,
        datagram_life_ms: 0,
        abort_for_ms: 0,
    };

    /// The protocol's values.
    pub const DEFAULT: Self = Self {
        hold_active_ms: 5_000,
        hold_idle_ms: 28_000,
        hold_battery_ms: 120_000,
        active_for_ms: 30_000,
        park_grace_active_ms: 2_000,
        park_grace_idle_ms: 5_000,
        send_silence_ms: 4_000,
        stream_late_ms: 250,
        ack_delay_ms: 100,
        retry_min_ms: 50,
        retry_max_ms: 2_000,
        rto_first_ms: 1_000,
        rto_min_ms: 500,
        rto_max_ms: 5_000,
        accept_for_ms: 15_000,
        datagram_life_ms: 2_000,
        abort_for_ms: 9_000,
    };

    /// All of them shorter by the same factor, so that their relations stay: for tests that have no
    /// time to lose.
    pub const fn divided_by(self, divisor: NonZeroU32) -> Self {
        let divisor = divisor.get();
        // Each is named, so that none is forgotten.
        let Self {
            hold_active_ms,
            hold_idle_ms,
            hold_battery_ms,
            active_for_ms,
            park_grace_active_ms,
            park_grace_idle_ms,
            send_silence_ms,
            stream_late_ms,
            ack_delay_ms,
            retry_min_ms,
            retry_max_ms,
            rto_first_ms,
            rto_min_ms,
            rto_max_ms,
            accept_for_ms,
            datagram_life_ms,
            abort_for_ms,
        } = self;
        Self {
            hold_active_ms: hold_active_ms / divisor,
            hold_idle_ms: hold_idle_ms / divisor,
            hold_battery_ms: hold_battery_ms / divisor,
            active_for_ms: active_for_ms / divisor,
            park_grace_active_ms: park_grace_active_ms / divisor,
            park_grace_idle_ms: park_grace_idle_ms / divisor,
            send_silence_ms: send_silence_ms / divisor,
            stream_late_ms: stream_late_ms / divisor,
            ack_delay_ms: ack_delay_ms / divisor,
            retry_min_ms: retry_min_ms / divisor,
            retry_max_ms: retry_max_ms / divisor,
            rto_first_ms: rto_first_ms / divisor,
            rto_min_ms: rto_min_ms / divisor,
            rto_max_ms: rto_max_ms / divisor,
            accept_for_ms: accept_for_ms / divisor,
            datagram_life_ms: datagram_life_ms / divisor,
            abort_for_ms: abort_for_ms / divisor,
        }
    }
}
