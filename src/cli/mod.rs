//! The command line: its commands and options, its log, and its exit codes.

mod cluster;
mod connect;
mod doctor;
mod failure;
mod files;
mod forward;
mod id;
mod limits;
mod listen;
mod local;
mod metrics;
mod notify;
mod open;
mod options;
mod pages;
mod parse;
mod peers;
mod permits;
mod ping;
mod pipe;
mod preset;
mod relay;
mod retry;
mod share;
mod shortage;
mod signals;
mod sockets;
mod splice;
mod ssh;
mod status;
mod stderr;
mod stdout;
mod token;
mod unix_listener;

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

use failure::CommandError;
use stderr::{LogFormat, say, tell};

/// How long the last acknowledgements may take to reach the peers; all data is acknowledged before. A
/// client waits 5 s for its peers to confirm, and then says goodbye.
const LAST_WORD: Duration = Duration::from_secs(6);

const EXIT_CODES: &str = "\
Exit codes:
  0  all done; what was sent is acknowledged by the peer, which may still fail to write it if it sent
     nothing itself and heard nothing for 1 s, or had ended before
  1  failed in mid-transfer, or this system failed (stdin, stdout, threads, memory)
  2  wrong usage or configuration, or versions that do not match
  3  refused: nobody listens, backlog full, endpoint or address in use, a limit of the relay, a
     token or endpoint that its policy does not have, another key than --peer-key or known_peers say,
     a key that the listener does not admit, no shared secret in common
  4  path to the relay blocked
  5  timed out, or the peer is away
  128 + N  ended by signal N; a relay ends with 0";

/// A socket between two devices that can only make outbound HTTP requests.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, disable_help_subcommand = true, after_help = EXIT_CODES)]
struct Command {
    #[command(subcommand)]
    action: Action,
    /// Tell more on stderr: -v the state of connections; -vv why a message was not delivered, a
    /// channel ended or a client waits; -vvv each exchange, too. The variable BYWAY_LOG says it in
    /// detail, as in `byway=debug,hyper=info`
    #[arg(short, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Tell nothing on stderr but the error that ends the command
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// How the lines on stderr are written [default: text] [env: BYWAY_LOG_FORMAT]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run a relay; prints its URL when it is ready, one a line where --listen is a name of several
    /// addresses
    #[command(after_help = EXIT_CODES)]
    Relay(Box<relay::Options>),
    /// Make tokens for the policy of a relay: byway help policy
    #[command(after_help = EXIT_CODES)]
    Token {
        #[command(subcommand)]
        action: token::Action,
    },
    /// Listen at an endpoint: join one connection to stdin and stdout, or forward all to a server or a
    /// command; byway help forward
    #[command(after_help = EXIT_CODES)]
    Listen(Box<listen::Options>),
    /// Measure round trips to a listener, until Ctrl-C or --count ends that
    #[command(after_help = EXIT_CODES)]
    Ping(Box<ping::Options>),
    /// Tell whether and how the relay is reached with these settings
    #[command(after_help = EXIT_CODES)]
    Status(Box<status::Options>),
    /// Find out what is on the way to the relay, and what to do about it
    #[command(after_help = EXIT_CODES)]
    Doctor(Box<doctor::Options>),
    /// Make an identity, or show the key name of one: a name that nobody else can take
    #[command(subcommand, after_help = EXIT_CODES)]
    Id(id::IdAction),
    /// Connect to an endpoint: join stdin and stdout to it, or forward connections; byway help forward
    #[command(after_help = EXIT_CODES)]
    Connect(Box<connect::Options>),
    /// Run ssh by way of the relay, to byway listen NAME:22 --to 127.0.0.1:22
    #[command(
        after_help = EXIT_CODES,
        override_usage = "byway ssh [OPTIONS] [USER@]NAME [SSH'S ARGUMENTS]..."
    )]
    Ssh(Box<ssh::Options>),
    /// Send files and folders to whom you tell a code: prints the command to type at the other side
    #[command(after_help = EXIT_CODES)]
    Send(Box<share::SendOptions>),
    /// Receive what byway send offers, into a folder
    #[command(after_help = EXIT_CODES)]
    Receive(Box<share::ReceiveOptions>),
    /// Print the help of a command, or of a topic: config, exit-codes, forward, names, policy, security, share
    Help {
        /// The command or topic; without it all are listed
        #[arg(value_name = "COMMAND|TOPIC")]
        path: Vec<String>,
    },
    /// Print what completes the command's words in a shell, as in `mkdir -p
    /// ~/.local/share/bash-completion/completions; byway completions bash
    /// >~/.local/share/bash-completion/completions/byway`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write man pages, one for each command
    Man {
        /// The directory, which is made if there is none
        #[arg(value_name = "DIRECTORY")]
        directory: PathBuf,
    },
}

/// Runs the command that the arguments ask for.
pub fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) if !error.use_stderr() => {
            // Help or version: a failed write means that the reader went away.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return failure::usage(error, named_action().as_deref()),
    };
    let started = stderr::start(command.verbose, command.quiet, command.log_format);
    let result = started.and_then(|()| run(command.action));
    signals::finish();
    result.map_or_else(|failure| failure.exit(), |()| ExitCode::SUCCESS)
}

/// The name of the action on the command line.
fn named_action() -> Option<String> {
    let word =
        std::env::args_os().skip(1).find(|word| !word.as_encoded_bytes().starts_with(b"-"))?;
    let word = word.into_string().ok()?;
    Command::command().find_subcommand(&word).map(|found| found.get_name().to_owned())
}

fn run(action: Action) -> Result<(), CommandError> {
    raise_descriptors();
    match action {
        Action::Relay(options) => relay::run(&options),
        Action::Token { action } => token::run(&action),
        Action::Id(action) => id::run(&action),
        Action::Send(options) => share::send(*options),
        Action::Receive(options) => share::receive(*options),
        Action::Ping(options) => ping::run(*options),
        Action::Status(options) => status::run(*options),
        Action::Doctor(options) => doctor::run(*options),
        Action::Help { path } => pages::help(Command::command(), &path),
        Action::Completions { shell } => pages::completions(Command::command(), shell),
        Action::Man { directory } => pages::man(Command::command(), &directory),
        Action::Listen(options) => listen::run(*options),
        Action::Connect(options) => connect::run(*options),
        Action::Ssh(options) => ssh::run(*options),
    }
}

/// Raises the limit of file descriptors as far as the system allows: every connection takes some.
fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // With the old limit the command serves fewer connections.
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        debug!("the limit of file descriptors stays {current:?}: {error}");
    }
}

/// Writes a line that programs wait for to stdout. A closed stdout is no error.
fn announce(line: impl Display) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

#[test]
fn arguments_do_not_contradict_each_other() {
    Command::command().debug_assert();
}
