//! Retries: waiting for an endpoint that is held, and for a listener that is not there yet.

use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Channel, ChannelKind, Client, Listener, Stream};
use byway::error::{ConfigError, PeerError};
use byway::{Endpoint, Error};

use super::peers::{self, Target};
use super::{notify, ping, say};

/// The first and the longest pause before another try; each pause is twice the one before. A channel
/// that both ends have closed is free about a round trip later, without a notice; a name is free 5 s
/// after the death of its holder.
const PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// The first and the longest pause behind BACKLOG_FULL, which costs the listener's client an exchange
/// each time: the protocol page advises so on connecting, and `Client::connect` does so.
const FULL_PAUSE: Duration = Duration::from_millis(500);
const MAX_FULL_PAUSE: Duration = Duration::from_secs(5);

/// Claims the endpoint, and waits within `patience` for an endpoint in use: its holder may be dead,
/// which the relay knows only after a while.
pub fn listen<K: ChannelKind>(
    client: &Client,
    endpoint: Endpoint,
    patience: Duration,
) -> Result<Listener<Channel<K>>, Error> {
    let mut tell = Teller::new(patience);
    patiently(
        patience,
        notify::alive_for,
        |left| client.listen_greeting(endpoint, ping::GREETING, left),
        |error| match error {
            Error::Config(ConfigError::InUse) => {
                let line = "is held by another client, or by one that died a moment ago";
                tell.once(error, endpoint, line);
                true
            }
            _ => false,
        },
    )
}

/// Connects, and waits within `patience` for a listener that is not there yet, or full.
pub fn connect(client: &Client, target: Target, patience: Duration) -> Result<Stream, Error> {
    connect_with(client, target, &[], patience)
}

/// Connects with a greeting; else as [`connect`].
pub fn connect_with(
    client: &Client,
    target: Target,
    greeting: &[u8],
    patience: Duration,
) -> Result<Stream, Error> {
    let endpoint = target.endpoint;
    let mut tell = Teller::new(patience);
    patiently(
        patience,
        thread::sleep,
        |left| open(target.start_connect_with(client, greeting)?, target, left),
        |error| match error {
            Error::Peer(PeerError::NoListener) => {
                tell.once(error, endpoint, "has no listener yet");
                true
            }
            Error::Peer(PeerError::BacklogFull) => {
                tell.once(error, endpoint, "takes no more connections for now");
                true
            }
            _ => false,
        },
    )
}

/// Connects with a single try. `Client::connect` would try again by itself where the listener has no
/// room; the command tells the user of that.
pub fn connect_once(client: &Client, target: Target, left: Duration) -> Result<Stream, Error> {
    open(target.start_connect(client)?, target, left)
}

fn open(stream: Stream, target: Target, left: Duration) -> Result<Stream, Error> {
    stream.wait_open(left)?;
    peers::tell_key(&stream, target.endpoint);
    Ok(stream)
}

/// Tries until an attempt succeeds, or fails with an error that does not pass, or `patience` is over:
/// then the result is the last error that passes. `wait` waits between two attempts.
pub fn patiently<T>(
    patience: Duration,
    mut wait: impl FnMut(Duration),
    mut attempt: impl FnMut(Duration) -> Result<T, Error>,
    mut passes: impl FnMut(Error) -> bool,
) -> Result<T, Error> {
    let start = Instant::now();
    let (mut pauses, mut refused) = (Pauses::new(), None);
    loop {
        let left = patience.saturating_sub(start.elapsed());
        let pause = match attempt(left.max(PAUSE)) {
            Err(error) if passes(error) => {
                let pause = pauses.next(error);
                if start.elapsed() + pause >= patience {
                    return Err(error);
                }
                refused = Some(error);
                pause
            }
            Err(Error::TimedOut) => return Err(refused.unwrap_or(Error::TimedOut)),
            result => return result,
        };
        wait(pause);
    }
}

/// The pauses before the next attempts.
#[derive(Debug)]
struct Pauses {
    soon: Duration,
    full: Duration,
}

impl Pauses {
    fn new() -> Self {
        Self { soon: PAUSE, full: FULL_PAUSE }
    }

    fn next(&mut self, error: Error) -> Duration {
        let (next, most) = match error {
            Error::Peer(PeerError::BacklogFull) => (&mut self.full, MAX_FULL_PAUSE),
            _ => (&mut self.soon, MAX_PAUSE),
        };
        let pause = *next;
        *next = (2 * pause).min(most);
        pause
    }
}

/// Tells the user what the command waits for.
struct Teller {
    patience: Duration,
    told: Option<Error>,
}

impl Teller {
    fn new(patience: Duration) -> Self {
        Self { patience, told: None }
    }

    fn once(&mut self, error: Error, endpoint: Endpoint, line: &str) {
        if self.told.replace(error) != Some(error) {
            let seconds = self.patience.as_secs();
            say(format_args!("{endpoint} {line}: waiting up to {seconds} s (--timeout)"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Error = Error::Peer(PeerError::BacklogFull);

    #[test]
    fn refusal_is_the_result_once_the_time_is_over() {
        for later in [FULL, Error::TimedOut] {
            let mut attempts = 0;
            let result = patiently::<()>(
                2 * FULL_PAUSE,
                thread::sleep,
                |_| {
                    attempts += 1;
                    Err(if attempts == 1 { FULL } else { later })
                },
                |error| error == FULL,
            );
            assert_eq!(result, Err(FULL));
            assert!(attempts > 1);
        }
    }

    #[test]
    fn full_backlog_is_asked_again_as_the_protocol_advises() {
        let mut pauses = Pauses::new();
        let full: Vec<_> = (0..6).map(|_| pauses.next(FULL).as_millis()).collect();
        assert_eq!(full, [500, 1000, 2000, 4000, 5000, 5000]);
        // The pauses of one cause do not lengthen those of the other.
        let away = Error::Peer(PeerError::NoListener);
        let soon: Vec<_> = (0..6).map(|_| pauses.next(away).as_millis()).collect();
        assert_eq!(soon, [50, 100, 200, 400, 500, 500]);
    }

    #[test]
    fn error_that_does_not_pass_is_not_retried() {
        let mut attempts = 0;
        let result = patiently::<()>(
            Duration::from_secs(600),
            thread::sleep,
            |_| {
                attempts += 1;
                Err(Error::Closed)
            },
            |error| error == FULL,
        );
        assert_eq!((result, attempts), (Err(Error::Closed), 1));
    }
}
