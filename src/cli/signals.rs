//! SIGINT and SIGTERM.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether a signal is ending the process.
static ENDING: AtomicBool = AtomicBool::new(false);

/// The signals that end a program, caught from now on.
pub struct Signals {
    runtime: Runtime,
    signals: [(SignalKind, Signal); 2],
}

impl Signals {
    pub fn catch() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let context = runtime.enter();
        let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()];
        let signals = [(interrupt, signal(interrupt)?), (terminate, signal(terminate)?)];
        drop(context);
        Ok(Self { runtime, signals })
    }

    /// Blocks until one comes and gives its number.
    pub fn wait(self) -> i32 {
        let mut signals = self.signals;
        self.runtime.block_on(poll_fn(|context| {
            for (kind, signal) in &mut signals {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(kind.as_raw_value());
                }
            }
            Poll::Pending
        }))
    }

    /// When one comes, does `last` and exits with 128 and its number, as shells call it.
    pub fn then_exit(self, last: impl FnOnce() + Send + 'static) -> io::Result<()> {
        thread::Builder::new().spawn(move || {
            let number = self.wait();
            ENDING.store(true, SeqCst);
            last();
            std::process::exit(128 + number);
        })?;
        Ok(())
    }
}

/// Leaves the end of the process to the signal that is ending it, if there is one.
pub fn finish() {
    while ENDING.load(SeqCst) {
        thread::park();
    }
}
