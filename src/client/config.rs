//! What a client is opened with.

use std::fmt;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::{ConfigError, Error, ResourceError};
use crate::secure::{HostDigest, Identity, KeyProof, Secret};
use crate::session::{self, Pace, Profile, Settings, Timers};
use crate::transport::{Hooks, HttpConfig, Proxy, Roots, Token, host};

/// Whether channels are encrypted. Both ends of a channel have to agree: else it is refused, and none ever
/// falls back to plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Security {
    /// From end to end, by Noise (`Noise_XXpsk2_25519_ChaChaPoly_SHA256`, revision 34): the relay and all on
    /// the way can read and change nothing unnoticed. A peer at a [key name](crate::secure), or one whose key
    /// the program gives, is known to be nobody else. At an ordinary name it is whoever took that name first;
    /// [`Channel::peer_key`](super::Channel::peer_key) tells its key.
    #[default]
    Encrypted,
    /// Not at all: the relay, and without `https://` all on the way, can read and change what channels carry.
    Plain,
}

/// What a [`Client`](super::Client) is opened with. Only the relay's URL has no default:
///
/// ```
/// # use byway::{client::Config, session::Profile};
/// let config = Config { profile: Profile::TINY, ..Config::new("http://relay.example:8080") };
/// ```
///
/// `Debug` shows neither the seed and the owner nor the values of header fields, among which passwords are.
#[derive(Clone)]
pub struct Config {
    /// The relay: `http://host:port` or `https://host`, with a path if it has one.
    pub url: String,
    /// How many channels and listeners there can be, and of what size.
    pub profile: Profile,
    /// Number by which the relay knows this program: a process of the same owner that started later takes over
    /// the endpoints of its predecessor at once. `None`: random, or made of `seed` without telling it,
    /// so that no other process has the same.
    pub owner: Option<[u8; 16]>,
    /// Start of this process as milliseconds since 1970, by which "later" is meant. `None`: now.
    pub epoch: Option<u64>,
    /// Randomness for where the system has none: 24 octets that nobody can guess, new at each start of the
    /// program and no other program's. The session's secret and the keys of its channels are made of them, each
    /// by a hash, so that the relay, which knows the secret, knows nothing of the keys. Where the system has
    /// randomness that is mixed in. `None`: the system's.
    pub seed: Option<[u8; 24]>,
    /// The identity of this program, by which it can listen at its own [key name](crate::secure). `None`, the
    /// default: it has none. [`IdentityFile`](super::IdentityFile) keeps one.
    pub identity: Option<Identity>,
    /// Whether what channels carry is encrypted from end to end. Default: it is.
    pub security: Security,
    /// A secret that this program and its peers were given, each on another way than by the relay: only peers
    /// with the same can have a channel with this client, or see its greeting, so that a name which somebody else
    /// took is of no use to them. It has 256 random bits: who tries to have a channel can check guesses of it
    /// afterwards, as many as it likes. `None`, the default: any peer can. Of no use, and refused, where
    /// `security` is `Plain`, and if all its bits are zero.
    pub shared_secret: Option<Secret>,
    /// A file that keeps the keys of listeners at ordinary names, by relay and endpoint: a listener that has an
    /// identity and was met before is refused with [`WrongKey`](crate::error::PeerError::WrongKey) when its key is
    /// another, as by ssh; the log says then what to do. The first meeting is trusted: a key is
    /// kept when a call that connects, or [`wait_open`](super::Channel::wait_open), returns. It is made when there is
    /// none, and read with each connection; where it cannot be read connecting fails. `None`, the default: nothing
    /// is kept. The command has it [at home](super::at_home).
    pub known_peers: Option<PathBuf>,
    /// How long a channel rides out silence while something is outstanding; the smaller of both
    /// ends counts. Default 180 s, at most 49 days; never less than
    /// two holds and their grace, 66 s, or 250 s if either end is at [`Pace::Battery`].
    pub linger: Duration,
    /// How often the peer of an idle channel is probed, to find out that it is gone. Default: never.
    pub keepalive: Option<Duration>,
    /// How the client waits for bytes of its peers. Default: streaming, where the path passes it on
    /// promptly.
    pub pace: Pace,
    /// How long [`Client::open`](super::Client::open) waits for the relay's first answer. Default 10 s.
    pub open_timeout: Duration,
    /// How long `listen` and `connect` wait unless told otherwise. Default 20 s.
    pub connect_timeout: Duration,
    /// How long a TCP connection to the relay or proxy may take, with all its addresses, of which
    /// each gets 250 ms before the next is tried beside it (RFC 8305). Default 3 s.
    pub tcp_timeout: Duration,
    /// Connections that may wait to be accepted at each listener. `None`, the default: as many as the
    /// profile has channels, 255 at most, as a program says by SOMAXCONN to `listen(2)`: each takes
    /// a channel from the moment it comes, and a smaller number would turn peers away that there is room
    /// for.
    /// Fewer keep channels free for this program's own connections. Peers that find no room ask
    /// again within their time-out.
    pub backlog: Option<NonZeroU8>,
    /// Whether to go through an HTTP proxy. Default: not, whatever the environment says.
    pub proxy: Proxy,
    /// Headers added to every request, as name and value; 2 KiB in all at most.
    pub headers: Vec<(String, String)>,
    /// The header User-Agent; empty: none is sent. Default `byway/` and the version.
    pub user_agent: String,
    /// The token by which a relay with a policy lets this client in. Default: none.
    pub token: Option<Token>,
    /// Which certificates are trusted for `https://`. Default: the system's, or where it has none
    /// the public web's.
    pub roots: Roots,
    /// Functions of the program that prepare sockets, resolve names, or are told of threads. Default:
    /// none.
    pub hooks: Hooks,
    /// The protocol's deadlines and intervals. Default: the specification's.
    pub timers: Timers,
}

impl Config {
    /// The defaults, with the profile [`Profile::PC`].
    pub fn new(url: impl Into<String>) -> Self {
        let http = HttpConfig::new(url);
        Self {
            url: http.url,
            profile: Profile::PC,
            owner: None,
            epoch: None,
            seed: None,
            identity: None,
            security: Security::default(),
            shared_secret: None,
            known_peers: None,
            linger: Duration::from_secs(180),
            keepalive: None,
            pace: Pace::Streaming,
            open_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(20),
            tcp_timeout: http.connect_timeout,
            backlog: None,
            proxy: http.proxy,
            headers: http.headers,
            user_agent: http.user_agent,
            token: http.token,
            roots: http.roots,
            hooks: http.hooks,
            timers: Timers::DEFAULT,
        }
    }

    /// How many connections may wait to be accepted at each listener.
    pub(super) fn backlog(&self) -> u8 {
        let channels = u8::try_from(self.profile.channels).unwrap_or(u8::MAX);
        self.backlog.map_or(channels, NonZeroU8::get)
    }

    /// The settings of the client's way to the relay.
    pub fn http(&self) -> HttpConfig {
        HttpConfig {
            url: self.url.clone(),
            proxy: self.proxy.clone(),
            headers: self.headers.clone(),
            user_agent: self.user_agent.clone(),
            token: self.token.clone(),
            roots: self.roots.clone(),
            connect_timeout: self.tcp_timeout,
            io_buffer: self.profile.io_buffer,
            hooks: self.hooks.clone(),
        }
    }

    /// What the session is opened with; asks the system for randomness and time as needed.
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        let (secret, count) = self.session_secret()?;
        let settings = Settings::new(secret, count);
        let epoch = self.epoch.unwrap_or_else(|| since_1970().as_millis() as u64);
        let host = host(&self.url)?;
        let prove = |identity| KeyProof::new(identity, &secret, HostDigest::of(&host));
        Ok(Settings {
            key_proof: self.identity.as_ref().map(prove),
            owner: self.owner.unwrap_or(settings.owner),
            epoch,
            linger_ms: millis(self.linger, "linger")?,
            keepalive_ms: self.keepalive.map_or(Ok(0), |time| millis(time, "keepalive"))?,
            pace: self.pace,
            timers: self.timers,
            ..settings
        })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("http", &self.http())
            .field("profile", &self.profile)
            .field("pace", &self.pace)
            .field("linger", &self.linger)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// The session's secret, and where the count begins of which its tokens are made. Whoever knows the secret
    /// can have the count of a token.
    fn session_secret(&self) -> Result<([u8; 16], u64), Error> {
        let seed = Zeroizing::new(self.seed.map_or_else(random, Ok)?);
        let hash = Sha256::new().chain_update(b"byway client session\0").chain_update(&seed[..]);
        let hash: [u8; 32] = hash.finalize().into();
        let (secret, rest) = hash.split_first_chunk().expect("32 octets have 16");
        let (count, _) = rest.split_first_chunk().expect("16 octets have 8");
        Ok((*secret, u64::from_be_bytes(*count)))
    }

    /// What the session encrypts with, if it does. A client without an identity has one for its life.
    pub(super) fn keys(&self) -> Result<Option<session::Security>, Error> {
        match (&self.shared_secret, self.security) {
            (Some(_), Security::Plain) => {
                return Err(
                    ConfigError::Setting("a shared secret is for encrypted channels").into()
                );
            }
            (Some(shared), Security::Encrypted) if *shared == Secret::NONE => {
                let zeros = "the shared secret has no bit set: give 256 random ones";
                return Err(ConfigError::Setting(zeros).into());
            }
            (None, Security::Plain) => return Ok(None),
            (_, Security::Encrypted) => {}
        }
        let made = |label: &[u8]| -> Result<[u8; 32], Error> {
            let Some(seed) = &self.seed else { return random() };
            // Of the same seed a second start makes other keys, wherever there is a clock or randomness.
            let system = Zeroizing::new(random::<32>().unwrap_or_default());
            let hash =
                Sha256::new().chain_update(label).chain_update(seed).chain_update(&system[..]);
            let hash = hash.chain_update(since_1970().as_nanos().to_be_bytes());
            Ok(hash.chain_update(self.epoch.unwrap_or(0).to_be_bytes()).finalize().into())
        };
        let entropy = Secret::new(made(b"byway client entropy\0")?);
        let keys = match &self.identity {
            Some(identity) => session::Security::new(identity, entropy),
            None => {
                let identity = Identity::from_seed(made(b"byway client identity\0")?);
                session::Security::new(&identity, entropy).with_fleeting_identity()
            }
        };
        let shared = self.shared_secret.clone();
        Ok(Some(shared.map_or(keys.clone(), |shared| keys.with_shared_secret(shared))))
    }
}

/// Whether the system gives the memory of a profile. The client asks first, since Rust ends a process
/// whose allocation fails.
pub(super) fn check_memory(profile: &Profile) -> Result<(), Error> {
    let rings = profile.channels.checked_mul(2).and_then(|n| n.checked_mul(profile.ring));
    let octets = rings.and_then(|rings| rings.checked_add(profile.pool));
    let given = octets.is_some_and(|octets| Vec::<u8>::new().try_reserve_exact(octets).is_ok());
    if given || !profile.is_valid() { Ok(()) } else { Err(ResourceError::System.into()) }
}

impl From<&str> for Config {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for Config {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

/// The time; zero where there is no clock.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| ResourceError::Entropy)?;
    Ok(bytes)
}

fn millis(time: Duration, name: &'static str) -> Result<u32, ConfigError> {
    let out_of_range = ConfigError::Setting(match name {
        "linger" => "linger must be from 1 ms to 49 days",
        _ => "keepalive must be from 1 ms to 49 days",
    });
    u32::try_from(time.as_millis()).ok().filter(|ms| *ms > 0).ok_or(out_of_range)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn settings(seed: [u8; 24]) -> Settings {
        Config { seed: Some(seed), ..Config::new("http://relay") }.settings().unwrap()
    }

    #[test]
    fn same_seed_gives_the_same_owner_and_every_octet_counts() {
        let seed: [u8; 24] = std::array::from_fn(|i| i as u8);
        let owner = settings(seed).owner;
        assert_eq!(settings(seed).owner, owner);
        let mut owners = HashSet::from([owner]);
        for i in 0..24 {
            let mut other = seed;
            other[i] ^= 1;
            assert!(owners.insert(settings(other).owner), "octet {i}");
        }
    }

    #[test]
    fn owner_is_no_part_of_the_seed() {
        let seed: [u8; 24] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        let Settings { owner, secret, .. } = settings(seed);
        assert!(!seed.windows(4).any(|part| secret.windows(4).any(|s| s == part)));
        // The owner is not the seed under any mask that repeats, either.
        for at in 0..24 {
            let masked = |i: usize| owner[i] ^ seed[(at + i) % 24];
            assert!((1..16).any(|i| masked(i) != masked(0)), "rotated by {at}");
            assert!((8..16).any(|i| masked(i) != masked(i - 8)), "rotated by {at}");
        }
        assert!(!seed.windows(4).any(|part| owner.windows(4).any(|o| o == part)));
    }

    #[test]
    fn keys_of_a_seed_are_other_ones_at_each_start_and_not_made_of_the_session() {
        let keys = || Config { seed: Some([7; 24]), ..Config::new("http://relay") }.keys().unwrap();
        let (mut one, mut other) = (keys().unwrap(), keys().unwrap());
        assert_ne!(one.ephemeral(), other.ephemeral());
        assert_eq!(settings([7; 24]).secret, settings([7; 24]).secret);
        assert_ne!(settings([7; 24]).secret, [7; 16]);
    }

    #[test]
    fn shared_secret_is_never_dropped_silently() {
        let refused = |security, octet| {
            let shared_secret = Some(Secret::new([octet; 32]));
            let config = Config { security, shared_secret, ..Config::new("http://relay") };
            matches!(config.keys(), Err(Error::Config(ConfigError::Setting(_))))
        };
        assert!(refused(Security::Plain, 1));
        assert!(refused(Security::Encrypted, 0));
        assert!(!refused(Security::Encrypted, 1));
    }

    #[test]
    fn configured_owner_is_taken_and_others_are_random() {
        let config = Config { owner: Some([9; 16]), ..Config::new("http://relay") };
        assert_eq!(config.settings().unwrap().owner, [9; 16]);
        let random = || Config::new("http://relay").settings().unwrap().owner;
        assert_ne!(random(), random());
    }
}
