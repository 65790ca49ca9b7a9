//! The policy file: which tokens there are, and what their bearers may do.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::jwt::{Bearer, Issuer, TokenError};
use super::pattern::NamePattern;
use super::tokens::{Digest, StaticTokens};

/// Smallest `octets_per_second`: below, a body of a few pieces would look dead to its client.
const MIN_OCTETS: u32 = 16 * 1024;

/// Longest policy file, in octets: room for ten thousand tokens and more.
const MAX_FILE: u64 = 16 << 20;

/// Whom the relay lets in, and for what. Its text is TOML:
///
/// ```
/// # use byway::relay::Policy;
/// let policy = Policy::parse(r#"
/// [[token]]
/// name = "cameras"                # for the log; those of the same name share the limits
/// sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
/// listen = ["camera*:1"]          # `*` is any text; without a port, any port; default: nowhere
/// connect = ["*"]                 # default: nowhere
/// sessions = 100                  # at once; default: no limit
/// connects_per_second = 20        # connections begun; default: no limit
/// requests_per_second = 500       # twice as many at once; default: as an address
/// octets_per_second = 1000000     # of requests' bodies, at least 16384; default: no limit
///
/// [[issuer]]                      # of JWTs; limits count by `sub`
/// issuer = "https://id.example"
/// audience = "byway"
/// keys = ["""
/// -----BEGIN PUBLIC KEY-----
/// MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
/// -----END PUBLIC KEY-----
/// """]                            # Ed25519: EdDSA alone; P-256: ES256 alone
/// listen = ["{sub}:*"]            # `{sub}` is the subject of the token
/// connect = ["*"]
/// "#)?;
/// # Ok::<(), byway::relay::PolicyError>(())
/// ```
#[derive(Debug)]
pub struct Policy {
    pub(super) tokens: StaticTokens,
    issuers: Vec<Issuer>,
}

/// Why a policy cannot be used: a line with cause and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError(String);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

impl From<PolicyError> for std::io::Error {
    fn from(error: PolicyError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    token: Vec<TokenEntry>,
    #[serde(default)]
    issuer: Vec<IssuerEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    name: String,
    sha256: String,
    #[serde(default)]
    listen: Vec<String>,
    #[serde(default)]
    connect: Vec<String>,
    sessions: Option<NonZeroU32>,
    connects_per_second: Option<NonZeroU32>,
    requests_per_second: Option<NonZeroU32>,
    octets_per_second: Option<NonZeroU32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerEntry {
    issuer: String,
    audience: String,
    keys: Vec<String>,
    #[serde(default)]
    listen: Vec<String>,
    #[serde(default)]
    connect: Vec<String>,
    sessions: Option<NonZeroU32>,
    connects_per_second: Option<NonZeroU32>,
    requests_per_second: Option<NonZeroU32>,
    octets_per_second: Option<NonZeroU32>,
}

/// What the bearers of a token may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub listen: Vec<NamePattern>,
    pub connect: Vec<NamePattern>,
    pub sessions: Option<NonZeroU32>,
    pub connects_per_second: Option<NonZeroU32>,
    pub requests_per_second: Option<NonZeroU32>,
    pub octets_per_second: Option<NonZeroU32>,
}

impl Policy {
    /// Reads a policy's text.
    ///
    /// # Errors
    /// What is wrong, and in which line or entry.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: PolicyFile = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..at].iter().filter(|octet| **octet == b'\n').count() + 1;
            let cause = error.message().lines().collect::<Vec<_>>().join(" ");
            PolicyError(format!("line {line}: {cause}"))
        })?;
        if file.token.is_empty() && file.issuer.is_empty() {
            return Err(PolicyError(
                "it lets nobody in; add a [[token]], whose lines `byway token new` prints".into(),
            ));
        }
        let mut tokens = StaticTokens::default();
        for entry in file.token {
            let at = format!("token {:?}", entry.name);
            let wrong = |why: &str| PolicyError(format!("{at}: {why}"));
            if entry.name.is_empty() || entry.name.contains('|') {
                return Err(wrong("a name has at least one character and no |"));
            }
            let digest = Digest::parse(&entry.sha256).ok_or_else(|| {
                wrong("sha256 is not 64 hexadecimal digits; `byway token new` prints the lines")
            })?;
            let rules = Rules {
                listen: patterns(&entry.listen, false).map_err(|why| wrong(&why))?,
                connect: patterns(&entry.connect, false).map_err(|why| wrong(&why))?,
                sessions: entry.sessions,
                connects_per_second: entry.connects_per_second,
                requests_per_second: entry.requests_per_second,
                octets_per_second: octets(entry.octets_per_second).map_err(|why| wrong(&why))?,
            };
            if !tokens.add(entry.name, digest, Arc::new(rules)) {
                return Err(wrong("the same sha256 stands in another entry; keep one of the two"));
            }
        }
        let (mut issuers, mut names) = (Vec::new(), HashSet::new());
        for entry in file.issuer {
            let at = format!("issuer {:?}", entry.issuer);
            let wrong = |why: &str| PolicyError(format!("{at}: {why}"));
            if !names.insert(entry.issuer.clone()) {
                return Err(wrong("it stands there twice; put all its keys into one entry"));
            }
            let rules = Rules {
                listen: patterns(&entry.listen, true).map_err(|why| wrong(&why))?,
                connect: patterns(&entry.connect, true).map_err(|why| wrong(&why))?,
                sessions: entry.sessions,
                connects_per_second: entry.connects_per_second,
                requests_per_second: entry.requests_per_second,
                octets_per_second: octets(entry.octets_per_second).map_err(|why| wrong(&why))?,
            };
            let issuer = Issuer::new(entry.issuer, entry.audience, entry.keys, rules);
            issuers.push(issuer.map_err(|why| wrong(&why))?);
        }
        Ok(Self { tokens, issuers })
    }

    /// Reads a policy file of at most 16 MiB.
    ///
    /// # Errors
    /// The file cannot be read, or what is wrong in it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, PolicyError> {
        use std::io::Read;
        let mut text = String::new();
        let read = std::fs::File::open(path.as_ref())
            .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
        read.map_err(|error| PolicyError(error.to_string()))?;
        if text.len() as u64 > MAX_FILE {
            return Err(PolicyError("it is longer than 16 MiB".into()));
        }
        Self::parse(&text)
    }

    /// How many static tokens and issuers there are.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.issuers.len()
    }

    /// Whether nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Who the bearer of a signed token is.
    pub(super) fn verify(&self, token: &[u8]) -> Result<Bearer, TokenError> {
        super::jwt::verify(&self.issuers, token)
    }
}

fn octets(most: Option<NonZeroU32>) -> Result<Option<NonZeroU32>, String> {
    match most {
        Some(most) if most.get() < MIN_OCTETS => {
            Err(format!("octets_per_second is at least {MIN_OCTETS}"))
        }
        most => Ok(most),
    }
}

fn patterns(texts: &[String], has_subject: bool) -> Result<Vec<NamePattern>, String> {
    texts.iter().map(|text| NamePattern::parse(text, has_subject)).collect()
}
