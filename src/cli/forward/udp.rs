//! Forwards of datagrams. Each address that sends to the near end has a flow: a datagram channel of its own, and so
//! a socket of its own at the far end. A flow ends after silence, and the next datagram begins another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{DatagramChannel, Readiness};
use byway::error::{ConfigError, PeerError};
use byway::{Error, Kind};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tracing::{debug, warn};

use super::{Life, Means, PAUSE, Told, again, start};
use crate::cli::failure::{CommandError, cause_of_connecting};
use crate::cli::peers::{self, Target};
use crate::cli::sockets::{self, time};
use crate::cli::{LAST_WORD, announce, notify, retry};

/// How long a flow without datagrams lives, in seconds: as long as a NAT is to keep a mapping at least (RFC
/// 4787, REQ-5), for which programs that want to be reached send something now and then.
pub const SILENCE: u64 = 120;

/// Most octets of a datagram of UDP.
const LONGEST: usize = 65_535;

/// Most datagrams that wait while a channel is opened: a program that gets no answer sends a few.
const WAITING: usize = 16;

/// A datagram forward, at either end.
#[derive(Clone)]
pub struct Udp {
    means: Means,
    silence: Duration,
    losses: Arc<Losses>,
}

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Loss {
    TooLong {
        max: usize,
    },
    /// The channel's ring is full, as a router's queue may be.
    NoRoom,
    /// So many wait for their channel already.
    Opening,
    /// The program's socket took none.
    Socket(ErrorKind),
}

/// How many datagrams were dropped, by cause. The first is told, and then each time that there are ten times as
/// many.
#[derive(Debug, Default)]
struct Losses(Mutex<HashMap<Loss, u64>>);

impl Losses {
    fn count(&self, loss: Loss) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(loss).or_default();
        *count += 1;
        if !is_power_of_ten(*count) {
            return;
        }
        match loss {
            Loss::TooLong { max } => warn!(
                "dropped, {count} so far: datagrams of more than {max} octets, which the channel does not take; have the programs send less at once, or give both ends a larger --profile"
            ),
            Loss::NoRoom => {
                warn!(
                    "dropped, {count} so far: datagrams that came faster than the path takes them"
                );
            }
            Loss::Opening => {
                warn!(
                    "dropped, {count} so far: datagrams that came while their channel was opened"
                );
            }
            Loss::Socket(kind) => {
                warn!(
                    "dropped, {count} so far: datagrams that the program's socket refused: {kind}"
                );
            }
        }
    }
}

fn is_power_of_ten(mut number: u64) -> bool {
    while number >= 10 && number.is_multiple_of(10) {
        number /= 10;
    }
    number == 1
}

impl Udp {
    pub fn new(means: &Means, silence: Duration) -> Self {
        Self { means: means.clone(), silence, losses: Arc::default() }
    }

    /// Hands a datagram to a channel, which drops it if it has no room. Fails if the channel has ended.
    fn send(&self, channel: &DatagramChannel, datagram: &[u8]) -> Result<(), Error> {
        match channel.send_timeout(datagram, Some(Duration::ZERO)) {
            Err(Error::Config(ConfigError::DatagramTooLong { max })) => {
                self.losses.count(Loss::TooLong { max });
                Ok(())
            }
            Err(Error::TimedOut) => {
                self.losses.count(Loss::NoRoom);
                Ok(())
            }
            result => result,
        }
    }

    /// Joins an accepted channel with a socket of its own to the server `to`, until either has ended or
    /// nothing comes.
    pub fn answer(&self, channel: &DatagramChannel, to: &str) -> io::Result<()> {
        let joined = self.means.wants.with_descriptors(None, || connected(to));
        let socket = joined.inspect_err(|error| {
            warn!("cannot send to {to}: {error}");
            channel.abort();
        })?;
        let ready = channel.poll_fd(Readiness::READABLE)?;
        let (mut buffer, mut used) = (vec![0; LONGEST], Instant::now());
        loop {
            let left = self.silence.saturating_sub(used.elapsed());
            if left.is_zero() {
                debug!("{to}: a flow ends after silence");
                // The peer's end finds the channel closed when it has something to send.
                return channel.clone().close().map_err(Into::into);
            }
            let mut fds = [PollFd::new(&socket, PollFlags::IN), PollFd::new(&ready, PollFlags::IN)];
            match poll(&mut fds, Some(&time(left))) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            loop {
                match socket.recv(&mut buffer) {
                    Ok(n) => {
                        used = Instant::now();
                        self.send(channel, &buffer[..n])?;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Nobody listens at the server's port: a later datagram may find somebody.
                    Err(error) => self.losses.count(Loss::Socket(error.kind())),
                }
            }
            loop {
                match channel.recv_timeout(&mut buffer, Some(Duration::ZERO)) {
                    Ok(n) => {
                        used = Instant::now();
                        if let Err(error) = socket.send(&buffer[..n]) {
                            self.losses.count(Loss::Socket(error.kind()));
                        }
                    }
                    Err(Error::TimedOut) => break,
                    Err(Error::Peer(PeerError::Closed)) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

/// A socket, which does not block, whose datagrams go to `to`.
fn connected(to: &str) -> io::Result<UdpSocket> {
    let mut last = io::Error::new(ErrorKind::NotFound, "no address");
    for address in to.to_socket_addrs()? {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let made = UdpSocket::bind(any).and_then(|socket| {
            socket.connect(address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        match made {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whose datagrams a flow carries: the socket at which they come, by its number, and who sends them.
type Source = (usize, SocketAddr);

/// The datagrams of an address that sends to the near end.
struct Flow {
    source: Source,
    state: Mutex<FlowState>,
}

struct FlowState {
    /// When a datagram last came, from either side.
    used: Instant,
    phase: Phase,
}

enum Phase {
    /// The channel is opened, and datagrams wait for it.
    Opening(Vec<Vec<u8>>),
    Open(DatagramChannel),
    /// The flow has ended, or is given up for another.
    Ended,
}

impl Flow {
    fn new(source: Source, first: &[u8]) -> Arc<Self> {
        let phase = Phase::Opening(vec![first.to_vec()]);
        Arc::new(Self { source, state: Mutex::new(FlowState { used: Instant::now(), phase }) })
    }

    fn lock(&self) -> MutexGuard<'_, FlowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ended(&self) -> bool {
        matches!(self.lock().phase, Phase::Ended)
    }

    /// Ends the flow, and wakes its thread.
    fn end(&self) {
        let mut state = self.lock();
        if let Phase::Open(channel) = std::mem::replace(&mut state.phase, Phase::Ended) {
            channel.abort();
        }
    }
}

/// The near end of a datagram forward.
struct Near {
    udp: Udp,
    target: Target,
    sockets: Vec<UdpSocket>,
    flows: Mutex<HashMap<Source, Arc<Flow>>>,
    /// The failures of channels that were told.
    refusals: Told<String>,
}

/// Takes datagrams at all addresses of `from`, and has a channel to the target for each address that they come from.
pub fn connect(udp: Udp, target: Target, from: &str, life: Life) -> Result<(), CommandError> {
    let sockets =
        sockets::bind_udp(from).map_err(|error| CommandError::bind(&error, from, "--from"))?;
    for socket in &sockets {
        announce(socket.local_addr()?);
    }
    let client = udp.means.client.clone();
    notify::ready(format_args!("taking datagrams at {from}"));
    again::watch_path(&client)?;
    let ended = client.poll_fd(Readiness::NONE)?;
    let (flows, refusals) = (Mutex::default(), Told::new());
    let near = Arc::new(Near { udp, target, sockets, flows, refusals });
    let mut buffer = vec![0; LONGEST];
    loop {
        // Behind the client's lock.
        let _ = client.readiness();
        notify::alive();
        let mut fds = vec![PollFd::new(&ended, PollFlags::IN)];
        fds.extend(
            near.sockets
                .iter()
                .map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)),
        );
        match poll(&mut fds, notify::turn().map(time).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        if !fds[0].revents().is_empty() {
            let why = client.wait_event(None).err().unwrap_or(Error::Closed);
            return Err(why.into());
        }
        for (at, socket) in near.sockets.iter().enumerate() {
            match socket.recv_from(&mut buffer) {
                Ok((n, address)) => {
                    let started = near.take((at, address), &buffer[..n]);
                    if let (Some(flow), Life::Once) = (&started, life) {
                        return notify::alive_during(|| near.serve_once(flow));
                    }
                    if let Some(flow) = started {
                        Near::start(&near, flow);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    warn!("cannot take datagrams at {from}: {error}");
                    thread::sleep(PAUSE);
                }
            }
        }
    }
}

impl Near {
    fn flows(&self) -> MutexGuard<'_, HashMap<Source, Arc<Flow>>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a datagram to the flow of its source. Gives the flow if it is new.
    fn take(&self, source: Source, datagram: &[u8]) -> Option<Arc<Flow>> {
        let mut flows = self.flows();
        if let Some(flow) = flows.get(&source)
            && self.hand(flow, datagram)
        {
            return None;
        }
        flows.remove(&source);
        if flows.len() >= self.udp.means.permits.most() {
            let oldest = flows.values().min_by_key(|flow| flow.lock().used).cloned();
            if let Some(oldest) = oldest {
                debug!("{}: gives its place to {}", oldest.source.1, source.1);
                flows.remove(&oldest.source);
                oldest.end();
            }
        }
        let flow = Flow::new(source, datagram);
        flows.insert(source, Arc::clone(&flow));
        Some(flow)
    }

    /// Hands a datagram to a flow; whether the flow has not ended.
    fn hand(&self, flow: &Flow, datagram: &[u8]) -> bool {
        let mut state = flow.lock();
        state.used = Instant::now();
        match &mut state.phase {
            Phase::Opening(waiting) if waiting.len() < WAITING => waiting.push(datagram.to_vec()),
            Phase::Opening(_) => self.udp.losses.count(Loss::Opening),
            Phase::Open(channel) => return self.udp.send(channel, datagram).is_ok(),
            Phase::Ended => return false,
        }
        true
    }

    fn start(near: &Arc<Self>, flow: Arc<Flow>) {
        let (near, source) = (Arc::clone(near), flow.source);
        let shared = Arc::clone(&near);
        let started = start(move || {
            // It is told by now, and the next flow has nothing to do with it.
            let _ = near.serve(&flow);
            near.forget(&flow);
        });
        if let Err(error) = started {
            warn!("cannot serve {}: {error}", source.1);
            shared.flows().remove(&source);
        }
    }

    /// Serves the first flow, and ends with it.
    fn serve_once(self: Arc<Self>, flow: &Arc<Flow>) -> Result<(), CommandError> {
        let receiving = Arc::clone(&self);
        let own = Arc::clone(flow);
        start(move || {
            let mut buffer = vec![0; LONGEST];
            let (at, source) = own.source;
            while !own.is_ended() {
                let socket = &receiving.sockets[at];
                let mut fds = [PollFd::new(socket, PollFlags::IN)];
                let _ = poll(&mut fds, Some(&time(PAUSE)));
                if let Ok((n, from)) = socket.recv_from(&mut buffer)
                    && from == source
                {
                    receiving.hand(&own, &buffer[..n]);
                }
            }
        })?;
        let served = self.serve(flow);
        flow.end();
        let _ = self.udp.means.client.close(LAST_WORD);
        served.map_err(Into::into)
    }

    /// Takes a flow that has ended out of the table, unless another has its place.
    fn forget(&self, flow: &Arc<Flow>) {
        flow.end();
        if let Entry::Occupied(entry) = self.flows().entry(flow.source)
            && Arc::ptr_eq(entry.get(), flow)
        {
            entry.remove();
        }
    }

    /// Opens the channel of a flow, and hands its program what comes, until the channel ends or nothing comes.
    fn serve(&self, flow: &Flow) -> Result<(), Error> {
        let means = &self.udp.means;
        let mut permit = means.permits.take();
        let channel = self.open(flow).inspect_err(|error| {
            if *error != Error::Closed && self.refusals.is_new(error.to_string()) {
                let cause = cause_of_connecting(*error, Kind::Datagram);
                warn!("{}: {cause}; datagrams are dropped", self.target.endpoint);
            }
        })?;
        permit.hold(&channel);
        {
            let mut state = flow.lock();
            let waiting = match std::mem::replace(&mut state.phase, Phase::Open(channel.clone())) {
                Phase::Opening(waiting) => waiting,
                Phase::Open(_) | Phase::Ended => {
                    state.phase = Phase::Ended;
                    channel.abort();
                    return Ok(());
                }
            };
            for datagram in waiting {
                self.udp.send(&channel, &datagram)?;
            }
        }
        let (at, source) = flow.source;
        let mut buffer = vec![0; LONGEST];
        loop {
            let left = self.udp.silence.saturating_sub(flow.lock().used.elapsed());
            if left.is_zero() {
                debug!("{source}: a flow ends after silence");
                flow.lock().phase = Phase::Ended;
                return channel.clone().close();
            }
            match channel.recv_timeout(&mut buffer, Some(left)) {
                Ok(n) => {
                    flow.lock().used = Instant::now();
                    if let Err(error) = self.sockets[at].send_to(&buffer[..n], source) {
                        self.udp.losses.count(Loss::Socket(error.kind()));
                    }
                }
                Err(Error::TimedOut) => {}
                Err(Error::Peer(PeerError::Closed)) => return Ok(()),
                Err(error) => {
                    debug!("{source}: a flow broke off: {error}");
                    if error == Error::Peer(PeerError::KeyRefused)
                        && self.refusals.is_new(error.to_string())
                    {
                        warn!("{}: {error}", self.target.endpoint);
                    }
                    return Err(error);
                }
            }
        }
    }

    fn open(&self, flow: &Flow) -> Result<DatagramChannel, Error> {
        let Means { client, patience, wants, .. } = &self.udp.means;
        let mut waiting = None;
        retry::patiently(
            *patience,
            thread::sleep,
            |left| {
                if flow.is_ended() {
                    return Err(Error::Closed);
                }
                let channel = self.target.start_connect(client)?;
                channel.wait_open(left)?;
                peers::tell_key(&channel, self.target.endpoint);
                Ok(channel)
            },
            |error| {
                let endpoint = self.target.endpoint;
                wants.passes(error, &mut waiting, endpoint, "each address", *patience)
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_at_powers_of_ten() {
        let told: Vec<_> = (1..=1000).filter(|count| is_power_of_ten(*count)).collect();
        assert_eq!(told, [1, 10, 100, 1000]);
    }
}
