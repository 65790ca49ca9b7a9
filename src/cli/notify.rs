//! What a service manager such as systemd is told of this process, where `NOTIFY_SOCKET` names its socket.

use std::fmt::Display;
use std::time::Duration;

use sd_notify::NotifyState::{self, ExtendTimeoutUsec, Ready, Reloading, Status, Stopping};
use tracing::debug;

/// What a busy machine may take beside what a process waits for when it ends.
const SPARE: Duration = Duration::from_secs(5);

/// The process is ready for work.
pub fn ready(status: impl Display) {
    send(&[Ready, Status(&status.to_string())]);
}

/// How the process fares, in a line for people.
pub fn status(line: impl Display) {
    send(&[Status(&line.to_string())]);
}

/// The process reads its files again; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[Reloading, now]),
        Err(error) => debug!("no time for the service manager: {error}"),
    }
}

/// The process ends, and takes at most so long for it, however short a time its unit gives it.
pub fn stopping(most: Duration) {
    let most = u32::try_from((most + SPARE).as_micros()).unwrap_or(u32::MAX);
    send(&[Stopping, ExtendTimeoutUsec(most)]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!("the service manager is not told: {error}");
    }
}
