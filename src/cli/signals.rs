//! The signals that end the process: SIGINT, SIGTERM and SIGHUP, which may have another meaning.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// A signal so soon after the first is the same: `timeout` and some service managers signal both the process and
/// its group.
const TWIN: Duration = Duration::from_millis(200);

/// Whether a signal is ending the process.
static ENDING: AtomicBool = AtomicBool::new(false);

/// What is to be done when the process ends.
type Last = Box<dyn FnOnce() + Send>;

/// What [`at_end`] was given.
static LASTS: Mutex<Vec<Last>> = Mutex::new(Vec::new());

/// Has `last` done when the process ends, by itself or by a signal; only a second signal leaves it out.
pub fn at_end(last: impl FnOnce() + Send + 'static) {
    LASTS.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(last));
}

/// Does what is to be done at the end, the newest first.
fn do_last() {
    let lasts = mem::take(&mut *LASTS.lock().unwrap_or_else(PoisonError::into_inner));
    lasts.into_iter().rev().for_each(|last| last());
}

/// The signals that end a program, caught from now on.
pub struct Signals {
    runtime: Runtime,
    signals: Vec<(SignalKind, Signal)>,
    hangup: Hangup,
}

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// It ends the process, unless that was started with the signal ignored, as under nohup.
    Ends,
    /// It has files read again.
    Reloads,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The signal of this number ends the process.
    End(i32),
    Reload,
}

impl Signals {
    pub fn catch() -> io::Result<Self> {
        Self::catch_with(Hangup::Ends)
    }

    /// Catches the signals where SIGHUP has this meaning.
    pub fn catch_with(hangup: Hangup) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let context = runtime.enter();
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        if hangup == Hangup::Reloads || !is_ignored(SignalKind::hangup()) {
            kinds.push(SignalKind::hangup());
        }
        let signals = kinds.into_iter().map(|kind| Ok((kind, signal(kind)?)));
        let signals = signals.collect::<io::Result<_>>()?;
        drop(context);
        Ok(Self { runtime, signals, hangup })
    }

    /// Blocks until a signal comes.
    pub fn asked(&mut self) -> Asked {
        let number = self.wait();
        self.meaning(number)
    }

    /// The same, at most for `turn`.
    pub fn asked_within(&mut self, turn: Option<Duration>) -> Option<Asked> {
        let Some(turn) = turn else { return Some(self.asked()) };
        let runtime = &self.runtime;
        let number = runtime.block_on(async { timeout(turn, next(&mut self.signals)).await.ok() });
        number.map(|number| self.meaning(number))
    }

    fn meaning(&self, number: i32) -> Asked {
        let is_hangup = number == SignalKind::hangup().as_raw_value();
        if is_hangup && self.hangup == Hangup::Reloads { Asked::Reload } else { Asked::End(number) }
    }

    /// Blocks until a signal comes, and gives its number.
    fn wait(&mut self) -> i32 {
        self.runtime.block_on(next(&mut self.signals))
    }

    /// When a signal comes, does `last` and exits with 128 and the signal's number, as shells have it.
    /// A second signal exits at once, unless it follows within [`TWIN`].
    pub fn then_exit(mut self, last: impl FnOnce() + Send + 'static) -> io::Result<()> {
        thread::Builder::new().spawn(move || {
            let number = self.wait();
            ENDING.store(true, SeqCst);
            let began = Instant::now();
            let again = thread::Builder::new().spawn(move || {
                loop {
                    let number = self.wait();
                    if began.elapsed() >= TWIN {
                        std::process::exit(128 + number);
                    }
                }
            });
            if again.is_ok() {
                last();
            }
            do_last();
            std::process::exit(128 + number);
        })?;
        Ok(())
    }
}

/// The number of the next signal.
async fn next(signals: &mut [(SignalKind, Signal)]) -> i32 {
    poll_fn(|context| {
        for (kind, signal) in &mut *signals {
            if signal.poll_recv(context).is_ready() {
                return Poll::Ready(kind.as_raw_value());
            }
        }
        Poll::Pending
    })
    .await
}

/// Whether this is the number of SIGTERM, by which service managers end programs.
pub fn is_term(number: i32) -> bool {
    number == SignalKind::terminate().as_raw_value()
}

/// Whether this process was started with a signal ignored. Only Linux says so without unsafe code;
/// elsewhere it counts as not ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

/// Leaves the end of the process to the signal that is ending it, if there is one; else does what is to be
/// done last.
pub fn finish() {
    while ENDING.load(SeqCst) {
        thread::park();
    }
    do_last();
}
