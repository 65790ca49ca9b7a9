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
    let (mut pause, mut refused) = (PAUSE, None);
    loop {
        let left = patience.saturating_sub(start.elapsed());
        match attempt(left.max(PAUSE)) {
            Err(error) if passes(error) => {
                if start.elapsed() + pause >= patience {
                    return Err(error);
                }
                refused = Some(error);
            }
            Err(Error::TimedOut) => return Err(refused.unwrap_or(Error::TimedOut)),
            result => return result,
        }
        wait(pause);
        pause = (2 * pause).min(MAX_PAUSE);
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
                2 * PAUSE,
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
