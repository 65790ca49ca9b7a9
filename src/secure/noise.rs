//! The handshake of an encrypted channel: `Noise_XXpsk2_25519_ChaChaPoly_SHA256` (Noise, revision 34).
//!
//! Its three messages go with the messages that set a channel up anyway, so that it takes no round trip:
//!
//! ```text
//!  connector                                     listener
//!      │ ── CONNECT_REQ:  e ─────────────────────▶ │   its ephemeral key
//!      │ ◀─ ACCEPT_RSP:   e, ee, s, es, psk ────── │   the listener is who has s, and the secret
//!      │ ── CONFIRM:      s, se ─────────────────▶ │   the connector is who has its s, and the secret
//! ```
//!
//! The secret that both were given is mixed in as early as both know what the psk is made of: so neither says or
//! takes a greeting, or goes on at all, with an end that does not have it.
//!
//! Nothing of a handshake is kept but the ephemeral keys and the messages: a side makes it again from these
//! when the next message comes, which is a few multiplications on the curve, and no 500 octets for each
//! channel. Each side's ephemeral key is used for one channel.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::aead::{self, TAG};
use super::secret::Secret;
use super::x25519;
pub use super::x25519::KEY;

/// Octets of the first message: a key, and the tag of an empty payload.
pub const FIRST: usize = KEY + TAG;

/// Octets of the second message without its payload: two keys, two tags.
pub const SECOND: usize = 2 * KEY + 2 * TAG;

/// Octets of the third message without its payload: a key, two tags.
pub const THIRD: usize = KEY + 2 * TAG;

/// Octets of the longest payload: flags, and a greeting.
pub const MAX_PAYLOAD: usize = 1 + crate::wire::MAX_GREETING;

/// The keys of a channel, and of its peer.
#[derive(Debug)]
pub struct ChannelKeys {
    /// Seals what the connector sends.
    pub connector: Secret,
    /// Seals what the listener sends.
    pub listener: Secret,
    /// The static key of the other side.
    pub peer: [u8; KEY],
}

/// What a side of a handshake has from its beginning on.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The secret of its own static key.
    pub identity: &'a Secret,
    /// The secret of the key of this handshake alone.
    pub ephemeral: &'a Secret,
    /// What both sides say in the clear before, of which each is to know the same.
    pub prologue: &'a [u8],
}

/// What both sides have in common, which the second message shows.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    /// A secret that both were given; all zeros if none.
    pub secret: &'a Secret,
    /// What is known in the clear when the listener answers.
    pub context: &'a [u8],
}

impl Common<'_> {
    /// The pre-shared key of the pattern.
    pub(super) fn psk(&self) -> Secret {
        let hash = Sha256::new()
            .chain_update(b"byway channel 2\0")
            .chain_update(self.secret.octets())
            .chain_update(self.context);
        Secret::new(hash.finalize().into())
    }
}

impl Side<'_> {
    /// Writes the connector's first message: its length. `None` if there is no room.
    pub fn ask(&self, out: &mut [u8]) -> Option<usize> {
        let mut state = State::new();
        state.begin(self.prologue);
        self.first(&mut state, out.first_chunk_mut()?);
        Some(FIRST)
    }

    /// Reads the first message, and writes the listener's second with `payload`: its length. `None` if the
    /// first was changed on the way.
    pub fn answer(
        &self,
        [first, payload]: [&[u8]; 2],
        common: &Common<'_>,
        out: &mut [u8],
    ) -> Option<usize> {
        let out = out.get_mut(..SECOND + payload.len())?;
        self.second(&mut State::new(), first, common, payload, out)?;
        Some(out.len())
    }

    /// Reads the second message, of which the payload is written to `greeting`: its length. The third message is
    /// next then. `None` if either message was changed on the way, or the other side has something else in common.
    pub fn hear(
        &self,
        state: &mut State,
        second: &[u8],
        common: &Common<'_>,
        greeting: &mut [u8],
    ) -> Option<usize> {
        state.begin(self.prologue);
        self.first(state, &mut [0; FIRST]);
        let (theirs, second) = second.split_first_chunk()?;
        state.theirs = *theirs;
        state.mix_ephemeral(theirs);
        state.agree(self.ephemeral, theirs)?;
        let second = state.open_identity(self.ephemeral, second)?;
        state.mix_psk(common);
        state.open(second, greeting)
    }

    /// Reads the third message, of which the payload is written to `greeting`: its length. The second is written to
    /// `second` again. `None` if a message was changed on the way, or the other side has something else in common.
    #[inline(never)]
    pub fn conclude(
        &self,
        state: &mut State,
        [first, payload, third]: [&[u8]; 3],
        second: &mut [u8],
        common: &Common<'_>,
        greeting: &mut [u8],
    ) -> Option<usize> {
        self.second(state, first, common, payload, second.get_mut(..SECOND + payload.len())?)?;
        let third = state.open_identity(self.ephemeral, third)?;
        state.open(third, greeting)
    }

    /// Writes `e`.
    fn first(&self, state: &mut State, out: &mut [u8; FIRST]) {
        let (ephemeral, tag) = out.split_at_mut(KEY);
        state.write_ephemeral(self.ephemeral, ephemeral);
        state.seal(&[], tag);
    }

    /// Reads `e`, and writes `e, ee, s, es, psk`.
    fn second(
        &self,
        state: &mut State,
        first: &[u8],
        common: &Common<'_>,
        payload: &[u8],
        out: &mut [u8],
    ) -> Option<()> {
        state.begin(self.prologue);
        let (theirs, tag) = first.split_first_chunk()?;
        state.mix_ephemeral(theirs);
        state.open(tag, &mut [])?;
        let (ephemeral, out) = out.split_at_mut(KEY);
        let (identity, out) = out.split_at_mut(KEY + TAG);
        state.write_ephemeral(self.ephemeral, ephemeral);
        state.agree(self.ephemeral, theirs)?;
        state.seal(&x25519::public(self.identity.octets()), identity);
        state.agree(self.identity, theirs)?;
        state.mix_psk(common);
        state.seal(payload, out);
        Some(())
    }
}

/// Writes the third message with `payload` behind [`Side::hear`], `s, se`: its length.
#[inline(never)]
pub fn confirm(
    state: &mut State,
    identity: &Secret,
    payload: &[u8],
    out: &mut [u8],
) -> Option<usize> {
    let out = out.get_mut(..THIRD + payload.len())?;
    let (sealed, rest) = out.split_at_mut(KEY + TAG);
    state.seal(&x25519::public(identity.octets()), sealed);
    let theirs = state.theirs;
    state.agree(identity, &theirs)?;
    state.seal(payload, rest);
    Some(out.len())
}

/// What a handshake has come to: a symmetric state and its cipher state (Noise, sections 5.1 and 5.2), and keys of
/// the other side. Before all that is encrypted here an ephemeral key was mixed into the key, as patterns with a psk
/// have it (section 9.2): so there always is a key.
pub struct State {
    chaining: Secret,
    hash: [u8; 32],
    key: Secret,
    nonce: u64,
    /// The listener's key of this handshake alone.
    theirs: [u8; KEY],
    /// The static key of the other side.
    peer: [u8; KEY],
}

impl State {
    /// Before a handshake.
    pub const fn new() -> Self {
        Self {
            chaining: Secret::NONE,
            hash: [0; 32],
            key: Secret::NONE,
            nonce: 0,
            theirs: [0; KEY],
            peer: [0; KEY],
        }
    }

    /// The static key of the other side, once its message was read.
    pub fn peer(&self) -> &[u8; KEY] {
        &self.peer
    }

    /// The keys of the channel, once all messages were read and written.
    pub fn keys(&self) -> ChannelKeys {
        let temporary = hmac(&self.chaining, &[], &[]);
        let connector = hmac(&temporary, &[], &[1]);
        let listener = hmac(&temporary, connector.octets(), &[2]);
        ChannelKeys { connector, listener, peer: self.peer }
    }

    #[inline(never)]
    fn begin(&mut self, prologue: &[u8]) {
        // The name is longer than a hash: so its hash is what both begin with.
        self.hash = Sha256::digest(b"Noise_XXpsk2_25519_ChaChaPoly_SHA256").into();
        self.chaining = Secret::new(self.hash);
        self.mix_hash(prologue);
    }

    fn mix_hash(&mut self, octets: &[u8]) {
        self.hash = Sha256::new().chain_update(self.hash).chain_update(octets).finalize().into();
    }

    fn mix_key(&mut self, octets: &[u8]) {
        let temporary = self.mix_chaining(octets);
        self.key = hmac(&temporary, self.chaining.octets(), &[2]);
    }

    #[inline(never)]
    fn mix_psk(&mut self, common: &Common<'_>) {
        let temporary = self.mix_chaining(common.psk().octets());
        let hash = hmac(&temporary, self.chaining.octets(), &[2]);
        self.mix_hash(hash.octets());
        self.key = hmac(&temporary, hash.octets(), &[3]);
    }

    /// The first output of HKDF (Noise, section 4.3) is the new chaining key; gives what others are made of.
    fn mix_chaining(&mut self, octets: &[u8]) -> Secret {
        let temporary = hmac(&self.chaining, octets, &[]);
        self.chaining = hmac(&temporary, &[], &[1]);
        self.nonce = 0;
        temporary
    }

    /// A key of this handshake alone: it is mixed into the key, too, since the pattern has a psk.
    fn mix_ephemeral(&mut self, public: &[u8; KEY]) {
        self.mix_hash(public);
        self.mix_key(public);
    }

    fn write_ephemeral(&mut self, ephemeral: &Secret, out: &mut [u8]) {
        let public = x25519::public(ephemeral.octets());
        self.mix_ephemeral(&public);
        out.copy_from_slice(&public);
    }

    /// Mixes in what a secret has in common with a public key; `None` if that is a point of small order
    /// (RFC 7748, section 6.1).
    fn agree(&mut self, secret: &Secret, public: &[u8; KEY]) -> Option<()> {
        let shared = Secret::new(x25519::multiply(secret.octets(), public));
        if shared == Secret::NONE {
            return None;
        }
        self.mix_key(shared.octets());
        Some(())
    }

    /// Writes `text` sealed to `out`, which has room for a tag more.
    fn seal(&mut self, text: &[u8], out: &mut [u8]) {
        let (sealed, tag) = out.split_at_mut(text.len());
        sealed.copy_from_slice(text);
        tag.copy_from_slice(&aead::seal(&self.key, self.nonce, &self.hash, [sealed, &mut []]));
        self.nonce += 1;
        self.mix_hash(out);
    }

    /// Writes what is sealed to the start of `out`: its length. `None` if it was changed, or has no room.
    fn open(&mut self, sealed: &[u8], out: &mut [u8]) -> Option<usize> {
        let (text, tag) = sealed.split_last_chunk()?;
        let out = out.get_mut(..text.len())?;
        out.copy_from_slice(text);
        if !aead::open(&self.key, self.nonce, &self.hash, [out, &mut []], tag) {
            return None;
        }
        self.nonce += 1;
        self.mix_hash(sealed);
        Some(text.len())
    }

    /// Reads the static key of the other side, and mixes in what it has in common with `ephemeral`: the rest of the
    /// message.
    fn open_identity<'m>(&mut self, ephemeral: &Secret, message: &'m [u8]) -> Option<&'m [u8]> {
        let (sealed, rest) = message.split_first_chunk::<{ KEY + TAG }>()?;
        let mut peer = [0; KEY];
        self.open(sealed, &mut peer)?;
        self.peer = peer;
        self.agree(ephemeral, &peer)?;
        Some(rest)
    }
}

/// HMAC-SHA-256 (RFC 2104) of `a` and `b`.
#[inline(never)]
fn hmac(key: &Secret, a: &[u8], b: &[u8]) -> Secret {
    // A key shorter than a block is followed by zeros.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key.octets());
    let mut mac = Hmac::<Sha256>::new(&block.into());
    block.zeroize();
    mac.update(a);
    mac.update(b);
    Secret::new(mac.finalize().into_bytes().into())
}
