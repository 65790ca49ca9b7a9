//! How the command fails: one line and an exit code.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use byway::Error;
use byway::error::{PeerError, ResourceError, TransportError};
use clap::error::ErrorKind;

/// What kind of failure it is, told by the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Failed = 1,
    Usage = 2,
    Refused = 3,
    Blocked = 4,
    TimedOut = 5,
}

/// Why the command fails: cause and remedy in one line.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    line: String,
}

impl Failure {
    pub fn new(code: Code, line: impl Display) -> Self {
        Self { code, line: line.to_string() }
    }

    pub fn usage(line: impl Display) -> Self {
        Self::new(Code::Usage, line)
    }

    /// Something ended what was under way.
    pub fn failed(line: impl Display) -> Self {
        Self::new(Code::Failed, line)
    }

    /// A TCP socket cannot listen at `address`; `option` says where else.
    pub fn bind(error: &io::Error, address: impl Display, option: &str) -> Self {
        let (code, remedy) = match error.kind() {
            io::ErrorKind::AddrInUse => (Code::Refused, "stop the program that listens there"),
            io::ErrorKind::PermissionDenied => (Code::Usage, "use a port from 1024"),
            io::ErrorKind::AddrNotAvailable => (Code::Usage, "use an address of this machine"),
            _ => (Code::Usage, "check the address"),
        };
        let line = format!("cannot listen on {address}: {error}; {remedy}, or change {option}");
        Self { code, line }
    }

    pub fn exit(self) -> ExitCode {
        super::say(format_args!("byway: {}", self.line));
        ExitCode::from(self.code as u8)
    }
}

/// Of what happens before a transfer begins.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        use byway::error::ConfigError::{Duplicate, InUse, Taken};
        let code = match error {
            Error::Config(InUse | Taken | Duplicate) => Code::Refused,
            Error::Config(_) => Code::Usage,
            Error::Peer(PeerError::NoListener | PeerError::BacklogFull) => Code::Refused,
            Error::Peer(PeerError::Away) | Error::TimedOut => Code::TimedOut,
            Error::Resource(ResourceError::Relay | ResourceError::Full { .. }) => Code::Refused,
            Error::Transport(TransportError::Blocked(_)) => Code::Blocked,
            _ => Code::Failed,
        };
        Self::new(code, error)
    }
}

/// Of threads and signals.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(format_args!("the system refuses: {error}; free memory or threads"))
    }
}

/// Ends with what clap says: the whole help if nothing was asked for, else in one line what it
/// says in several.
pub fn usage(error: clap::Error) -> ExitCode {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::from(Code::Usage as u8);
    }
    let text = error.render().to_string();
    let cause = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let cause = cause.collect::<Vec<_>>().join(" ");
    let cause = cause.strip_prefix("error: ").unwrap_or(&cause);
    Failure::usage(format_args!("{cause}; see byway --help")).exit()
}
