//! A session with its two lanes, each a task with a connection of its own, as byway's client has them on
//! threads.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use byway::error::Blocked;
use byway::session::{
    ChannelId, Exchange, HeapStorage, Lane, ListenerId, Profile, Session, Stats, Wake,
};
use byway::{Endpoint, Error, Kind};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::Result;
use crate::line::{Failure, Line};
use crate::world::World;

/// Connections that may wait to be accepted at a listener: each session has one channel.
const BACKLOG: u8 = 1;

/// What a lane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// No exchange is under way.
    Idle,
    /// A request is written.
    Asking,
    /// The request is written, and the answer awaited.
    Hearing,
    /// The session has broken the exchange off, or wants another connection for the next.
    Broken,
}

/// A lane, as others see it.
#[derive(Debug)]
struct LaneState {
    course: Cell<Course>,
    /// There may be an exchange to begin.
    wake: Notify,
    /// The course is broken.
    broken: Notify,
}

impl LaneState {
    fn new() -> Self {
        Self { course: Cell::new(Course::Idle), wake: Notify::new(), broken: Notify::new() }
    }

    fn break_off(&self) {
        self.course.set(Course::Broken);
        self.broken.notify_one();
        self.wake.notify_one();
    }

    async fn broken(&self) {
        while self.course.get() != Course::Broken {
            self.broken.notified().await;
        }
    }
}

/// A session. Its handle is for one task.
#[derive(Debug, Clone)]
pub struct Client(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    world: Rc<World>,
    number: usize,
    from: IpAddr,
    storage: RefCell<HeapStorage>,
    lanes: [LaneState; 2],
    /// When the sending lane looks again by itself, in ms.
    send_looks_at: Cell<u64>,
    /// Something has changed for the application.
    changed: Notify,
}

impl Client {
    /// Opens a session, and starts its lanes.
    pub fn open(world: &Rc<World>, profile: &Profile) -> Result<Self> {
        let (number, from) = world.place();
        let inner = Rc::new(Inner {
            world: Rc::clone(world),
            number,
            from,
            storage: RefCell::new(HeapStorage::new(profile)?),
            lanes: [LaneState::new(), LaneState::new()],
            send_looks_at: Cell::new(u64::MAX),
            changed: Notify::new(),
        });
        let (settings, security) = (world.settings()?, world.security()?);
        inner.call(None, |session, now| {
            session.open(now, &settings);
            if let Some(security) = security {
                session.encrypt(security);
            }
        });
        for lane in [Lane::Send, Lane::Park] {
            spawn_local(Rc::clone(&inner).run(lane));
        }
        Ok(Self(inner))
    }

    /// The session's number in this run.
    pub fn number(&self) -> usize {
        self.0.number
    }

    /// Counts of the session since it was opened.
    pub fn stats(&self) -> Stats {
        self.0.call(None, |session, _| session.stats())
    }

    /// Whether a park waits at the relay, as far as this end can tell: it is written, and not refused.
    pub fn is_parked(&self) -> bool {
        self.0.lanes[Lane::Park as usize].course.get() == Course::Hearing
    }

    /// Listens at the session's own endpoint; waits until the relay has granted it.
    pub async fn listen(&self) -> Result<ListenerId> {
        let endpoint = Endpoint::try_from(self.0.world.name(self.0.number).as_str())?;
        let id = self
            .0
            .call(None, |session, now| session.listen(now, endpoint, Kind::Stream, BACKLOG))?;
        self.until(|session, _| Ok(session.listening(id)?.then_some(id))).await
    }

    /// Takes the next connection.
    pub async fn accept(&self, listener: ListenerId) -> Result<ChannelId> {
        self.until(|session, now| session.accept(now, listener)).await
    }

    /// Connects to the endpoint of another session.
    pub async fn connect(&self, to: usize) -> Result<ChannelId> {
        let endpoint = Endpoint::try_from(self.0.world.name(to).as_str())?;
        let id =
            self.0.call(None, |session, now| session.connect(now, endpoint, Kind::Stream, &[]))?;
        self.until(|session, _| Ok(session.connected(id)?.then_some(id))).await
    }

    /// Writes all octets into the stream.
    pub async fn write(&self, channel: ChannelId, octets: &[u8]) -> Result<()> {
        let mut at = 0;
        self.until(|session, now| {
            at += session.write(now, channel, &octets[at..])?;
            Ok((at == octets.len()).then_some(()))
        })
        .await
    }

    /// Reads what has come of the stream: 0 octets at its end.
    pub async fn read(&self, channel: ChannelId, out: &mut [u8]) -> Result<usize> {
        self.until(|session, now| session.read(now, channel, out)).await
    }

    /// Ends in order: what was written reaches the peer, and the relay is told goodbye.
    pub async fn close(&self) -> Result<()> {
        self.0.call(None, |session, now| session.close(now));
        self.until(|session, _| Ok(session.is_closed().then_some(()))).await
    }

    /// Calls the session until the call gives something.
    async fn until<T>(
        &self,
        mut f: impl FnMut(&mut Session<'_>, u64) -> std::result::Result<Option<T>, Error>,
    ) -> Result<T> {
        loop {
            let given = self.0.call(None, |session, now| match f(session, now)? {
                None => session.is_open().map(|_| None),
                given => Ok(given),
            })?;
            match given {
                Some(given) => return Ok(given),
                None => self.0.changed.notified().await,
            }
        }
    }
}

impl Inner {
    /// Calls the session, then wakes those that it names but `caller`, which looks by itself.
    fn call<T>(&self, caller: Option<Lane>, f: impl FnOnce(&mut Session<'_>, u64) -> T) -> T {
        let mut storage = self.storage.borrow_mut();
        let mut session = storage.session();
        let now = self.world.now();
        let result = f(&mut session, now);
        let wake = |lane: Lane| {
            if caller != Some(lane) {
                self.lanes[lane as usize].wake.notify_one();
            }
        };
        while let Some(next) = session.poll_wake() {
            match next {
                Wake::Send => wake(Lane::Send),
                Wake::SendBy(at) => {
                    let looks_at = self.send_looks_at.get();
                    if at < looks_at || looks_at <= now {
                        wake(Lane::Send);
                    }
                }
                Wake::Park => wake(Lane::Park),
                Wake::BreakPark => self.lanes[Lane::Park as usize].break_off(),
                Wake::BreakSend => self.lanes[Lane::Send as usize].break_off(),
                Wake::Event => while session.poll_event().is_some() {},
                Wake::Channel(_) | Wake::Listener(_) | Wake::Session => self.changed.notify_one(),
                // Later versions may have others.
                _ => self.changed.notify_one(),
            }
        }
        result
    }

    /// Makes the exchanges of a lane, one after the other, until the session is over.
    async fn run(self: Rc<Self>, lane: Lane) {
        let state = &self.lanes[lane as usize];
        let mut line: Option<Line> = None;
        loop {
            let mut looks_at = None;
            let mut is_over = false;
            let next = self.call(Some(lane), |session, now| {
                if lane == Lane::Send {
                    session.handle_timeout(now);
                }
                let next = session.poll_exchange(now, lane);
                looks_at = session.poll_timeout(lane);
                is_over = session.is_closed() || session.is_open().is_err();
                next
            });
            if lane == Lane::Send {
                self.send_looks_at.set(looks_at.unwrap_or(u64::MAX));
            }
            if let Some(exchange) = next {
                let idle = Duration::from_millis(exchange.idle_ms.into());
                line = line.filter(|line| line.used.elapsed() <= idle);
                if state.course.replace(Course::Asking) == Course::Broken {
                    line = None;
                }
                let result = tokio::select! {
                    biased;
                    result = self.carry(lane, &mut line, &exchange) => result,
                    () = state.broken() => Err(Failure::after(Blocked::Cut)),
                };
                state.course.set(Course::Idle);
                if !self.finish(lane, result) {
                    line = None;
                }
            } else if is_over {
                return;
            } else {
                let left = looks_at.map(|at| at.saturating_sub(self.world.now()).max(1));
                tokio::select! {
                    () = state.wake.notified() => {}
                    () = after(left) => {}
                    () = closed(line.as_ref()) => line = None,
                }
            }
        }
    }

    /// Makes an exchange. Whether the connection serves another.
    async fn carry(
        &self,
        lane: Lane,
        line: &mut Option<Line>,
        exchange: &Exchange,
    ) -> std::result::Result<bool, Failure> {
        let world = &*self.world;
        let line = match line {
            Some(line) => line,
            None => {
                world.connections.set(world.connections.get() + 1);
                line.insert(Line::connect(self.from, world.relay).await?)
            }
        };
        line.ask(world, exchange, |out| {
            self.call(Some(lane), |session, now| session.poll_body(now, lane, out))
        })
        .await?;
        let course = &self.lanes[lane as usize].course;
        if course.get() == Course::Asking {
            course.set(Course::Hearing);
        }
        line.hear(world, exchange.silence_ms, |octets| {
            self.call(Some(lane), |session, now| session.handle_response(now, lane, octets))
        })
        .await
    }

    /// Tells the session how an exchange ended. Whether the connection serves another.
    fn finish(&self, lane: Lane, result: std::result::Result<bool, Failure>) -> bool {
        self.call(Some(lane), |session, now| match result {
            Ok(keeps) => session.handle_finished(now, lane).is_ok() && keeps,
            Err(Failure { stale: true, .. }) => {
                session.break_exchange(now, lane);
                false
            }
            Err(failure) => {
                self.world.failures.count(failure.cause);
                session.handle_failure(now, lane, failure.cause, failure.sent);
                false
            }
        })
    }
}

async fn after(left: Option<u64>) {
    match left {
        Some(left) => sleep(Duration::from_millis(left)).await,
        None => std::future::pending().await,
    }
}

async fn closed(line: Option<&Line>) {
    match line {
        Some(line) => line.closed().await,
        None => std::future::pending().await,
    }
}
