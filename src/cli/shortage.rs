//! A shortage that lasts for a while: one line when it begins, and one when it is over.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

/// How long no connection has to wait before a shortage counts as over, lest a shortage at its edge
/// tells of each connection.
const QUIET: Duration = Duration::from_secs(5);

/// Stack of the thread that waits for the end of a shortage, in octets.
const STACK: usize = 64 * 1024;

/// A resource that may be used up, so that connections wait.
#[derive(Debug)]
pub struct Shortage {
    /// The shortage in words, with which each line begins.
    what: String,
    spell: Mutex<Option<Spell>>,
}

#[derive(Debug)]
struct Spell {
    began: Instant,
    /// When a connection last began or ceased to wait.
    last: Instant,
    waiting: u64,
    waited: u64,
    /// How many of those that waited got nothing in the end.
    refused: u64,
}

/// A connection that waits, until this value is dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Shortage>);

impl Shortage {
    pub fn new(what: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { what: what.into(), spell: Mutex::new(None) })
    }

    /// Notes that a connection begins to wait. The first one of a shortage writes `line`.
    pub fn wait(self: &Arc<Self>, line: impl Display) -> Waiting {
        let mut spell = self.lock();
        let now = Instant::now();
        let is_first = spell.is_none();
        let lasting =
            spell.get_or_insert(Spell { began: now, last: now, waiting: 0, waited: 0, refused: 0 });
        lasting.last = now;
        lasting.waiting += 1;
        lasting.waited += 1;
        drop(spell);
        if is_first {
            warn!("{}: {line}", self.what);
            let shortage = Arc::clone(self);
            let told = thread::Builder::new().stack_size(STACK).spawn(move || shortage.tell_end());
            if told.is_err() {
                // The next connection that waits writes the line again.
                *self.lock() = None;
            }
        }
        Waiting(Arc::clone(self))
    }

    /// Notes that another connection has waited, behind one that is noted already.
    pub fn note_one(&self) {
        if let Some(spell) = &mut *self.lock() {
            spell.waited += 1;
            spell.last = Instant::now();
        }
    }

    fn tell_end(&self) {
        loop {
            thread::sleep(QUIET);
            let mut spell = self.lock();
            let Some(lasting) = &*spell else { return };
            if lasting.waiting == 0 && lasting.last.elapsed() >= QUIET {
                let (waited, lasted) = (lasting.waited, lasting.last - lasting.began);
                match lasting.refused {
                    0 => warn!("{}: over after {lasted:.1?}; waited: {waited}", self.what),
                    refused => warn!(
                        "{}: over after {lasted:.1?}; waited: {waited}, refused: {refused}",
                        self.what
                    ),
                }
                *spell = None;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Spell>> {
        self.spell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Notes that the connection has waited in vain.
    pub fn refuse(self) {
        if let Some(spell) = &mut *self.0.lock() {
            spell.refused += 1;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(spell) = &mut *self.0.lock() {
            spell.waiting = spell.waiting.saturating_sub(1);
            spell.last = Instant::now();
        }
    }
}
