//! How the command fails: one line and an exit code.

use std::fmt::{self, Display};
use std::io;
use std::process::ExitCode;

use byway::error::{Blocked, ConfigError, PeerError, ResourceError, TransportError};
use byway::{Error, Kind};
use clap::error::ErrorKind;

/// The kind of a failure, which the exit code tells.
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
pub struct CommandError {
    code: Code,
    line: String,
}

impl CommandError {
    pub fn new(code: Code, line: impl Display) -> Self {
        Self { code, line: line.to_string() }
    }

    pub fn usage(line: impl Display) -> Self {
        Self::new(Code::Usage, line)
    }

    /// A failure of work that had begun.
    pub fn failed(line: impl Display) -> Self {
        Self::new(Code::Failed, line)
    }

    /// The failure of a stream, by the peer or on the way: a transfer had begun, unless the listener has
    /// nothing to do with this client.
    pub fn stream(error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
        match cause {
            Some(Error::Peer(PeerError::KeyRefused)) => Self::new(Code::Refused, error),
            _ => Self::failed(error),
        }
    }

    /// The failure of a socket to listen at `address`, which `option` gave.
    pub fn bind(error: &io::Error, address: impl Display, option: &str) -> Self {
        let (code, remedy) = match error.kind() {
            io::ErrorKind::AddrInUse => (Code::Refused, "stop the program that listens there"),
            io::ErrorKind::AlreadyExists => (Code::Refused, "remove it if nobody needs it"),
            io::ErrorKind::NotFound => (Code::Usage, "check the name or the directory"),
            io::ErrorKind::PermissionDenied => {
                (Code::Usage, "use a port from 1024, or a directory of yours")
            }
            io::ErrorKind::AddrNotAvailable => (Code::Usage, "use an address of this machine"),
            _ => (Code::Usage, "check the address"),
        };
        let line = format!("cannot listen on {address}: {error}; {remedy}, or change {option}");
        Self { code, line }
    }

    /// The failure to connect, where this end asked for channels of that kind.
    pub fn connecting(error: Error, asked: Kind) -> Self {
        Self { line: cause_of_connecting(error, asked), ..error.into() }
    }

    pub fn exit(self) -> ExitCode {
        super::tell(format_args!("byway: {}", self.line));
        ExitCode::from(self.code as u8)
    }
}

/// Why an end that asked for channels of that kind has none.
pub fn cause_of_connecting(error: Error, asked: Kind) -> String {
    match (error, asked) {
        (Error::Config(ConfigError::WrongKind), Kind::Stream) => "its listener has --udp, and this end has not: say connect --udp --from HOST:PORT here, or leave --udp out there".into(),
        (Error::Config(ConfigError::WrongKind), Kind::Datagram) => {
            "this end has --udp, and its listener has not: say it there, too, or leave it out here"
                .into()
        }
        (error, _) => error.to_string(),
    }
}

impl Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// The failure of a client before a transfer begins.
impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        use byway::error::ConfigError::{Duplicate, Forbidden, InUse, Taken};
        let code = match error {
            Error::Config(InUse | Taken | Duplicate | Forbidden) => Code::Refused,
            Error::Config(_) => Code::Usage,
            Error::Peer(
                PeerError::NoListener
                | PeerError::BacklogFull
                | PeerError::WrongKey
                | PeerError::KeyRefused
                | PeerError::Handshake,
            ) => Code::Refused,
            Error::Peer(PeerError::Away) | Error::TimedOut => Code::TimedOut,
            Error::Resource(ResourceError::Relay | ResourceError::Full { .. }) => Code::Refused,
            Error::Transport(TransportError::Blocked(Blocked::Token(_))) => Code::Refused,
            Error::Transport(TransportError::Blocked(_)) => Code::Blocked,
            _ => Code::Failed,
        };
        Self::new(code, error)
    }
}

/// The system's failure to give a thread or to catch signals.
impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::failed(format_args!("the system refuses: {error}; free memory or threads"))
    }
}

/// Prints clap's error and gives the exit code: the whole help if there are no arguments, else the
/// error's lines joined to one, and where the help of this `action` is, if one was named.
pub fn usage(error: clap::Error, action: Option<&str>) -> ExitCode {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::from(Code::Usage as u8);
    }
    let text = error.render().to_string();
    let cause = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let cause = cause.collect::<Vec<_>>().join(" ");
    let cause = cause.strip_prefix("error: ").unwrap_or(&cause);
    match action {
        Some(action) => CommandError::usage(format_args!("{cause}; see byway help {action}")),
        None => CommandError::usage(format_args!("{cause}; see byway --help")),
    }
    .exit()
}
