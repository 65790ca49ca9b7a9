//! The command that makes and shows identities.

use std::io::{IsTerminal, Write};

use byway::client::{IdentityFile, PrivateFileError};
use byway::secure::PublicKey;
use clap::{Args, Subcommand};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::failure::{Code, CommandError};
use super::stdout;

/// What to do with an identity.
#[derive(Debug, Subcommand)]
pub enum IdAction {
    /// Make an identity, keep it in a file that nobody else reads, and print its key name
    New(IdOptions),
    /// Print the key name of an identity: others connect to it, and reach its owner or nobody
    Show(IdOptions),
}

/// Which identity.
#[derive(Debug, Args)]
pub struct IdOptions {
    /// The identity's file, which a new identity never overwrites [default: byway/identity in
    /// $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "FILE")]
    file: Option<std::path::PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl IdOptions {
    fn file(&self) -> Result<IdentityFile, PrivateFileError> {
        match &self.file {
            Some(path) => Ok(IdentityFile::new(path)),
            None => IdentityFile::at_home(),
        }
    }
}

/// Makes or shows an identity.
pub fn run(action: &IdAction) -> Result<(), CommandError> {
    stdout::check()?;
    let (identity, json) = match action {
        IdAction::New(options) => (options.file()?.create()?, options.json),
        IdAction::Show(options) => (options.file()?.load()?, options.json),
    };
    show(&identity.public_key(), json)
}

/// Prints the key name, and for a person at a terminal what a camera reads.
fn show(key: &PublicKey, json: bool) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout();
    let mut text = match json {
        true => format!("{}\n", serde_json::json!({ "key_name": key.to_string() })),
        false => format!("{key}\n"),
    };
    if !json && stdout.is_terminal() {
        text += &picture(key.name().as_str()).map_err(CommandError::failed)?;
    }
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| stdout::unwritten(&error))
}

/// The QR code (ISO/IEC 18004) of a text. Cameras look for black on white, so the colours are set,
/// whatever the terminal's are.
fn picture(text: &str) -> Result<String, qrcode::types::QrError> {
    const BLACK_ON_WHITE: &str = "\x1b[30;107m";
    const RESET: &str = "\x1b[0m";
    // At a screen nothing is smudged: the least correction makes the smallest picture.
    let code = QrCode::with_error_correction_level(text, EcLevel::L)?;
    let lines = code.render::<Dense1x2>().build();
    Ok(lines.lines().map(|line| format!("{BLACK_ON_WHITE}{line}{RESET}\n")).collect())
}

/// A private file cannot be used, which has to be changed before the command works.
impl From<PrivateFileError> for CommandError {
    fn from(error: PrivateFileError) -> Self {
        let code = match error {
            PrivateFileError::Entropy | PrivateFileError::System { .. } => Code::Failed,
            _ => Code::Usage,
        };
        Self::new(code, error)
    }
}
