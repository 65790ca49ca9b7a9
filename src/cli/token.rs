//! The command that makes tokens for a policy.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use byway::relay::NewToken;
use clap::Subcommand;
use zeroize::Zeroizing;

use super::failure::CommandError;
use super::{say, stdout, tell};

/// What is to be done with tokens.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a token. Its lines for the policy file go to stdout, as in `byway token new cameras --out token
    /// >>policy.toml`; the token itself goes to --out, or to stderr
    New {
        /// The name of the token in the policy and in the relay's log
        name: String,
        /// Write the token to this new file, which only its owner can read
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Print one JSON document: the policy's lines, and the token itself unless --out has it
        #[arg(long)]
        json: bool,
    },
    /// Print the policy's lines for a token that is there already, which is read from stdin
    Lines {
        /// The name of the token in the policy and in the relay's log
        name: String,
    },
}

/// Makes a token, or the lines of one.
pub fn run(action: &Action) -> Result<(), CommandError> {
    match action {
        Action::New { name, out, json } => {
            let mut random = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *random).map_err(|error| {
                CommandError::failed(format_args!(
                    "no random numbers from the system: {error}; try again later"
                ))
            })?;
            let token = NewToken::new(name, &random);
            match out {
                Some(path) => {
                    write(path, token.token()).map_err(|error| {
                        CommandError::usage(format_args!(
                            "cannot write the token to {}: {error}; give --out a new file",
                            path.display()
                        ))
                    })?;
                    say(format_args!(
                        "the token is in {}: give that to its bearer, who may use every name and port unless you narrow its lines (byway help policy)",
                        path.display()
                    ));
                }
                None if *json => {}
                None => {
                    say(
                        "the token, which is shown this once, for its bearer's --token-file; it is good for every name and port unless you narrow its lines (byway help policy):",
                    );
                    tell(token.token());
                }
            }
            match json {
                true => stdout::write(serde_json::json!({
                    "name": name,
                    "policy": token.policy(),
                    "token": out.is_none().then(|| token.token()),
                    "file": out,
                })),
                false => stdout::write(token.policy().trim_end()),
            }
        }
        Action::Lines { name } => {
            let mut token = String::new();
            io::stdin().read_to_string(&mut token).map_err(|error| {
                CommandError::usage(format_args!("cannot read the token from stdin: {error}"))
            })?;
            let token = token.trim();
            if token.is_empty() {
                return Err(CommandError::usage("stdin has no token; pipe its file in"));
            }
            stdout::write(NewToken::lines(name, token.as_bytes()).trim_end())
        }
    }
}

fn write(path: &PathBuf, token: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}
