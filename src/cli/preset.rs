//! What a user sets once for all commands: in the environment, or in a file. Options win over the environment, and
//! that over the file.

use std::env::{self, VarError};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use byway::client;
use byway::transport::Token;
use serde::Deserialize;

use super::failure::CommandError;

/// The variable that names the file; empty: there is none.
const FILE: &str = "BYWAY_CONFIG";

/// Most octets of the file that are read.
const LONGEST: u64 = 64 << 10;

/// The settings of one source: `relay`, `token` or `token_file`, `identity`, `known_peers`, `owner`,
/// `proxy`, `roots`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    pub relay: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    pub identity: Option<PathBuf>,
    pub known_peers: Option<PathBuf>,
    pub owner: Option<String>,
    pub proxy: Option<String>,
    pub roots: Option<String>,
    /// Headers, one a line. The environment alone has them.
    #[serde(skip)]
    pub headers: Option<String>,
}

/// The token that a source has.
#[derive(Debug, Clone)]
pub enum Credential {
    Value(Token),
    File(PathBuf),
}

impl Preset {
    /// The settings of the environment, and below these the file's.
    ///
    /// # Errors
    /// A file that cannot be used, or a variable that is not UTF-8.
    pub fn load() -> Result<[Self; 2], CommandError> {
        let file = match variable(FILE)? {
            Some(path) if path.is_empty() => None,
            Some(path) => Some(Self::read(Path::new(&path))?),
            None => match client::at_home("config.toml") {
                Some(path) if is_there(&path) => Some(Self::read(&path)?),
                Some(_) | None => None,
            },
        };
        Ok([Self::of_environment()?, file.unwrap_or_default()])
    }

    fn of_environment() -> Result<Self, CommandError> {
        let text = |name| Ok::<_, CommandError>(variable(name)?.filter(|value| !value.is_empty()));
        let path = |name| Ok::<_, CommandError>(text(name)?.map(PathBuf::from));
        Ok(Self {
            relay: text("BYWAY_RELAY")?,
            token: text("BYWAY_TOKEN")?,
            token_file: path("BYWAY_TOKEN_FILE")?,
            identity: path("BYWAY_IDENTITY")?,
            known_peers: path("BYWAY_KNOWN_PEERS")?,
            owner: text("BYWAY_OWNER")?,
            proxy: text("BYWAY_PROXY")?,
            roots: text("BYWAY_ROOTS")?,
            headers: text("BYWAY_HEADERS")?,
        })
    }

    fn read(path: &Path) -> Result<Self, CommandError> {
        let fault = |cause: &dyn std::fmt::Display| {
            CommandError::usage(format_args!("{}: {cause}", path.display()))
        };
        let (text, mode) = text(path)
            .map_err(|error| fault(&format_args!("{error}; check the path and its permissions")))?;
        let mut preset: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            // Not what stands there, which may be a token.
            let cause = error.message().lines().next().unwrap_or_default().to_owned();
            fault(&format_args!("line {line}: {cause}; mend or remove it"))
        })?;
        let secret = match &preset {
            Self { token: Some(_), .. } => Some(("a token", "ask for another token")),
            Self { owner: Some(_), .. } => Some(("an owner", "choose another one")),
            _ => None,
        };
        if let (Some((secret, remedy)), Some(mode)) = (secret, mode) {
            return Err(fault(&format_args!(
                "it has {secret}, and others may read it (mode {mode:o}); if nobody has, chmod 600 it, else {remedy}"
            )));
        }
        // What it names is beside it.
        let beside = path.parent().unwrap_or(Path::new(""));
        for named in [&mut preset.token_file, &mut preset.identity].into_iter().flatten() {
            *named = beside.join(&*named);
        }
        if let Some(known) = preset.known_peers.as_mut().filter(|known| known.as_os_str() != "none")
        {
            *known = beside.join(&*known);
        }
        if let Some(roots) = &preset.roots
            && !matches!(&roots[..], "system" | "web")
            && !roots.starts_with("pin:")
        {
            preset.roots = Some(beside.join(roots).to_string_lossy().into_owned());
        }
        Ok(preset)
    }

    /// The token that this source has.
    ///
    /// # Errors
    /// It has two.
    pub fn credential(&self) -> Result<Option<Credential>, CommandError> {
        match (&self.token, &self.token_file) {
            (Some(_), Some(_)) => Err(CommandError::usage(
                "a token and a file of one are set in the same place; leave one of them",
            )),
            (Some(value), None) => Ok(Some(Credential::Value(Token::value(value)))),
            (None, Some(path)) => Ok(Some(Credential::File(path.clone()))),
            (None, None) => Ok(None),
        }
    }
}

/// Whether there is a file. Where this user may not look, reading it tells so.
fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or_else(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn variable(name: &str) -> Result<Option<String>, CommandError> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(CommandError::usage(format_args!("{name} is not UTF-8; set it anew, or unset it")))
        }
    }
}

/// A file's text, and its permissions if others than its owner may read it.
fn text(path: &Path) -> io::Result<(String, Option<u32>)> {
    use std::os::unix::fs::PermissionsExt;
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok((text, (mode & 0o077 != 0).then_some(mode)))
}
