//! Options of the commands that are clients of a relay.

use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use byway::Endpoint;
use byway::client::{self, Config, IdentityFile, PrivateFileError, Security, SharedSecretFile};
use byway::secure::{Identity, Secret};
use byway::session::{Pace, Profile};
use byway::transport::{Proxy, Roots, Token};
use clap::{Args, ValueEnum};
use tracing::info;

use super::failure::CommandError;
use super::parse;
use super::preset::{Credential, Preset};

/// The options of a client: how it reaches the relay, and how it behaves there.
#[derive(Args)]
pub struct ClientOptions {
    /// The relay: http://host:port or https://host, with a path if it has one [env: BYWAY_RELAY]
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
    /// Channels at once and memory for each [default: pc; for forwarding server]
    #[arg(long, value_enum)]
    profile: Option<ProfileName>,
    /// How what comes is waited for
    #[arg(long, value_enum, default_value_t = PaceName::Streaming)]
    pace: PaceName,
    /// Do not encrypt what channels carry: the relay can read it then, and without https:// all on the way.
    /// Both ends have to agree
    #[arg(long)]
    plain: bool,
    /// How long to ride out silence while something is outstanding; at least 66, where either peer has
    /// --pace battery 250 [default: 180; with --pace battery 250]
    #[arg(long, value_name = "SECONDS", value_parser = parse::seconds)]
    linger: Option<u64>,
    /// How often the peer of an idle channel is probed, to find out that it is gone; 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = parse::seconds_or_never)]
    keepalive: u64,
    /// How long to wait for the relay, and then for the endpoint to be free or for somebody to listen
    /// there [default: 10, and then 20; a forward without --once waits for the relay for ever]
    #[arg(long, value_name = "SECONDS", value_parser = parse::seconds)]
    timeout: Option<u64>,
    /// A header to add to every request; may be repeated. Others may see it in the list of processes, unlike the
    /// variable, which has one a line [env: BYWAY_HEADERS]
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The token by which the relay lets this client in; others may see it in the list of processes, unlike the
    /// variable or --token-file [env: BYWAY_TOKEN]
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file", value_parser = token)]
    token: Option<Token>,
    /// The file with the token, read again when the relay refuses it [env: BYWAY_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Send the token over http:// to other machines, too, where everybody on the way can read it
    #[arg(long)]
    token_over_http: bool,
    /// The header User-Agent; empty: none is sent [default: byway/ and the version]
    #[arg(long, value_name = "TEXT")]
    user_agent: Option<String>,
    /// Go through this HTTP proxy, http://user:password@host:port; through none; or as http_proxy, https_proxy,
    /// all_proxy and no_proxy of the environment say at the start: env [env: BYWAY_PROXY] [default: env]
    #[arg(long, value_name = "URL|none|env")]
    proxy: Option<String>,
    /// Whose certificates to trust for https://: those in this file (PEM), the system's (or what
    /// SSL_CERT_FILE and SSL_CERT_DIR name), or those of the public web, which are built in; or the
    /// relay's own key, which it prints at its start, pin:sha256/…, several apart by commas [default:
    /// system; where it has none, web] [env: BYWAY_ROOTS]
    #[arg(long, value_name = "FILE|system|web|pin:…", value_parser = roots)]
    roots: Option<Roots>,
    /// Who this is: a later process with the same text takes over the endpoint, so that a restart
    /// need not wait, and peers of one that crashed, as ssh, hear of its end from the next at once, and not after
    /// --keepalive and --linger. Keep it to yourself, or others do so: the list of processes shows options, and not
    /// the variable [env: BYWAY_OWNER]
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// The file of the identity whose key this end has, and whose key name is the own one; byway id new makes
    /// it [default: the one that byway id has, which is made when there is none] [env: BYWAY_IDENTITY]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The file of listeners' keys, one for each name: a listener that was met before is refused if its key is
    /// another; none: nothing is kept, and whoever has the name is connected to [default: known_peers beside
    /// the identity at home] [env: BYWAY_KNOWN_PEERS]
    #[arg(long, value_name = "FILE|none")]
    known_peers: Option<PathBuf>,
    /// The file of a secret that all peers have: only they can have a channel with this end. A line of 64
    /// hexadecimal digits that nobody else may read: (umask 077; openssl rand -hex 32 > FILE)
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    shared_secret_file: Option<PathBuf>,
}

/// Without what may be secret: the owner, values of headers, a proxy's password.
impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions").field("relay", &self.relay).finish_non_exhaustive()
    }
}

/// An endpoint, as the user writes it.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// `@:port`: the own key name.
    Own(u16),
    At(Endpoint),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(port) => write!(f, "@:{port}"),
            Self::At(endpoint) => endpoint.fmt(f),
        }
    }
}

/// What the client is to do, and where.
#[derive(Debug, Clone, Copy)]
pub enum Role {
    Listens(Place),
    Connects(Place),
}

impl Role {
    pub fn place(self) -> Place {
        match self {
            Self::Listens(place) | Self::Connects(place) => place,
        }
    }

    /// Which identity that takes.
    fn need(self) -> Need {
        match self {
            Self::Listens(Place::At(endpoint)) if endpoint.name.is_key_name() => Need::OfName,
            Self::Listens(Place::At(_)) | Self::Connects(Place::At(_)) => Need::None,
            Self::Listens(Place::Own(_)) | Self::Connects(Place::Own(_)) => Need::Any,
        }
    }
}

/// What identity a role takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// The one of a key name.
    OfName,
    /// Any that is kept.
    Any,
    /// None.
    None,
}

/// The identity of this user, which is made when there is none.
fn at_home() -> Result<Identity, PrivateFileError> {
    let file = IdentityFile::at_home()?;
    match file.load() {
        Err(PrivateFileError::Missing { .. }) => {
            let identity = file.load_or_create()?;
            let path = file.path().display();
            info!("{path}: a new identity, with the key {}", identity.public_key());
            Ok(identity)
        }
        Ok(identity) => {
            info!("this end has the key {}", identity.public_key());
            Ok(identity)
        }
        Err(error) => Err(error),
    }
}

impl Place {
    /// The endpoint, for a client of that identity.
    pub fn endpoint(self, identity: Option<&Identity>) -> Result<Endpoint, CommandError> {
        match self {
            Self::At(endpoint) => Ok(endpoint),
            Self::Own(port) => identity
                .map(|identity| Endpoint { name: identity.public_key().name(), port })
                .ok_or_else(|| {
                    CommandError::usage(
                        "no identity, whose name @ stands for: give one (--identity)",
                    )
                }),
        }
    }
}

/// Nothing of the token goes into an error: the transport says what is wrong with it.
fn token(text: &str) -> Result<Token, Infallible> {
    Ok(Token::value(text))
}

fn roots(text: &str) -> Result<Roots, String> {
    match text {
        "system" => Ok(Roots::System),
        "web" => Ok(Roots::Web),
        pins if pins.starts_with("pin:") => {
            Roots::from_octets(pins.as_bytes()).map_err(|error| error.to_string())
        }
        path => match std::fs::read(path) {
            Ok(pem) => Ok(Roots::Pem(pem)),
            Err(error) => Err(format!("cannot read it: {error}")),
        },
    }
}

/// The named profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProfileName {
    /// 2 channels of 1 KiB each way
    Tiny,
    /// 8 channels of 16 KiB each way
    Phone,
    /// 16 channels of 16 KiB each way, up to 512 KiB out of 2 MiB
    App,
    /// 32 channels of 256 KiB each way, up to 8 MiB out of 32 MiB
    Pc,
    /// 4 channels of 8 MiB each way
    Bulk,
    /// 256 channels of 64 KiB each way, up to 16 MiB out of 64 MiB
    Server,
}

/// The named paces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PaceName {
    /// By answers that stay open, where the path passes them on promptly
    Streaming,
    /// By answers that end with what came
    LongPoll,
    /// As long-poll, with few requests when idle
    Battery,
}

/// The linger time in seconds if the user asks for none: that of the library.
const LINGER: u64 = 180;

/// The shortest linger time in seconds: two parks that are merely slow, each with its grace, as
/// `Config::linger` says. The session raises a shorter one.
const LEAST_LINGER: u64 = 66;
const LEAST_LINGER_BATTERY: u64 = 250;

impl ClientOptions {
    /// Takes what the user did not give from the environment, and then from the file.
    pub fn complete(mut self) -> Result<Self, CommandError> {
        for preset in Preset::load()? {
            let credential = preset.credential()?;
            if self.token.is_none() && self.token_file.is_none() {
                match credential {
                    Some(Credential::Value(token)) => self.token = Some(token),
                    Some(Credential::File(path)) => self.token_file = Some(path),
                    None => {}
                }
            }
            if self.roots.is_none() {
                let read = |text: &String| {
                    roots(text).map_err(|cause| {
                        CommandError::usage(format_args!("roots {text}, as set: {cause}"))
                    })
                };
                self.roots = preset.roots.as_ref().map(read).transpose()?;
            }
            if let (true, Some(lines)) = (self.headers.is_empty(), &preset.headers) {
                let lines = lines.lines().filter(|line| !line.trim().is_empty());
                self.headers = lines.map(header).collect::<Result<_, _>>().map_err(|remedy| {
                    CommandError::usage(format_args!(
                        "BYWAY_HEADERS: a line is no header; {remedy}"
                    ))
                })?;
            }
            self.relay = self.relay.or(preset.relay);
            self.identity = self.identity.or(preset.identity);
            self.known_peers = self.known_peers.or(preset.known_peers);
            self.owner = self.owner.or(preset.owner);
            self.proxy = self.proxy.or(preset.proxy);
        }
        if let (None, Some(path)) = (&self.token, &self.token_file) {
            // Here, where the path can be told.
            File::open(path).map_err(|error| {
                CommandError::usage(format_args!(
                    "cannot read the token in {}: {error}; check its path and its mode",
                    path.display()
                ))
            })?;
        }
        Ok(self)
    }

    /// Whether the user says how long to wait.
    pub fn has_timeout(&self) -> bool {
        self.timeout.is_some()
    }

    /// The relay's URL, where an option says it.
    pub fn given_relay(&self) -> Option<&str> {
        self.relay.as_deref()
    }

    /// The relay's URL.
    pub fn relay(&self) -> Result<&str, CommandError> {
        self.relay.as_deref().ok_or_else(|| {
            CommandError::usage(
                "no relay: give its URL (--relay, BYWAY_RELAY, or relay in ~/.config/byway/config.toml)",
            )
        })
    }

    /// Refuses options that the session would not keep to.
    pub fn check(&self) -> Result<(), CommandError> {
        let least = self.least_linger();
        match self.linger {
            Some(linger) if linger < least => Err(CommandError::usage(format_args!(
                "--linger {linger} is too short: a path that is merely slow would end channels; write {least} or more{}",
                if self.pace == PaceName::Battery { ", for --pace battery" } else { "" }
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// The identity that the user names, or the one at home, so that the key of this end stays the same. Where
    /// none is needed, and there is no home, or none that can be written, the client has a key for its life.
    pub fn identity(&self, role: &Role) -> Result<Option<Identity>, PrivateFileError> {
        self.identity_for(role.need())
    }

    /// The identity of a client that connects to ordinary names alone.
    pub fn identity_to_connect(&self) -> Result<Option<Identity>, PrivateFileError> {
        self.identity_for(Need::None)
    }

    fn identity_for(&self, need: Need) -> Result<Option<Identity>, PrivateFileError> {
        if let Some(path) = &self.identity {
            return IdentityFile::new(path).load().map(Some);
        }
        match need {
            // An identity that is made now is not the one of that name.
            Need::OfName => IdentityFile::at_home()?.load().map(Some),
            Need::Any => at_home().map(Some),
            Need::None if self.plain => Ok(None),
            Need::None => match at_home() {
                Ok(identity) => Ok(Some(identity)),
                Err(error @ (PrivateFileError::NoHome | PrivateFileError::System { .. })) => {
                    info!("this run has a key of its own: {error}");
                    Ok(None)
                }
                Err(error) => Err(error),
            },
        }
    }

    /// The secret that the user shares with the peers.
    pub fn shared_secret(&self) -> Result<Option<Secret>, PrivateFileError> {
        self.shared_secret_file.as_ref().map(|path| SharedSecretFile::new(path).load()).transpose()
    }

    fn least_linger(&self) -> u64 {
        match self.pace {
            PaceName::Streaming | PaceName::LongPoll => LEAST_LINGER,
            PaceName::Battery => LEAST_LINGER_BATTERY,
        }
    }

    /// The client's configuration; `profile` is that of the command, which the user may override.
    pub fn config(&self, profile: Profile, backlog: u8) -> Result<Config, CommandError> {
        let mut config = Config::new(self.relay()?);
        config.profile = self.profile.map_or(profile, ProfileName::profile);
        config.pace = match self.pace {
            PaceName::Streaming => Pace::Streaming,
            PaceName::LongPoll => Pace::LongPoll,
            PaceName::Battery => Pace::Battery,
        };
        config.linger = Duration::from_secs(self.linger.unwrap_or(LINGER.max(self.least_linger())));
        config.keepalive = Some(self.keepalive).filter(|s| *s > 0).map(Duration::from_secs);
        config.backlog = NonZeroU8::new(backlog);
        if self.plain {
            config.security = Security::Plain;
        }
        config.known_peers = match &self.known_peers {
            Some(path) if path.as_os_str() == "none" => None,
            Some(path) => Some(path.clone()),
            None => client::at_home("known_peers"),
        };
        config.headers.clone_from(&self.headers);
        config.owner = self.owner.as_deref().map(owner);
        config.proxy = match self.proxy.as_deref() {
            None | Some("env") => Proxy::Environment,
            Some("none") => Proxy::Direct,
            Some(url) => Proxy::Url(url.to_owned()),
        };
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(path)) => Some(Token::file(path)),
            (None, None) => None,
        };
        config.token = token.map(|token| token.over_plain_http(self.token_over_http));
        if let Some(roots) = &self.roots {
            config.roots.clone_from(roots);
        }
        if let Some(user_agent) = &self.user_agent {
            config.user_agent.clone_from(user_agent);
        }
        if let Some(timeout) = self.timeout.map(Duration::from_secs) {
            config.open_timeout = timeout;
            config.connect_timeout = timeout;
        }
        Ok(config)
    }
}

impl ProfileName {
    fn profile(self) -> Profile {
        match self {
            Self::Tiny => Profile::TINY,
            Self::Phone => Profile::PHONE,
            Self::App => Profile::APP,
            Self::Pc => Profile::PC,
            Self::Bulk => Profile::BULK,
            Self::Server => Profile::SERVER,
        }
    }
}

/// What it takes to make an owner of a text: 9 MiB and four passes, the least of OWASP's Password Storage Cheat
/// Sheet by memory, for small machines. That takes some 20 ms of a PC, and a guess as long.
const STRETCH: (u32, u32, u32) = (9 * 1024, 4, 1);

/// The same for everybody, as processes of an owner have nothing in common but the text.
const SALT: &[u8] = b"byway owner";

/// Makes an owner's 16 octets of any text. Texts can be guessed, and the relay tells whether a guess is
/// right: so it takes long to make one (Argon2id, RFC 9106).
fn owner(text: &str) -> [u8; 16] {
    let (memory, passes, lanes) = STRETCH;
    let params = Params::new(memory, passes, lanes, Some(16)).expect("they are within the bounds");
    let mut owner = [0; 16];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(text.as_bytes(), SALT, &mut owner)
        .expect("a text is shorter than 4 GiB");
    owner
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("write it as 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn owner_of_a_text_is_argon2id_of_it_and_always_the_same() {
        // By argon2-cffi: hash_secret_raw(b"me", b"byway owner", 4, 9216, 1, 16, Type.ID).
        assert_eq!(hex(&owner("me")), "42eef5f3f282975f0454c882686b0905");
        assert_ne!(owner("me"), owner("you"));
    }

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}
