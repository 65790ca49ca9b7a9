//! What was lost is tried again: claims by this end, the path to the relay by the client itself.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, ClientEvent};
use byway::error::{ConfigError, KeyNameFault, TransportError};
use byway::{Endpoint, Error};

use crate::cli::{notify, say};

/// The first and the longest pause before an endpoint is claimed again; each pause is twice the one
/// before. Another holder is gone in seconds if it was restarted, or stays for hours.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// By how much a pause is shortened at most, in percent: forwards that lost a relay at the same time are not
/// to come back at the same time.
const JITTER: u32 = 25;

/// How long a claim waits for the relay's answer before it is made anew.
const ANSWER: Duration = Duration::from_secs(20);

/// How long the path to the relay is blocked before a line tells of it: a restart of the relay takes less.
const SOON: Duration = Duration::from_secs(3);

/// Pauses that double, each with some jitter.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Backoff {
    pub fn new() -> Self {
        Self(FIRST)
    }

    pub fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (2 * pause).min(LONGEST);
        // Without random numbers there is no jitter.
        let random = getrandom::u32().unwrap_or(0) % (JITTER + 1);
        pause * (100 - random) / 100
    }
}

/// Whether an endpoint that was lost for this reason may be had again.
pub fn passes(error: Error) -> bool {
    match error {
        // A token that was revoked, or a policy that was changed, may come back.
        Error::Config(
            ConfigError::InUse
            | ConfigError::Forbidden
            | ConfigError::KeyName(KeyNameFault::Unproved),
        )
        | Error::Resource(_)
        | Error::TimedOut
        | Error::Transport(TransportError::Blocked(_)) => true,
        // A newer process of the same owner has it: two that claim it again and again would fight.
        Error::Config(ConfigError::Taken) => false,
        _ => false,
    }
}

/// Claims an endpoint again, until that succeeds or fails for a reason that does not pass. The first failure is
/// told, and the success.
pub fn claim<L>(
    endpoint: Endpoint,
    lost: Error,
    mut attempt: impl FnMut(Duration) -> Result<L, Error>,
) -> Result<L, Error> {
    let (began, mut backoff) = (Instant::now(), Backoff::new());
    say(format_args!("{endpoint}: lost: {lost}: trying again until it is free"));
    notify::status(format_args!("{endpoint} lost: {lost}"));
    loop {
        notify::alive_for(backoff.next());
        match attempt(notify::turn().map_or(ANSWER, |turn| turn.min(ANSWER))) {
            Err(error) if passes(error) => {}
            Err(error) => return Err(error),
            Ok(listener) => {
                let lasted = began.elapsed().as_secs();
                say(format_args!("listening on {endpoint} again after {lasted} s"));
                notify::status(format_args!("listening on {endpoint}"));
                return Ok(listener);
            }
        }
    }
}

/// How the path to the relay is.
enum Path {
    Open,
    /// It is blocked, which is not told yet.
    Blocked {
        since: Instant,
        cause: String,
    },
    Told {
        since: Instant,
    },
}

/// Tells when the relay is away for longer than a moment, and when it is back. The client itself tries on.
pub fn watch_path(client: &Client) -> io::Result<()> {
    let client = client.clone();
    thread::Builder::new().spawn(move || {
        let mut path = Path::Open;
        loop {
            let wait = match &path {
                Path::Blocked { since, .. } => Some(SOON.saturating_sub(since.elapsed())),
                Path::Open | Path::Told { .. } => None,
            };
            path = match (client.wait_event(wait), path) {
                (Ok(ClientEvent::PathBlocked { cause, .. }), Path::Open) => {
                    Path::Blocked { since: Instant::now(), cause: cause.to_string() }
                }
                (Ok(ClientEvent::PathBlocked { cause, .. }), Path::Blocked { since, .. }) => {
                    Path::Blocked { since, cause: cause.to_string() }
                }
                (Ok(ClientEvent::PathRestored), Path::Told { since }) => {
                    let lasted = since.elapsed().as_secs();
                    say(format_args!("the relay is back after {lasted} s"));
                    notify::status("the relay is reached");
                    Path::Open
                }
                (Ok(ClientEvent::PathRestored), _) => Path::Open,
                (Ok(_), path) => path,
                (Err(Error::TimedOut), Path::Blocked { since, cause }) => {
                    say(format_args!(
                        "path to the relay blocked: {cause}: trying on until it is back"
                    ));
                    notify::status(format_args!("path to the relay blocked: {cause}"));
                    Path::Told { since }
                }
                (Err(Error::TimedOut | Error::Cancelled), path) => path,
                // The forward ends, and says why.
                (Err(_), _) => return,
            };
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_less_a_quarter_at_most() {
        let mut backoff = Backoff::new();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let (most, pause) = (Duration::from_secs(seconds), backoff.next());
            assert!(pause <= most && pause >= most * 3 / 4, "{pause:?} of {most:?}");
        }
    }

    #[test]
    fn newer_process_of_the_owner_is_not_fought() {
        assert!(!passes(ConfigError::Taken.into()));
        assert!(!passes(ConfigError::Version { relay: 9 }.into()));
        assert!(passes(ConfigError::InUse.into()));
        assert!(passes(ConfigError::Forbidden.into()));
    }
}
