//! `byway ping`: round trips to a listener, and the answering side in the command's own listeners.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Channel, ChannelKind, Client, Stream};
use byway::secure::PublicKey;
use byway::session::Profile;
use byway::{Error, Kind};
use clap::Args;
use serde_json::json;
use tracing::{debug, warn};

use super::failure::{Code, CommandError};
use super::open::{Opened, PARTING, reach_endpoint};
use super::options::{ClientOptions, Place, Role};
use super::peers::Target;
use super::signals::Signals;
use super::{announce, parse, retry, stdout};

/// What a connector greets with that wants its octets back, and what a listener greets with that gives them.
pub const GREETING: &[u8] = b"byway ping 1";

/// Octets of a ping, as many as other pings have by default: its number, and nothing.
const OCTETS: usize = 64;

/// How long a listener waits for the next ping: twice the longest time between two.
const IDLE: Duration = Duration::from_secs(2 * LONGEST);

/// The longest time between two pings, in seconds.
const LONGEST: u64 = 60;

/// How long the last answers may take.
const LAST: Duration = Duration::from_secs(10);

/// Stack of an answering thread, in octets: it copies.
const STACK: usize = 64 * 1024;

/// Whom to ping, and how often.
#[derive(Debug, Args)]
pub struct Options {
    /// Where somebody listens, as in camera:1
    #[arg(value_name = "NAME:PORT", value_parser = parse::place)]
    endpoint: Place,
    /// End after so many pings [default: at Ctrl-C]
    #[arg(short, long, value_name = "NUMBER", value_parser = parse::count)]
    count: Option<u64>,
    /// The time between two pings, at most 60
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0, value_parser = parse::interval)]
    interval: f64,
    /// Print one JSON document at the end, and nothing before
    #[arg(long)]
    json: bool,
    /// Connect only if the listener has this key
    #[arg(long, value_name = "KEYNAME", value_parser = parse::key_name, conflicts_with = "plain")]
    peer_key: Option<PublicKey>,
    #[command(flatten)]
    client: ClientOptions,
}

/// What the pings wait for.
enum News {
    /// The answer to the ping of this number came at this time.
    Answer(u64, Instant),
    /// The channel has ended.
    Over(Error),
    /// A signal asks for the end.
    Signal,
}

/// The figures of pings.
#[derive(Debug, Default)]
struct Figures {
    sent: u64,
    times: Times,
}

/// Round trips in milliseconds: how many, their sum and that of their squares, the least and the largest.
#[derive(Debug, Default)]
struct Times {
    number: u64,
    sum: f64,
    squares: f64,
    range: Option<(f64, f64)>,
}

impl Times {
    fn add(&mut self, time: Duration) {
        let ms = time.as_secs_f64() * 1000.0;
        self.number += 1;
        self.sum += ms;
        self.squares += ms * ms;
        let (least, most) = self.range.unwrap_or((ms, ms));
        self.range = Some((least.min(ms), most.max(ms)));
    }

    /// Least, mean, largest, and the standard deviation, as ping has them.
    fn summary(&self) -> Option<[f64; 4]> {
        let (least, most) = self.range?;
        let mean = self.sum / self.number as f64;
        let spread = (self.squares / self.number as f64 - mean * mean).max(0.0).sqrt();
        Some([least, mean, most, spread])
    }
}

/// How a listener is pinged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It gives octets back.
    Echo,
    /// It does not know pings: each is a handshake.
    Connect,
}

/// Pings, and prints the figures, in a document also why there are no more.
pub fn run(options: Options) -> Result<(), CommandError> {
    stdout::check()?;
    let json = options.json;
    let mut report =
        Report { endpoint: options.endpoint.to_string(), way: None, figures: Figures::default() };
    let pinged = ping(options, &mut report);
    let printed = report.print(json, pinged.as_ref().err());
    pinged.and(printed)
}

fn ping(options: Options, report: &mut Report) -> Result<(), CommandError> {
    let role = Role::Connects(options.endpoint);
    let Opened { client, endpoint, patience, .. } =
        reach_endpoint(options.client, role, Profile::TINY, 1)?;
    report.endpoint = endpoint.to_string();
    let (tell, news) = mpsc::channel();
    let mut signals = Signals::catch()?;
    let signalled = tell.clone();
    thread::Builder::new().spawn(move || {
        signals.asked();
        // A command that has ended meanwhile does not listen.
        let _ = signalled.send(News::Signal);
    })?;
    let target = Target { endpoint, key: options.peer_key };
    let first = retry::connect_with(&client, target, GREETING, patience)
        .map_err(|error| CommandError::connecting(error, Kind::Stream))?;
    let way = if first.greeting()? == GREETING { Way::Echo } else { Way::Connect };
    report.way = Some(way);
    if !options.json {
        announce(match way {
            Way::Echo => format!("ping {endpoint}: {OCTETS} octets there and back"),
            Way::Connect => format!(
                "ping {endpoint}: its listener is none of byway's command; each ping is a connection that is closed at once"
            ),
        });
    }
    let mut run = Run {
        client: &client,
        target,
        count: options.count.unwrap_or(u64::MAX),
        interval: Duration::from_secs_f64(options.interval),
        is_told: !options.json,
        figures: &mut report.figures,
    };
    let ended = match way {
        Way::Echo => run.echo(&first, tell, &news),
        Way::Connect => {
            first.abort();
            run.connect(&news, patience)
        }
    };
    // Nothing that a peer waits for is left.
    let _ = client.close(PARTING);
    match (report.figures.times.number, ended) {
        (1.., _) => Ok(()),
        (0, Err(error)) => Err(error.into()),
        (0, Ok(())) => Err(CommandError::new(
            Code::TimedOut,
            format_args!("no ping to {endpoint} was answered; see whether its program runs"),
        )),
    }
}

/// What there is to tell in the end.
struct Report {
    endpoint: String,
    /// `None`: it did not come to pings.
    way: Option<Way>,
    figures: Figures,
}

impl Report {
    fn print(&self, json: bool, error: Option<&CommandError>) -> Result<(), CommandError> {
        let Figures { sent, times } = &self.figures;
        let lost = sent.saturating_sub(times.number) as f64 * 100.0 / (*sent).max(1) as f64;
        let summary = times.summary();
        if json {
            let mut document = json!({
                "endpoint": self.endpoint,
                "way": self.way.map(|way| match way { Way::Echo => "echo", Way::Connect => "connect" }),
                "sent": sent,
                "answered": times.number,
                "loss_percent": lost,
                "min_ms": summary.map(|s| s[0]),
                "avg_ms": summary.map(|s| s[1]),
                "max_ms": summary.map(|s| s[2]),
                "mdev_ms": summary.map(|s| s[3]),
            });
            if let Some(error) = error {
                document["error"] = error.to_string().into();
            }
            return stdout::write(document);
        }
        if self.way.is_some() {
            announce(format_args!("{sent} sent, {} answered, {lost:.0} % lost", times.number));
            if let Some([least, mean, most, spread]) = summary {
                announce(format_args!(
                    "min/avg/max/mdev = {least:.1}/{mean:.1}/{most:.1}/{spread:.1} ms"
                ));
            }
        }
        Ok(())
    }
}

/// A run of pings.
struct Run<'a> {
    client: &'a Client,
    target: Target,
    count: u64,
    interval: Duration,
    is_told: bool,
    figures: &'a mut Figures,
}

impl Run<'_> {
    /// Sends octets, and waits for each to come back.
    fn echo(
        &mut self,
        stream: &Stream,
        tell: Sender<News>,
        news: &Receiver<News>,
    ) -> Result<(), Error> {
        let answers = stream.clone();
        let spawned = thread::Builder::new().spawn(move || read_answers(&answers, &tell));
        spawned.map_err(|_| byway::error::ResourceError::System)?;
        // When each ping was sent that has no answer, by number.
        let mut out = VecDeque::new();
        let mut next = Instant::now();
        let ended = loop {
            let now = Instant::now();
            if self.figures.sent < self.count && now >= next {
                let mut ping = [0; OCTETS];
                ping[..8].copy_from_slice(&self.figures.sent.to_be_bytes());
                out.push_back((self.figures.sent, now));
                self.figures.sent += 1;
                next = now + self.interval;
                if let Err(error) =
                    (&mut &*stream).write_all(&ping).and_then(|()| (&mut &*stream).flush())
                {
                    break Err(error.downcast::<Error>().unwrap_or(Error::Closed));
                }
            }
            if self.figures.sent == self.count && out.is_empty() {
                break Ok(());
            }
            let until = if self.figures.sent < self.count { next } else { next + LAST };
            match news.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(News::Answer(number, at)) => {
                    // Answers come in order.
                    while let Some(&(sent, since)) = out.front().filter(|(sent, _)| *sent <= number)
                    {
                        out.pop_front();
                        if sent == number {
                            self.answered(number, at.saturating_duration_since(since));
                        }
                    }
                }
                Ok(News::Over(error)) => break Err(error),
                Ok(News::Signal) | Err(RecvTimeoutError::Disconnected) => break Ok(()),
                Err(RecvTimeoutError::Timeout) if self.figures.sent < self.count => {}
                Err(RecvTimeoutError::Timeout) => break Ok(()),
            }
        };
        stream.abort();
        ended
    }

    /// Connects again and again.
    fn connect(&mut self, news: &Receiver<News>, patience: Duration) -> Result<(), Error> {
        let mut last = Ok(());
        while self.figures.sent < self.count {
            let (number, since) = (self.figures.sent, Instant::now());
            self.figures.sent += 1;
            last = retry::connect_once(self.client, self.target, patience).map(|stream| {
                self.answered(number, since.elapsed());
                stream.abort();
            });
            if self.figures.sent == self.count {
                break;
            }
            let left = self.interval.saturating_sub(since.elapsed());
            match news.recv_timeout(left) {
                Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        last
    }

    fn answered(&mut self, number: u64, time: Duration) {
        self.figures.times.add(time);
        if self.is_told {
            let ms = time.as_secs_f64() * 1000.0;
            let endpoint = self.target.endpoint;
            announce(format_args!("{OCTETS} octets from {endpoint}: seq={number} time={ms:.1} ms"));
        }
    }
}

fn read_answers(stream: &Stream, tell: &Sender<News>) {
    let mut octets = [0; OCTETS];
    loop {
        let news = match (&mut &*stream).read_exact(&mut octets) {
            Ok(()) => {
                let number =
                    octets.first_chunk().map_or(u64::MAX, |first| u64::from_be_bytes(*first));
                News::Answer(number, Instant::now())
            }
            Err(error) => News::Over(error.downcast::<Error>().unwrap_or(Error::Closed)),
        };
        let is_over = matches!(news, News::Over(_));
        if tell.send(news).is_err() || is_over {
            return;
        }
    }
}

/// Whether an accepted channel is a ping's.
pub fn is_ping<K: ChannelKind>(channel: &Channel<K>) -> bool {
    channel.greeting().is_ok_and(|greeting| greeting == GREETING)
}

/// Gives the octets of a ping's channel back until it ends, or none came for long.
pub fn answer(stream: &Stream) {
    let mut octets = [0; OCTETS];
    let mut echo = || -> Result<(), Error> {
        loop {
            let read = stream.recv_timeout(&mut octets, Some(IDLE))?;
            let mut left = &octets[..read];
            if left.is_empty() {
                return Ok(());
            }
            while !left.is_empty() {
                let sent = stream.send_timeout(left, Some(IDLE))?;
                left = &left[sent..];
            }
            stream.flush_timeout(Some(IDLE))?;
        }
    };
    let ended = echo();
    debug!("a ping's channel ended: {ended:?}");
    stream.abort();
}

/// Waits until `accept` gives a connection that is no ping, and answers pings meanwhile.
pub fn accept(accept: impl Fn() -> Result<Stream, Error>) -> Result<Stream, Error> {
    loop {
        let stream = accept()?;
        if !is_ping(&stream) {
            return Ok(stream);
        }
        let pinged = stream.clone();
        let started = thread::Builder::new().stack_size(STACK).spawn(move || answer(&pinged));
        if let Err(error) = started {
            warn!("cannot answer a ping: {error}");
            stream.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_has_least_mean_largest_and_deviation() {
        let mut times = Times::default();
        assert_eq!(times.summary(), None);
        for ms in [1, 2, 3, 6] {
            times.add(Duration::from_millis(ms));
        }
        let [least, mean, most, spread] = times.summary().expect("there are some");
        assert_eq!((least, mean, most), (1.0, 3.0, 6.0));
        assert!((spread - 3.5_f64.sqrt()).abs() < 1e-9, "{spread}");
    }
}
