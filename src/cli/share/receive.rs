//! `byway receive`: takes what a sender offers at a code, and comes back when the channel is lost.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use byway::Error;
use byway::client::Stream;
use byway::error::PeerError;
use clap::Args;

use super::agree::{self, Credential, Refused};
use super::code::Code;
use super::ear::Ear;
use super::incoming::{Incoming, Stopped};
use super::line::Line;
use super::message::{Lost, Reader, Secret, Stop, stop};
use super::plan::{Conflict, Wishes};
use super::progress::{Audience, Count};
use crate::cli::failure::{Code as Exit, CommandError};
use crate::cli::options::ClientOptions;
use crate::cli::peers::Target;
use crate::cli::{LAST_WORD, retry, say};

/// How long the other end may take to answer while the code is checked.
const GREETING: Duration = Duration::from_secs(20);

/// How long the sender is looked for once it is lost: a user takes so long to start it again.
const RETURN: Duration = Duration::from_secs(600);

/// The first and the longest pause before the sender is looked for again.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Most octets of a line with a code: more than any code has.
const LONGEST_LINE: u64 = 1024;

/// Options of `byway receive`.
#[derive(Debug, Args)]
pub struct ReceiveOptions {
    /// The code that byway send shows, as in 7-crane-lamp-river; the first four letters of a word are enough. Others
    /// may see it in the list of processes, unlike the variable, or a line of stdin, which is read without both
    /// [env: BYWAY_CODE]
    #[arg(value_name = "CODE")]
    code: Vec<String>,
    /// The folder to write to
    #[arg(short, long, value_name = "DIRECTORY", default_value = ".")]
    output: PathBuf,
    /// Do not ask whether to receive it
    #[arg(short, long)]
    yes: bool,
    /// Replace files that are there, and put files into folders that are there
    #[arg(long, conflicts_with = "rename")]
    overwrite: bool,
    /// Give what comes another name where its own is there, as in picture.1
    #[arg(long)]
    rename: bool,
    #[command(flatten)]
    audience: Audience,
    #[command(flatten)]
    client: ClientOptions,
}

pub fn run(options: ReceiveOptions) -> Result<(), CommandError> {
    let audience = options.audience;
    let result = start(options);
    audience.result(&result);
    result
}

fn start(options: ReceiveOptions) -> Result<(), CommandError> {
    let code = code(&options.code)?;
    let is_asked = io::stdin().is_terminal() && io::stderr().is_terminal() && !options.yes;
    let conflict = match (options.overwrite, options.rename) {
        (true, _) => Conflict::Overwrite,
        (_, true) => Conflict::Rename,
        (false, false) => Conflict::Fail,
    };
    let wishes = Wishes { conflict, ask: is_asked.then_some(ask) };
    let mut incoming = Incoming::new(&options.output, wishes, options.audience)?;
    let client = options.client.complete()?;
    let line = Line::open(&client, None)?;
    let result = receive(&line, &code, &mut incoming);
    let _ = line.client.close(LAST_WORD);
    result
}

/// The code, from the command line, the environment, or a line of stdin.
fn code(words: &[String]) -> Result<Code, CommandError> {
    let text = match (words, std::env::var_os("BYWAY_CODE")) {
        ([], Some(code)) => code.to_string_lossy().into_owned(),
        ([], None) => read_code().map_err(|error| {
            CommandError::usage(format_args!("no code can be read from stdin: {error}; say CODE"))
        })?,
        (words, _) => words.join(" "),
    };
    text.parse().map_err(CommandError::usage)
}

fn read_code() -> io::Result<String> {
    if io::stdin().is_terminal() {
        let mut stderr = io::stderr();
        write!(stderr, "The code that byway send shows: ")?;
        stderr.flush()?;
    }
    let mut line = String::new();
    io::stdin().lock().take(LONGEST_LINE).read_line(&mut line)?;
    Ok(line)
}

fn receive(line: &Line, code: &Code, incoming: &mut Incoming) -> Result<(), CommandError> {
    let target = Target { endpoint: code.endpoint()?, key: None };
    let mut stream = meet(line, target, code.number())?;
    let greeted = greet(line, &stream, &Credential::Words(code));
    let (mut reader, mut secret) = greeted.map_err(|refused| explain(&refused))?;
    loop {
        line.take(&stream);
        let why = match incoming.carry(line, &stream, &mut reader, &secret) {
            Ok(faults) => {
                // The sender ends by itself once it knows.
                match stream.close() {
                    Ok(()) => incoming.end(),
                    Err(error) => say(format_args!(
                        "byway: all is here, but the sender may not know: {error}"
                    )),
                }
                return match faults {
                    0 => Ok(()),
                    faults => Err(CommandError::failed(format_args!(
                        "{} did not come: unreadable at the sender, or changed meanwhile; all others are here",
                        Count::files(faults)
                    ))),
                };
            }
            Err(Stopped::Here(error, why)) => {
                stop(&stream, why);
                stream.abort();
                return Err(error);
            }
            Err(Stopped::There(why)) => return Err(explain(&Refused::Stopped(why))),
            Err(Stopped::Lost(lost @ Lost::Channel(_))) => lost,
            Err(Stopped::Lost(Lost::Protocol(cause))) => {
                stream.abort();
                return Err(CommandError::failed(format_args!(
                    "the sender breaks the protocol: {cause}; update the older side"
                )));
            }
        };
        stream.abort();
        say(format_args!(
            "byway: the sender is lost ({why}); looking for it for {} s, which its user may start again",
            RETURN.as_secs()
        ));
        (stream, reader, secret) = come_back(line, target, secret)?;
    }
}

/// Connects to the sender, and waits for one that is not there yet.
fn meet(line: &Line, target: Target, number: u32) -> Result<Stream, CommandError> {
    let seconds = line.patience.as_secs();
    let mut told = None;
    let mut tell_once = |error: Error, what: &str| {
        if told.replace(error) != Some(error) {
            say(format_args!("{what}: waiting up to {seconds} s (--timeout)"));
        }
        true
    };
    let met = retry::patiently(
        line.patience,
        thread::sleep,
        |left| retry::connect_once(&line.client, target, left),
        |error| match error {
            Error::Peer(PeerError::NoListener) => {
                tell_once(error, &format!("no byway send has the number {number} yet"))
            }
            Error::Peer(PeerError::BacklogFull) => tell_once(error, "the sender greets others"),
            _ => false,
        },
    );
    met.map_err(|error| match error {
        Error::Peer(PeerError::NoListener) => CommandError::new(
            Exit::Refused,
            format_args!(
                "no byway send has the number {number} at this relay; check the code, and that its sender still runs and has the same relay"
            ),
        ),
        Error::Peer(PeerError::Away) => CommandError::new(
            Exit::TimedOut,
            "the sender has not been heard of lately; look at its network, or start it again",
        ),
        error => error.into(),
    })
}

/// Looks for the sender again, which knows this end by the secret.
fn come_back(
    line: &Line,
    target: Target,
    secret: Secret,
) -> Result<(Stream, Reader<Ear>, Secret), CommandError> {
    let (start, mut pause) = (Instant::now(), PAUSE);
    loop {
        thread::sleep(pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
        let why = match retry::connect_once(&line.client, target, line.patience) {
            Ok(stream) => match greet(line, &stream, &Credential::Secret(secret)) {
                Ok((reader, secret)) => return Ok((stream, reader, secret)),
                Err(Refused::Lost(lost)) => lost.to_string(),
                Err(refused) => return Err(explain(&refused)),
            },
            Err(error) => error.to_string(),
        };
        tracing::info!("the sender is not back yet: {why}");
        if start.elapsed() > RETURN {
            return Err(CommandError::new(
                Exit::TimedOut,
                "the sender did not come back; start both ends again, and they go on where they ended, or remove what came, hidden files in the folder whose names end with .byway-part",
            ));
        }
    }
}

fn greet(
    line: &Line,
    stream: &Stream,
    credential: &Credential<'_>,
) -> Result<(Reader<Ear>, Secret), Refused> {
    let keys = line.keys_of_receiver(stream).map_err(io::Error::from)?;
    let mut reader = Reader::new(Ear::new(stream, GREETING));
    let secret = agree::receive(stream, &mut reader, &keys, credential)?;
    reader.source().trust()?;
    Ok((reader, secret))
}

fn explain(refused: &Refused) -> CommandError {
    match refused {
        Refused::WrongCode => CommandError::new(
            Exit::Refused,
            "the code is not the sender's, or somebody stands between; this code is used up: ask the sender for a new one",
        ),
        Refused::Stopped(Stop::Version(version)) => CommandError::new(
            Exit::Usage,
            format_args!("the sender speaks version {version} of transfers; update the older side"),
        ),
        Refused::Stopped(Stop::Cancelled) => CommandError::failed(
            "the sender was ended by its user; what came stays, and both go on with it when they are started again",
        ),
        Refused::Stopped(_) => CommandError::failed("the sender could not go on; ask its user"),
        Refused::Lost(lost) => CommandError::failed(format_args!(
            "the sender was lost while the code was checked ({lost}); try again"
        )),
    }
}

/// Asks the user on the terminal.
fn ask(question: &str) -> io::Result<bool> {
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
