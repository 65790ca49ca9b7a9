//! Connecting to the address of a host that answers first: RFC 8305 (Happy Eyeballs), sections 4 and 5.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::hooks::Hooks;

/// Longest wait for an address before the next is tried beside it: RFC 8305's default of the
/// Connection Attempt Delay.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Shortest wait for an address, where a host has so many that they would not fit into the time to
/// connect: RFC 8305's recommended minimum of the Connection Attempt Delay.
const LEAST_DELAY: Duration = Duration::from_millis(100);
/// Most connections that are being made at once: more than fit into the default time to connect, 3 s, by
/// the shortest delay. With a longer time the oldest, by then 3 s old at least, gives way.
const MAX_ATTEMPTS: usize = 32;
/// Most failures that a message lists, by which a line of a log is full.
const MAX_TOLD: usize = 3;

/// Why no address answered.
#[derive(Debug)]
pub(super) enum Lost {
    /// The canceller broke the dial off.
    Cancelled,
    /// The program's hook refused a socket.
    Hook(HookFailed),
    /// The system or the network failed.
    Io(io::Error),
}

/// The program's hook for sockets returned an error.
#[derive(Debug)]
pub(super) struct HookFailed(io::Error);

impl fmt::Display for HookFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the hook on_socket: {}", self.0)
    }
}

impl std::error::Error for HookFailed {}

/// Orders the addresses of a host as they are tried: the address that worked last, then those of which
/// nothing is known, then those that failed, each in the resolver's order. The families alternate,
/// beginning with that of the first.
pub(super) fn order(
    addrs: &[SocketAddr],
    worked: Option<SocketAddr>,
    failed: &[SocketAddr],
) -> Vec<SocketAddr> {
    let mut ranked = addrs.to_vec();
    ranked.sort_by_key(|addr| match addr {
        addr if Some(*addr) == worked => 0,
        addr if failed.contains(addr) => 2,
        _ => 1,
    });
    let first = ranked.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        ranked.iter().copied().partition(|addr: &SocketAddr| addr.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut ordered = Vec::with_capacity(ranked.len());
    while ordered.len() < ranked.len() {
        ordered.extend(one.next());
        ordered.extend(other.next());
    }
    ordered
}

/// How long to wait for each of so many addresses before the next is tried.
fn delay(addrs: usize, timeout: Duration) -> Duration {
    let share = timeout / u32::try_from(addrs.saturating_add(1)).unwrap_or(u32::MAX);
    share.clamp(LEAST_DELAY, ATTEMPT_DELAY)
}

/// Connects to one of `addrs`. Each gets a little time alone before the next is tried beside it, and the
/// next is tried at once when an address fails. The first connection wins, the others are closed.
/// Blocks for at most `timeout`, without a thread, and ends when `interrupt` is readable or hung up.
/// Returns how many of `addrs` were tried, too.
pub(super) fn connect(
    addrs: &[SocketAddr],
    timeout: Duration,
    hooks: &Hooks,
    interrupt: BorrowedFd<'_>,
) -> (usize, Result<(SocketAddr, TcpStream), Lost>) {
    let mut race = Race {
        hooks,
        addrs,
        tried: 0,
        attempts: Vec::new(),
        failures: Vec::new(),
        hook_failed: None,
    };
    let outcome = race.run(timeout, interrupt);
    (race.tried, outcome)
}

struct Race<'a> {
    hooks: &'a Hooks,
    addrs: &'a [SocketAddr],
    tried: usize,
    /// Connections that are being made, oldest first.
    attempts: Vec<(SocketAddr, Socket)>,
    failures: Vec<(SocketAddr, io::Error)>,
    /// The first error of the hook.
    hook_failed: Option<HookFailed>,
}

/// Why an attempt could not begin.
enum Refusal {
    Hook(io::Error),
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Race<'_> {
    fn run(
        &mut self,
        timeout: Duration,
        interrupt: BorrowedFd<'_>,
    ) -> Result<(SocketAddr, TcpStream), Lost> {
        let delay = delay(self.addrs.len(), timeout);
        let mut next_at = Instant::now();
        let deadline = next_at + timeout;
        loop {
            let now = Instant::now();
            if now >= deadline {
                while !self.attempts.is_empty() {
                    self.give_up_oldest();
                }
                return Err(self.lost());
            }
            let is_next_due = self.attempts.is_empty() || now >= next_at;
            match self.addrs.get(self.tried).filter(|_| is_next_due) {
                Some(addr) => {
                    self.tried += 1;
                    let begun = self.begin(*addr);
                    next_at = if begun.is_ok() { now + delay } else { now };
                    match begun {
                        Ok(()) => {}
                        Err(Refusal::Io(error)) => self.failures.push((*addr, error)),
                        Err(Refusal::Hook(error)) => {
                            self.hook_failed.get_or_insert(HookFailed(error));
                        }
                    }
                }
                None if self.attempts.is_empty() => return Err(self.lost()),
                None => {}
            }
            let until = match self.tried < self.addrs.len() {
                // Nothing is being made: only the interrupt is looked at.
                _ if self.attempts.is_empty() => now,
                true => next_at.min(deadline),
                false => deadline,
            };
            match self.wait(until, interrupt)? {
                Waited::Nothing => {}
                Waited::Failed => next_at = Instant::now(),
                Waited::Connected(addr, stream) => return Ok((addr, stream)),
            }
        }
    }

    /// Begins to connect.
    fn begin(&mut self, addr: SocketAddr) -> Result<(), Refusal> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        self.hooks.prepare(socket.as_fd()).map_err(Refusal::Hook)?;
        socket.set_nonblocking(true)?;
        if let Err(error) = socket.connect(&addr.into()) {
            // Interrupted by a signal, the attempt goes on as well: POSIX, connect().
            let goes_on = [Errno::INPROGRESS, Errno::INTR].map(Errno::raw_os_error);
            if !error.raw_os_error().is_some_and(|code| goes_on.contains(&code)) {
                return Err(error.into());
            }
        }
        if self.attempts.len() == MAX_ATTEMPTS {
            self.give_up_oldest();
        }
        self.attempts.push((addr, socket));
        Ok(())
    }

    fn give_up_oldest(&mut self) {
        let (addr, _) = self.attempts.remove(0);
        self.failures.push((addr, io::ErrorKind::TimedOut.into()));
    }

    /// Waits until a connection is made, some fail, or the time is over.
    fn wait(&mut self, until: Instant, interrupt: BorrowedFd<'_>) -> Result<Waited, Lost> {
        let sockets = self.attempts.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::OUT));
        let mut fds: Vec<_> = [PollFd::from_borrowed_fd(interrupt, PollFlags::IN)]
            .into_iter()
            .chain(sockets)
            .collect();
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Lost::Io(error.into())),
        }
        let ready: Vec<_> = fds.iter().map(PollFd::revents).collect();
        if !ready[0].is_empty() {
            return Err(Lost::Cancelled);
        }
        let mut waited = Waited::Nothing;
        let attempts = std::mem::take(&mut self.attempts);
        for ((addr, socket), events) in attempts.into_iter().zip(&ready[1..]) {
            if events.is_empty() {
                self.attempts.push((addr, socket));
                continue;
            }
            match connected(socket, *events) {
                Ok(stream) => return Ok(Waited::Connected(addr, stream)),
                Err(error) => {
                    self.failures.push((addr, error));
                    waited = Waited::Failed;
                }
            }
        }
        Ok(waited)
    }

    /// Why there is no connection: the hook's fault if it let no address be tried.
    fn lost(&mut self) -> Lost {
        let failures = std::mem::take(&mut self.failures);
        let kind = match (failures.first(), self.hook_failed.take()) {
            (None, Some(failed)) => return Lost::Hook(failed),
            // The time to connect is 0.
            (None, None) => return Lost::Io(io::ErrorKind::TimedOut.into()),
            (Some((_, error)), _) => error.kind(),
        };
        let told = failures.iter().take(MAX_TOLD).map(|(addr, error)| format!("{addr}: {error}"));
        Lost::Io(io::Error::new(kind, told.collect::<Vec<_>>().join("; ")))
    }
}

enum Waited {
    Nothing,
    Failed,
    Connected(SocketAddr, TcpStream),
}

fn connected(socket: Socket, events: PollFlags) -> io::Result<TcpStream> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    if events.contains(PollFlags::HUP) {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs<const N: usize>(texts: [&str; N]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate_and_begin_with_the_resolvers_first() {
        let found = addrs(["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let wanted = addrs(["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]);
        assert_eq!(order(&found, None, &[]), wanted);
        let found = addrs(["1.1.1.1:1", "1.1.1.2:1", "[::1]:1"]);
        assert_eq!(order(&found, None, &[]), addrs(["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"]));
        assert_eq!(order(&[], None, &[]), []);
    }

    #[test]
    fn address_that_worked_is_first_and_those_that_failed_are_last() {
        let found = addrs(["[::1]:1", "[::2]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let worked = found[3];
        let wanted = addrs(["1.1.1.2:1", "[::1]:1", "1.1.1.1:1", "[::2]:1"]);
        assert_eq!(order(&found, Some(worked), &[]), wanted);
        let failed = [found[0], found[2]];
        let wanted = addrs(["[::2]:1", "1.1.1.2:1", "[::1]:1", "1.1.1.1:1"]);
        assert_eq!(order(&found, None, &failed), wanted);
        // An address that the host has no longer is not tried.
        assert_eq!(order(&found[..1], Some(worked), &failed), found[..1]);
    }

    #[test]
    fn delay_shrinks_so_that_every_address_gets_its_turn() {
        let timeout = Duration::from_secs(3);
        assert_eq!(delay(1, timeout), ATTEMPT_DELAY);
        assert_eq!(delay(11, timeout), ATTEMPT_DELAY);
        for addrs in 11..29 {
            assert!(delay(addrs, timeout) * addrs as u32 + LEAST_DELAY <= timeout, "{addrs}");
        }
        assert_eq!(delay(usize::MAX, timeout), LEAST_DELAY);
    }
}
