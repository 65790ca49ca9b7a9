//! `byway send`: offers files at a code until a receiver has them.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use byway::Error;
use byway::client::{Listener, Stream};
use byway::error::ConfigError;
use clap::Args;

use super::agree::{self, Refused};
use super::amount::Budget;
use super::code::Code;
use super::ear::Ear;
use super::kept::Kept;
use super::line::{Line, no_entropy};
use super::message::{Reader, Secret, Stop};
use super::outgoing::{self, End, Totals};
use super::progress::{Audience, Count};
use super::tree;
use crate::cli::failure::{Code as Exit, CommandError};
use crate::cli::options::ClientOptions;
use crate::cli::{LAST_WORD, retry, say, tell};

/// How long a connection may take to show that it has the code: others wait meanwhile.
const GREETING: Duration = Duration::from_secs(20);

/// How long a receiver is waited for: as long as the code may be used.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Numbers that are tried until one is free: with so many taken the relay is misused.
const TRIES: u32 = 20;

/// Options of `byway send`.
#[derive(Debug, Args)]
pub struct SendOptions {
    /// Files and folders
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// A code of your own, a number and words: 8 letters at least, which nobody guesses in one try. Others may see
    /// it in the list of processes [default: a random one]
    #[arg(long, value_name = "N-WORDS", value_parser = Code::chosen)]
    code: Option<Code>,
    #[command(flatten)]
    audience: Audience,
    #[command(flatten)]
    client: ClientOptions,
}

/// What the code's words are worth.
#[derive(Debug, Clone, Copy)]
enum Words {
    /// Nobody has shown to know them: a wrong guess ends the transfer.
    Fresh,
    /// A receiver has, and goes on by the transfer's secret, whatever others guess.
    Known,
    /// Somebody has guessed wrong since.
    Used,
}

/// What the thread that accepts tells.
enum Event {
    /// A receiver with the right code.
    Receiver(Stream, Reader<Ear>),
    /// Somebody tried another code.
    Guessed,
    Failed(Error),
}

pub fn run(options: SendOptions) -> Result<(), CommandError> {
    let audience = options.audience;
    let result = send(options);
    audience.result(&result);
    result
}

fn send(options: SendOptions) -> Result<(), CommandError> {
    let items = tree::items(&options.paths)?;
    let totals = Totals::of(&items);
    let given = options.client.given_relay().map(str::to_owned);
    let client = options.client.complete()?;
    let mut kept = Kept::open(&items, client.relay()?);
    let before = kept.as_mut().and_then(Kept::load);
    let before = before.filter(|(code, _)| options.code.as_ref().is_none_or(|own| own == code));
    let secret = match &before {
        Some((_, secret)) => *secret,
        None => {
            let mut octets = [0; 32];
            getrandom::fill(&mut octets).map_err(no_entropy)?;
            Secret(octets)
        }
    };
    // A process that goes on with the transfer takes the endpoint over at once.
    let owner = blake3::derive_key("byway 2026-11 owner of a transfer's endpoint", &secret.0);
    let line = Line::open(&client, owner.first_chunk().copied())?;
    let code = before.map(|(code, _)| code).or(options.code);
    let (listener, code) = listen(&line, code)?;
    if let Some(kept) = &mut kept
        && let Err(error) = kept.save(&code, &secret)
    {
        say(format_args!("byway: this transfer cannot go on in another process: {error}"));
    }
    let relay = given.map(|url| format!(" --relay {url}")).unwrap_or_default();
    let command = format!("byway receive {code}{relay}");
    options.audience.code(&code.to_string(), &command);

    let (give, events) = mpsc::sync_channel(1);
    let (accepting, known) = (line.clone(), code.clone());
    let kept = Arc::new(Mutex::new(kept));
    // A code that somebody may go on guessing is for no other process.
    let used = Arc::clone(&kept);
    let use_up = move || forget(&used);
    thread::Builder::new()
        .spawn(move || accept(&accepting, &listener, &known, &secret, &give, &use_up))?;
    let result = serve(&line, &items, totals, options.audience, &events);
    if let Ok(_) | Err((_, Stays::Used)) = &result {
        forget(&kept);
    }
    let closed = line.client.close(LAST_WORD);
    if let Err(error) = closed {
        tracing::info!("the relay may not know yet that this end has ended: {error}");
    }
    match result {
        Ok(0) => Ok(()),
        Ok(faults) => Err(CommandError::failed(format_args!(
            "not sent: {}, as told above; look there, and send again",
            Count::files(faults)
        ))),
        Err((error, _)) => Err(error),
    }
}

fn forget(kept: &Mutex<Option<Kept>>) {
    if let Some(kept) = kept.lock().unwrap_or_else(PoisonError::into_inner).take() {
        kept.forget();
    }
}

/// Whether the code of a transfer that failed may be used again.
enum Stays {
    Good,
    Used,
}

/// Serves one receiver after the other until one has everything; gives how many files could not be sent.
fn serve(
    line: &Line,
    items: &[tree::Item],
    mut totals: Totals,
    audience: Audience,
    events: &Receiver<Event>,
) -> Result<u64, (CommandError, Stays)> {
    loop {
        let (stream, reader) = match events.recv_timeout(PATIENCE) {
            Ok(Event::Receiver(stream, reader)) => (stream, reader),
            Ok(Event::Guessed) => {
                let line = "somebody tried a wrong code, so that this one is used up: a typing error, or a guess; run byway send again for a new code";
                return Err((CommandError::new(Exit::Refused, line), Stays::Used));
            }
            Ok(Event::Failed(error)) => return Err((error.into(), Stays::Good)),
            Err(_) => {
                let line = "no receiver came within a day; send again when there is one";
                return Err((CommandError::new(Exit::TimedOut, line), Stays::Used));
            }
        };
        let mut budget = Budget::default();
        totals = totals.again(items, |path, thing| budget.offer(path, thing));
        let end = outgoing::carry(line, &stream, reader, items, totals, budget, audience);
        let why = match end {
            Ok(faults) => return Ok(faults),
            Err(End::Stopped(Stop::Declined)) => {
                let line = "the receiver does not want it; ask its user why";
                return Err((CommandError::new(Exit::Refused, line), Stays::Used));
            }
            Err(End::Stopped(Stop::Cancelled)) => {
                let line = "the receiver was ended by its user; run byway send again to go on";
                return Err((CommandError::failed(line), Stays::Good));
            }
            Err(End::Stopped(_)) => "the receiver could not go on".to_owned(),
            Err(End::Lost(why)) => format!("the receiver is lost ({why})"),
        };
        stream.abort();
        say(format_args!(
            "byway: {why}; waiting for it to come again with the same code (Ctrl-C ends)"
        ));
    }
}

/// Listens at the code's endpoint; without a code, at the first random one that is free.
fn listen(line: &Line, code: Option<Code>) -> Result<(Listener<Stream>, Code), CommandError> {
    if let Some(code) = code {
        let listener = retry::listen(&line.client, code.endpoint()?, line.patience)?;
        return Ok((listener, code));
    }
    let mut taken = 0;
    loop {
        let code = Code::random(taken).map_err(no_entropy)?;
        match line.client.listen_timeout(code.endpoint()?, line.patience) {
            Err(Error::Config(ConfigError::InUse)) if taken < TRIES => taken += 1,
            listener => return Ok((listener?, code)),
        }
    }
}

/// Accepts receivers with the right code. A new one takes the place of the one before, which may be dead.
fn accept(
    line: &Line,
    listener: &Listener<Stream>,
    code: &Code,
    secret: &Secret,
    give: &SyncSender<Event>,
    use_up: &dyn Fn(),
) {
    let mut words = Words::Fresh;
    loop {
        let stream = match listener.accept() {
            Ok(stream) => stream,
            Err(error) => {
                let _ = give.send(Event::Failed(error));
                return;
            }
        };
        let right = match words {
            Words::Fresh | Words::Known => Some(code),
            Words::Used => None,
        };
        let event = match (greet(line, &stream, right, secret), words) {
            (Ok(reader), _) => {
                line.take(&stream);
                if let Words::Fresh = words {
                    words = Words::Known;
                }
                Event::Receiver(stream, reader)
            }
            (Err(Refused::WrongCode), Words::Fresh) => Event::Guessed,
            (Err(Refused::WrongCode), Words::Known | Words::Used) => {
                if let Words::Known = words {
                    tell(format_args!(
                        "byway: somebody tried a wrong code, so that this one is used up; the receiver that had it goes on as long as it runs, another one needs a new code: run byway send again"
                    ));
                }
                words = Words::Used;
                use_up();
                stream.abort();
                continue;
            }
            (Err(why), _) => {
                tracing::info!("a connection ended before it showed that it has the code: {why}");
                stream.abort();
                continue;
            }
        };
        let is_over = matches!(event, Event::Guessed);
        if give.send(event).is_err() || is_over {
            return;
        }
    }
}

fn greet(
    line: &Line,
    stream: &Stream,
    code: Option<&Code>,
    secret: &Secret,
) -> Result<Reader<Ear>, Refused> {
    let keys = line.keys_of_sender(stream).map_err(std::io::Error::from)?;
    let mut reader = Reader::new(Ear::new(stream, GREETING));
    agree::send(stream, &mut reader, &keys, code, secret)?;
    reader.source().trust()?;
    Ok(reader)
}
