//! Where a session lives: its owner gives the memory, one compiled core serves every size.

use core::fmt;

use super::channel::ChannelRecord;
use super::channel::tombstone::Tombstone;
use super::exchange::Transfer;
use super::listener::Claim;
use super::mode::{Full, Mode};
use super::pool::{MAX_BLOCKS, Pool};
use super::rings::{Lease, Rings};
use super::state::Core;

/// Sizes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Channels at once, 1 to 256.
    pub channels: usize,
    /// Octets that are guaranteed to each channel's transmit ring and to its receive ring; a power of two.
    pub ring: usize,
    /// Octets from which streams that need it are lent longer rings, up to a quarter of it each, but two
    /// rings' length at least: 0, or a power of two up to 1 GiB. With 0, or less than four rings, the
    /// length of a ring never changes; of more than 131,072 rings' length the rest is not used.
    pub pool: usize,
    /// Listeners at once, up to 16.
    pub listeners: usize,
    /// Octets of each of a transport's buffers, and of the scratch through which answers come.
    pub io_buffer: usize,
}

impl Profile {
    /// Firmware: 2 channels of 1 KiB each way.
    pub const TINY: Self =
        Self { channels: 2, ring: 1 << 10, pool: 0, listeners: 1, io_buffer: 1 << 10 };
    /// An app on a phone: 8 channels of 16 KiB each way.
    pub const PHONE: Self =
        Self { channels: 8, ring: 16 << 10, pool: 0, listeners: 4, io_buffer: 8 << 10 };
    /// An app on a phone with memory to spare: 16 channels of 16 KiB each way, up to 512 KiB.
    pub const APP: Self =
        Self { channels: 16, ring: 16 << 10, pool: 2 << 20, listeners: 4, io_buffer: 16 << 10 };
    /// A program on a PC: 32 channels of 256 KiB each way, up to 8 MiB.
    pub const PC: Self =
        Self { channels: 32, ring: 256 << 10, pool: 32 << 20, listeners: 16, io_buffer: 64 << 10 };
    /// Bulk transfer over long paths: 4 channels of 8 MiB each way.
    pub const BULK: Self =
        Self { channels: 4, ring: 8 << 20, pool: 0, listeners: 4, io_buffer: 64 << 10 };
    /// Many peers: 256 channels of 64 KiB each way, up to 16 MiB.
    pub const SERVER: Self =
        Self { channels: 256, ring: 64 << 10, pool: 64 << 20, listeners: 16, io_buffer: 64 << 10 };

    /// Whether a session can have these sizes.
    pub const fn is_valid(&self) -> bool {
        self.channels >= 1
            && self.channels <= 256
            && self.ring.is_power_of_two()
            && self.ring >= 256
            && self.ring <= 1 << 30
            && (self.pool == 0 || self.pool.is_power_of_two())
            && self.pool <= 1 << 30
            && self.listeners <= crate::wire::MAX_CLAIMS
            && self.io_buffer >= 512
    }

    /// Blocks of the pool, each of twice a guaranteed ring.
    const fn pool_blocks(&self) -> usize {
        let blocks = self.pool / 2 / self.ring;
        // Of a pool of one block as much could never stay free as is lent.
        let blocks = if blocks < 2 { 0 } else { blocks };
        if blocks < MAX_BLOCKS { blocks } else { MAX_BLOCKS }
    }

    /// Octets of all rings and of the pool.
    #[cfg(feature = "std")]
    const fn ring_octets(&self) -> usize {
        2 * self.ring * (self.channels + self.pool_blocks())
    }
}

/// A session's memory as one value, for a `static`: all zeros at first, so that it lies in .bss.
/// `RING` is a power of two, at least 256.
pub struct Storage<const CHANNELS: usize, const RING: usize, const LISTENERS: usize, M: Mode = Full>
{
    core: Core<M>,
    transfers: M::Transfers,
    channels: [ChannelRecord; CHANNELS],
    tombstones: [[Tombstone; 2]; CHANNELS],
    claims: [Claim<M>; LISTENERS],
    leases: [[M::Lease; 2]; CHANNELS],
    rings: [[[u8; RING]; 2]; CHANNELS],
}

/// Without what is in it.
impl<const CHANNELS: usize, const RING: usize, const LISTENERS: usize, M: Mode> fmt::Debug
    for Storage<CHANNELS, RING, LISTENERS, M>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").finish_non_exhaustive()
    }
}

impl<const CHANNELS: usize, const RING: usize, const LISTENERS: usize, M: Mode> Default
    for Storage<CHANNELS, RING, LISTENERS, M>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const CHANNELS: usize, const RING: usize, const LISTENERS: usize, M: Mode>
    Storage<CHANNELS, RING, LISTENERS, M>
{
    const VALID: () = assert!(
        Profile { channels: CHANNELS, ring: RING, pool: 0, listeners: LISTENERS, io_buffer: 512 }
            .is_valid(),
        "1 to 256 channels, rings of a power of two from 256 octets, up to 16 listeners"
    );

    /// Storage not yet in use: all zeros.
    pub const fn new() -> Self {
        let () = Self::VALID;
        Self {
            core: Core::new(),
            transfers: M::TRANSFERS,
            channels: [const { ChannelRecord::new() }; CHANNELS],
            tombstones: [const { [const { Tombstone::new() }; 2] }; CHANNELS],
            claims: [const { Claim::new() }; LISTENERS],
            leases: [const { [M::NO_LEASE; 2] }; CHANNELS],
            rings: [[[0; RING]; 2]; CHANNELS],
        }
    }

    /// The session that lives here. The view is made of references only and costs nothing.
    pub fn session(&mut self) -> super::Session<'_, M> {
        super::Session {
            core: &mut self.core,
            channels: &mut self.channels,
            tombstones: self.tombstones.as_flattened_mut(),
            claims: &mut self.claims,
            rings: Rings::new(
                self.rings.as_flattened_mut().as_flattened_mut(),
                self.leases.as_flattened_mut(),
                &mut [],
            ),
            transfers: self.transfers.as_mut(),
        }
    }
}

/// Octets of a session's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageBytes {
    /// Everything but the rings.
    pub state: usize,
    /// Guaranteed transmit and receive rings of all channels.
    pub rings: usize,
    /// The pool of longer rings.
    pub pool: usize,
}

impl Profile {
    /// Octets that a session of these sizes takes, on this target.
    pub const fn storage_bytes(&self) -> StorageBytes {
        StorageBytes {
            state: size_of::<Core<Full>>()
                + size_of::<[Transfer; 2]>()
                + self.channels * (size_of::<ChannelRecord>() + 2 * size_of::<Tombstone>())
                + self.listeners * size_of::<Claim<Full>>()
                + self.channels * 2 * size_of::<Lease>()
                + Pool::state_len(self.pool_blocks()),
            rings: self.channels * 2 * self.ring,
            pool: self.pool_blocks() * 2 * self.ring,
        }
    }
}

/// A session's memory on the heap: allocated once, freed on drop, never resized.
#[cfg(feature = "std")]
pub struct HeapStorage<M: Mode = Full> {
    core: Box<Core<M>>,
    transfers: Box<M::Transfers>,
    channels: Box<[ChannelRecord]>,
    tombstones: Box<[Tombstone]>,
    claims: Box<[Claim<M>]>,
    leases: Box<[M::Lease]>,
    pool: Box<[u8]>,
    rings: Box<[u8]>,
}

/// Without what is in it.
#[cfg(feature = "std")]
impl<M: Mode> fmt::Debug for HeapStorage<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapStorage").finish_non_exhaustive()
    }
}

#[cfg(feature = "std")]
impl HeapStorage {
    /// Allocates for the sizes of `profile`.
    ///
    /// # Errors
    /// [`ConfigError::Setting`](crate::error::ConfigError::Setting) if the sizes are out of range.
    pub fn new(profile: &Profile) -> Result<Self, crate::Error> {
        Self::with_mode(profile)
    }
}

#[cfg(feature = "std")]
impl<M: Mode> HeapStorage<M> {
    /// As [`new`](HeapStorage::new), for a session of any [`Mode`].
    ///
    /// # Errors
    /// As those of `new`.
    pub fn with_mode(profile: &Profile) -> Result<Self, crate::Error> {
        if !profile.is_valid() {
            return Err(crate::error::ConfigError::Setting(
                "profile: 1 to 256 channels, rings of a power of two from 256 octets to 1 GiB, a pool of 0 or a power of two up to 1 GiB, up to 16 listeners, buffers from 512 octets",
            )
            .into());
        }
        let n = profile.channels;
        Ok(Self {
            core: Box::new(Core::new()),
            transfers: Box::new(M::TRANSFERS),
            channels: core::iter::repeat_with(ChannelRecord::new).take(n).collect(),
            tombstones: core::iter::repeat_with(Tombstone::new).take(2 * n).collect(),
            claims: core::iter::repeat_with(Claim::new).take(profile.listeners).collect(),
            leases: core::iter::repeat_with(|| M::NO_LEASE).take(2 * n).collect(),
            pool: vec![0; Pool::state_len(profile.pool_blocks())].into_boxed_slice(),
            rings: vec![0; profile.ring_octets()].into_boxed_slice(),
        })
    }

    /// The session that lives here. The view is made of references only and costs nothing.
    pub fn session(&mut self) -> super::Session<'_, M> {
        super::Session {
            core: &mut self.core,
            channels: &mut self.channels,
            tombstones: &mut self.tombstones,
            claims: &mut self.claims,
            rings: Rings::new(&mut self.rings, &mut self.leases, &mut self.pool),
            transfers: (*self.transfers).as_mut(),
        }
    }
}
