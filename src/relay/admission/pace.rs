//! How fast the bearers of a token may send: octets of requests' bodies a second.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::{Admission, Grant};

/// Longest time for which a body is held back at once. A client takes a relay that reads nothing for 4 s for
/// dead; with so many bodies at once that their debt is longer, the rate is that of these waits.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// What may be taken: fills by a rate up to a burst, and may go into debt.
#[derive(Debug)]
pub(super) struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    pub fn full(burst: u32, now: Instant) -> Self {
        Self { level: burst.into(), at: now }
    }

    fn fill(&mut self, rate: u32, burst: u32, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * f64::from(rate)).min(burst.into());
        self.at = self.at.max(now);
    }

    /// Takes `amount`, into debt if need be, but not deeper than a burst.
    pub fn take(&mut self, amount: u32, rate: u32, burst: u32, now: Instant) {
        self.fill(rate, burst, now);
        self.level = (self.level - f64::from(amount)).max(-2.0 * f64::from(burst));
    }

    /// How long until there is something to take.
    pub fn wait(&mut self, rate: u32, burst: u32, now: Instant) -> Duration {
        self.fill(rate, burst, now);
        match self.level {
            level if level > 0.0 => Duration::ZERO,
            level => Duration::from_secs_f64((1.0 - level) / f64::from(rate)),
        }
    }

    pub fn is_full(&mut self, rate: u32, burst: u32, now: Instant) -> bool {
        self.fill(rate, burst, now);
        self.level >= f64::from(burst)
    }
}

/// The octets of a holder's bodies.
#[derive(Debug, Default)]
pub(super) struct Pace {
    state: Mutex<PaceState>,
}

#[derive(Debug, Default)]
struct PaceState {
    bucket: Option<Bucket>,
    held_last: Option<Instant>,
}

impl Pace {
    fn with<T>(&self, rate: u32, now: Instant, call: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        call(state.bucket.get_or_insert_with(|| Bucket::full(rate, now)))
    }

    /// Whether a body that is held back now is the first for so long.
    pub fn begins_episode(&self, episode: Duration) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held_last.replace(Instant::now()).is_none_or(|last| last.elapsed() > episode)
    }
}

/// The paces of all holders that have grants.
#[derive(Debug, Default)]
pub(super) struct Paces {
    table: HashMap<String, Weak<Pace>>,
    /// At so many entries those without a grant are forgotten.
    most: usize,
}

impl Paces {
    pub fn of(&mut self, holder: &str) -> Arc<Pace> {
        if let Some(pace) = self.table.get(holder).and_then(Weak::upgrade) {
            return pace;
        }
        if self.table.len() >= self.most {
            self.table.retain(|_, pace| pace.strong_count() > 0);
            self.most = 2 * self.table.len() + 64;
        }
        let pace = Arc::new(Pace::default());
        self.table.insert(holder.to_owned(), Arc::downgrade(&pace));
        pace
    }
}

/// Holds the body of a request back while its holder is too fast.
pub(crate) struct BodyHold<'a> {
    admission: &'a Admission,
    grant: Option<&'a Grant>,
    state: HoldState,
}

/// Whether the next piece of a body may be read.
enum HoldState {
    Unasked,
    Waiting(Pin<Box<Sleep>>),
    Passed,
}

impl<'a> BodyHold<'a> {
    pub fn new(admission: &'a Admission, grant: Option<&'a Grant>) -> Self {
        Self { admission, grant, state: HoldState::Unasked }
    }

    /// Ready when the next piece may be read.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((grant, rate)) = self.limit() else { return Poll::Ready(()) };
        if let HoldState::Unasked = self.state {
            let now = Instant::now();
            let wait = grant.pace().with(rate, now, |bucket| bucket.wait(rate, rate, now));
            self.state = if wait.is_zero() {
                HoldState::Passed
            } else {
                let wait = wait.min(MAX_WAIT);
                self.admission.note_hold(grant, wait);
                HoldState::Waiting(Box::pin(tokio::time::sleep(wait)))
            };
        }
        if let HoldState::Waiting(sleep) = &mut self.state {
            std::task::ready!(sleep.as_mut().poll(cx));
            self.state = HoldState::Passed;
        }
        Poll::Ready(())
    }

    /// A piece of so many octets was read.
    pub fn took(&mut self, octets: usize) {
        let Some((grant, rate)) = self.limit() else { return };
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        let now = Instant::now();
        grant.pace().with(rate, now, |bucket| bucket.take(octets, rate, rate, now));
        self.state = HoldState::Unasked;
    }

    fn limit(&self) -> Option<(&'a Grant, u32)> {
        let grant = self.grant?;
        Some((grant, grant.octets_per_second()?.get()))
    }
}
