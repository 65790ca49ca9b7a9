//! Waiting for an endpoint that is held, and for a listener that is not there yet.

use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Listener, Stream};
use byway::error::{ConfigError, PeerError};
use byway::{Endpoint, Error};

use super::say;

/// First and longest pause before what was refused is asked for again; each is twice the one
/// before. A channel that both ends have closed is free about a round trip later, and nobody says
/// so; a name is free 5 s after the death of its holder.
const PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// The same behind BACKLOG_FULL, which each time costs the listener's client an exchange, while it
/// has no room: the protocol page's advice on connecting, and what `Client::connect` does.
const FULL_PAUSE: Duration = Duration::from_millis(500);
const MAX_FULL_PAUSE: Duration = Duration::from_secs(5);

/// Claims the endpoint. One that is in use is waited for, within `patience`: its holder may be
/// dead, which the relay knows only after a while.
pub fn listen(
    client: &Client,
    endpoint: Endpoint,
    patience: Duration,
) -> Result<Listener<Stream>, Error> {
    let mut tell = Teller::new(patience);
    patiently(
        patience,
        thread::sleep,
        |left| client.listen_timeout(endpoint, left),
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

/// Connects. A listener that is not there yet, or full, is waited for, within `patience`.
pub fn connect(client: &Client, endpoint: Endpoint, patience: Duration) -> Result<Stream, Error> {
    let mut tell = Teller::new(patience);
    patiently(
        patience,
        thread::sleep,
        |left| connect_once(client, endpoint, left),
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

/// Connects without trying again where the listener has no room, as the client would by itself: here
/// that is told.
pub fn connect_once(client: &Client, endpoint: Endpoint, left: Duration) -> Result<Stream, Error> {
    let stream = client.start_connect(endpoint)?;
    stream.wait_open(left)?;
    Ok(stream)
}

/// Tries until that succeeds, or fails by what does not pass, or `patience` is over: then it is what
/// was waited for last that counts. `wait` waits between two attempts.
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

/// How long to wait before the next attempt.
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

/// Says for what the command waits.
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
    fn a_refusal_counts_once_the_time_is_over() {
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
    fn a_full_backlog_is_asked_again_as_the_protocol_advises() {
        let mut pauses = Pauses::new();
        let full: Vec<_> = (0..6).map(|_| pauses.next(FULL).as_millis()).collect();
        assert_eq!(full, [500, 1000, 2000, 4000, 5000, 5000]);
        // One does not slow the other down.
        let away = Error::Peer(PeerError::NoListener);
        let soon: Vec<_> = (0..6).map(|_| pauses.next(away).as_millis()).collect();
        assert_eq!(soon, [50, 100, 200, 400, 500, 500]);
    }

    #[test]
    fn an_error_that_does_not_pass_is_not_waited_for() {
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
