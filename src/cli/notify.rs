//! What a service manager such as systemd is told of this process, where `NOTIFY_SOCKET` names its socket.

use std::fmt::Display;
use std::panic;
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState::{
    self, ExtendTimeoutUsec, Ready, Reloading, Status, Stopping, Watchdog,
};
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

/// What a service manager is told so that it knows that the process does not hang (`WatchdogSec`). The thread that does the
/// command's work says so between its waits: if it hangs, nobody does.
struct Pulse {
    /// How long this thread waits at most at a time: half of what the service manager does.
    turn: Duration,
    /// When it was last told.
    told: Mutex<Option<Instant>>,
}

static PULSE: LazyLock<Option<Pulse>> = LazyLock::new(|| {
    let turn = sd_notify::watchdog_enabled()? / 2;
    (!turn.is_zero()).then(|| Pulse { turn, told: Mutex::new(None) })
});

/// How long the thread that does the command's work may wait for something before it calls [`alive`].
pub fn turn() -> Option<Duration> {
    PULSE.as_ref().map(|pulse| pulse.turn)
}

/// The thread that does the command's work gets on with it.
pub fn alive() {
    let Some(pulse) = &*PULSE else { return };
    let mut told = pulse.told.lock().unwrap_or_else(PoisonError::into_inner);
    // After half a turn, so that a whole one that follows is not too long.
    if told.is_none_or(|told| told.elapsed() >= pulse.turn / 2) {
        *told = Some(Instant::now());
        send(&[Watchdog]);
    }
}

/// Waits by turns of `wait`, which gives nothing when a turn is over.
pub fn alive_until<T>(mut wait: impl FnMut(Option<Duration>) -> Option<T>) -> T {
    loop {
        alive();
        if let Some(waited) = wait(turn()) {
            return waited;
        }
    }
}

/// Waits for so long.
pub fn alive_for(time: Duration) {
    let until = Instant::now() + time;
    alive_until(|turn| {
        let left = until.saturating_duration_since(Instant::now());
        thread::sleep(turn.map_or(left, |turn| turn.min(left)));
        (Instant::now() >= until).then_some(())
    });
}

/// Does work that takes as long as somebody else likes, as a whole transfer.
pub fn alive_during<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if turn().is_none() {
        return work();
    }
    thread::scope(|scope| {
        let (works, over) = mpsc::channel::<()>();
        let work = scope.spawn(move || {
            let done = work();
            drop(works);
            done
        });
        alive_until(|turn| match turn {
            Some(turn) => over
                .recv_timeout(turn)
                .is_err_and(|error| error == mpsc::RecvTimeoutError::Disconnected)
                .then_some(()),
            None => Some(()),
        });
        work.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    })
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!("the service manager is not told: {error}");
    }
}
