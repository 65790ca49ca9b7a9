//! The handshake of an encrypted channel: `Noise_XXpsk3_25519_ChaChaPoly_SHA256` (Noise, revision 34).
//!
//! Its three messages go with the messages that set a channel up anyway, so that it takes no round trip:
//!
//! ```text
//!  connector                                     listener
//!      │ ── CONNECT_REQ:  e ─────────────────────▶ │   its ephemeral key
//!      │ ◀─ ACCEPT_RSP:   e, ee, s, es ─────────── │   the listener is who has s
//!      │ ── CONFIRM:      s, se, psk ────────────▶ │   the connector is who has its s
//! ```
//!
//! Nothing of a handshake is kept but the ephemeral keys and the messages: a side makes it again from these
//! when the next message comes, which is a few multiplications on the curve, and no 500 octets for each
//! channel. Each side's ephemeral key is used for one channel.

use noise_protocol::patterns::{HandshakePattern, Token};
use noise_protocol::{Cipher, DH, HandshakeState, Hash};
use sha2::{Digest, Sha256};

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

/// What the third message confirms beside the keys: what both sides have in common.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    /// A secret that both were given; all zeros if none.
    pub secret: &'a Secret,
    /// What was said in the clear since the beginning.
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
    /// Writes the connector's first message.
    pub fn ask(&self, out: &mut [u8; FIRST]) -> Option<()> {
        self.begin(true).write_message(&[], out).ok()
    }

    /// Reads the first message, and writes the listener's second with `payload`: its length. `None` if the
    /// first was changed on the way.
    pub fn answer(&self, first: &[u8], payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let out = out.get_mut(..SECOND + payload.len())?;
        self.second(first, payload, out).map(|_| out.len())
    }

    /// Reads the second message, of which the payload is written to `greeting`; gives the handshake, whose
    /// third message is next, and the listener's static key. `None` if either message was changed on the way.
    pub fn hear(&self, second: &[u8], greeting: &mut [u8]) -> Option<Heard> {
        let mut state = self.begin(true);
        state.write_message(&[], &mut [0; FIRST]).ok()?;
        read(&mut state, second, SECOND, greeting)?;
        let peer = state.get_rs()?;
        Some(Heard { state, peer })
    }

    /// Reads the third message, of which the payload is written to `greeting`: its length, and the keys.
    /// `None` if a message was changed on the way, or the other side has something else in common.
    pub fn conclude(
        &self,
        first: &[u8],
        payload: &[u8],
        third: &[u8],
        common: &Common<'_>,
        greeting: &mut [u8],
    ) -> Option<(usize, ChannelKeys)> {
        let mut second = [0; SECOND + crate::wire::MAX_GREETING];
        let mut state = self.second(first, payload, second.get_mut(..SECOND + payload.len())?)?;
        state.push_psk(common.psk().octets());
        let len = read(&mut state, third, THIRD, greeting)?;
        Some((len, keys(&state)?))
    }

    fn second(&self, first: &[u8], payload: &[u8], out: &mut [u8]) -> Option<State> {
        let mut state = self.begin(false);
        read(&mut state, first, FIRST, &mut [])?;
        state.write_message(payload, out).ok()?;
        Some(state)
    }

    fn begin(&self, is_connector: bool) -> State {
        use Token::{E, EE, ES, PSK, S, SE};
        let messages: [&[Token]; 3] = [&[E], &[E, EE, S, ES], &[S, SE, PSK]];
        let pattern = HandshakePattern::new(&[], &[], &messages, "XXpsk3");
        let (identity, ephemeral) = (self.identity.clone(), self.ephemeral.clone());
        let keys = (Some(identity), Some(ephemeral));
        State::new(pattern, is_connector, self.prologue, keys.0, keys.1, None, None)
    }
}

/// A handshake of which the connector has read the second message.
pub struct Heard {
    state: State,
    /// The static key of the listener.
    pub peer: [u8; KEY],
}

impl Heard {
    /// Writes the third message with `payload`: its length, and the keys.
    pub fn confirm(
        mut self,
        common: &Common<'_>,
        payload: &[u8],
        out: &mut [u8],
    ) -> Option<(usize, ChannelKeys)> {
        let out = out.get_mut(..THIRD + payload.len())?;
        self.state.push_psk(common.psk().octets());
        self.state.write_message(payload, out).ok()?;
        Some((out.len(), keys(&self.state)?))
    }
}

type State = HandshakeState<X25519, ChaChaPoly, HashState>;

/// Reads a message that has `overhead` octets besides its payload, and writes that to the start of `payload`.
fn read(state: &mut State, message: &[u8], overhead: usize, payload: &mut [u8]) -> Option<usize> {
    let len = message.len().checked_sub(overhead)?;
    state.read_message(message, payload.get_mut(..len)?).ok()?;
    Some(len)
}

fn keys(state: &State) -> Option<ChannelKeys> {
    let (connector, listener) = state.get_ciphers();
    let (connector, listener) = (connector.extract().0, listener.extract().0);
    Some(ChannelKeys { connector, listener, peer: state.get_rs()? })
}

/// Key agreement by X25519 (RFC 7748).
enum X25519 {}

impl DH for X25519 {
    type Key = Secret;
    type Pubkey = [u8; KEY];
    type Output = Secret;

    fn name() -> &'static str {
        "25519"
    }

    fn genkey() -> Secret {
        debug_assert!(false, "every handshake is given its ephemeral key");
        Secret::NONE
    }

    fn pubkey(secret: &Secret) -> [u8; KEY] {
        x25519::public(secret.octets())
    }

    fn dh(secret: &Secret, public: &[u8; KEY]) -> Result<Secret, ()> {
        let shared = Secret::new(x25519::multiply(secret.octets(), public));
        // A point of small order: RFC 7748, section 6.1.
        if shared == Secret::NONE { Err(()) } else { Ok(shared) }
    }
}

/// ChaCha20-Poly1305 (RFC 8439).
enum ChaChaPoly {}

impl Cipher for ChaChaPoly {
    type Key = Secret;

    fn name() -> &'static str {
        "ChaChaPoly"
    }

    fn encrypt(key: &Secret, nonce: u64, ad: &[u8], text: &[u8], out: &mut [u8]) {
        out[..text.len()].copy_from_slice(text);
        Self::encrypt_in_place(key, nonce, ad, out, text.len());
    }

    fn encrypt_in_place(
        key: &Secret,
        nonce: u64,
        ad: &[u8],
        in_out: &mut [u8],
        len: usize,
    ) -> usize {
        let (text, rest) = in_out.split_at_mut(len);
        rest[..TAG].copy_from_slice(&aead::seal(key, nonce, ad, [text, &mut []]));
        len + TAG
    }

    fn decrypt(
        key: &Secret,
        nonce: u64,
        ad: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<(), ()> {
        let (text, tag) = sealed.split_last_chunk().ok_or(())?;
        out.copy_from_slice(text);
        if aead::open(key, nonce, ad, [out, &mut []], tag) { Ok(()) } else { Err(()) }
    }

    fn decrypt_in_place(
        key: &Secret,
        nonce: u64,
        ad: &[u8],
        in_out: &mut [u8],
        len: usize,
    ) -> Result<usize, ()> {
        let (text, tag) = in_out[..len].split_last_chunk_mut().ok_or(())?;
        if aead::open(key, nonce, ad, [text, &mut []], tag) { Ok(text.len()) } else { Err(()) }
    }
}

/// SHA-256 (FIPS 180-4).
#[derive(Default)]
struct HashState(Sha256);

impl Hash for HashState {
    type Block = [u8; 64];
    type Output = Secret;

    fn name() -> &'static str {
        "SHA256"
    }

    fn input(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    fn result(&mut self) -> Secret {
        Secret::new(self.0.finalize_reset().into())
    }
}
