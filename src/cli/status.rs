//! `byway status`: whether and how the relay is reached with these settings.

use std::time::{Duration, Instant};

use byway::client::Config;
use byway::error::{Blocked, TransportError};
use byway::session::Profile;
use byway::transport::ExchangeFailure;
use byway::transport::probe::{Framing, ProbeWay};
use clap::Args;
use serde_json::{Value, json};

use super::doctor::asking::{ECHO, PATIENCE, ask, ask_on, on_new};
use super::doctor::way::issuer;
use super::doctor::{Greeting, greet, ms};
use super::failure::{Code, CommandError};
use super::options::ClientOptions;
use super::{announce, stdout};

/// Exchanges that are timed.
const EXCHANGES: u32 = 5;

/// The pieces of an answer by which streaming is told from long polls, and the time between two.
const PIECES: u32 = 5;
const GAP: Duration = Duration::from_millis(60);

/// What the status is of.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    client: ClientOptions,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What there is to tell, in order, and the shortest and the mean time of an exchange.
#[derive(Default)]
struct Status {
    fields: Vec<(&'static str, Value)>,
    exchange: Option<(Duration, Duration)>,
}

impl Status {
    fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        self.fields.push((name, value.into()));
    }

    fn print(self, json: bool, error: Option<&CommandError>) -> Result<(), CommandError> {
        if json {
            let mut object: serde_json::Map<_, _> = self
                .fields
                .into_iter()
                .map(|(name, value)| (name.replace(' ', "_"), value))
                .collect();
            if let Some(error) = error {
                object.insert("error".into(), error.to_string().into());
            }
            if let Some((least, mean)) = self.exchange {
                let ms = |time: Duration| time.as_secs_f64() * 1000.0;
                object.insert("exchange_ms".into(), json!({ "min": ms(least), "avg": ms(mean) }));
            }
            return stdout::write(Value::Object(object));
        }
        for (name, value) in self.fields {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            announce(format_args!("{name:<10} {text}"));
        }
        if let Some((least, mean)) = self.exchange {
            announce(format_args!(
                "{:<10} {} at least, {} on average",
                "exchange",
                ms(least),
                ms(mean)
            ));
        }
        Ok(())
    }
}

/// Asks the relay, and prints what it finds, in a document also why that is not all.
pub fn run(options: Options) -> Result<(), CommandError> {
    stdout::check()?;
    let mut status = Status::default();
    let looked = prepare(options.client).and_then(|(config, way)| look(&way, &config, &mut status));
    let printed = status.print(options.json, looked.as_ref().err());
    looked.and(printed)
}

fn prepare(options: ClientOptions) -> Result<(Config, ProbeWay), CommandError> {
    let config = options.complete()?.config(Profile::TINY, 1)?;
    let way = ProbeWay::new(&config.http()).map_err(byway::Error::from)?;
    way.shows_token().map_err(byway::Error::from)?;
    Ok((config, way))
}

/// The failure of the way, with what was seen.
fn fail(failure: &ExchangeFailure) -> CommandError {
    byway::Error::Transport(TransportError::Blocked(failure.cause)).into()
}

fn look(way: &ProbeWay, config: &Config, status: &mut Status) -> Result<(), CommandError> {
    status.add("relay", config.url.clone());
    let proxy = way.proxy().map_or("none".into(), |(host, port)| format!("{host}:{port}"));
    status.add("proxy", proxy);
    let addresses = way.resolve().map_err(|failure| fail(&failure))?;
    let (address, mut socket) = way.connect(&addresses).map_err(|failure| fail(&failure))?;
    status.add("address", address.to_string());
    way.tunnel(&mut socket).map_err(|failure| fail(&failure))?;
    let (shown, shaken) = way.shake(socket);
    if let Some(issuer) = issuer(&shown) {
        status.add("signed by", issuer);
    }
    let mut line = shaken.map_err(|failure| fail(&failure))?;
    let echo = match greet(way, &mut line).map_err(|failure| fail(&failure))? {
        Greeting::Relay(_, echo) => echo,
        Greeting::Older(_) => {
            let began = Instant::now();
            byway::client::Client::open(config.clone())?;
            status.add(
                "exchange",
                json!({ "first_ms": began.elapsed().as_secs_f64() * 1000.0 }).to_string(),
            );
            return Ok(());
        }
        Greeting::Foreign(answer, _) => {
            return Err(match answer.refusal {
                _ if answer.first_line().starts_with("byway relay:") && answer.status != 401 => {
                    CommandError::new(Code::Blocked, answer.first_line())
                }
                Some(cause) => byway::Error::Transport(TransportError::Blocked(cause)).into(),
                None => byway::Error::Transport(TransportError::Blocked(Blocked::Foreign)).into(),
            });
        }
    };
    status.add("protocol", echo.protocol);
    if let Some(router) = echo.router {
        status.add("router", router.clone());
        if router == "nowhere" {
            return Err(CommandError::new(
                Code::Blocked,
                "no relay of the cluster is in charge now; come back in a moment, or ask the relay's operator whether its bus is there",
            ));
        }
    }
    status.add("access", access(way)?);
    let mut times = Vec::new();
    for _ in 0..EXCHANGES {
        // A front may close connections behind answers: then the time has that of a new one in it.
        let began = Instant::now();
        let answer = ask_on(way, &mut line, ECHO, b"x", PATIENCE);
        match answer {
            Ok(answer) if answer.is_whole && !answer.serves_one() => {}
            Ok(_) | Err(_) => line = on_new(way, Ok).map_err(|failure| fail(&failure))?,
        }
        times.push(began.elapsed());
    }
    let least = times.iter().min().copied().unwrap_or_default();
    let mean = times.iter().sum::<Duration>() / EXCHANGES;
    status.exchange = Some((least, mean));
    status.add("answers", if streams(way) { "streaming" } else { "long polls" });
    Ok(())
}

/// Who may use the relay, and whether that is by this client's token.
fn access(way: &ProbeWay) -> Result<&'static str, CommandError> {
    if !way.shows_token().map_err(byway::Error::from)? {
        return Ok("open, no token is wanted");
    }
    let head = way.head(ECHO, Framing::Counted(1), false);
    let asked = on_new(way, |mut line| {
        line.ask(&head, &[b"x"], Duration::ZERO, PATIENCE, way.is_forwarded())
    });
    Ok(match asked.map_err(|failure| fail(&failure))?.status {
        200 => "open, the token is not looked at",
        _ => "by this client's token",
    })
}

/// Whether an answer comes in the pieces in which it is sent.
fn streams(way: &ProbeWay) -> bool {
    let path = format!("/v1/probe/stream?n=1&pieces={PIECES}&ms={}", GAP.as_millis());
    ask(way, &path, b"x", PATIENCE).is_ok_and(|answer| {
        let first = answer.pieces.first().map_or(answer.end_at, |piece| piece.at);
        answer.status == 200 && answer.end_at.saturating_sub(first) > GAP * (PIECES - 1) / 2
    })
}
