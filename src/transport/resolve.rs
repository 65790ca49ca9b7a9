//! The addresses of the host that is dialled, and what is known of them.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::{Error, Timeout};

use super::control::{Control, interrupted};
use super::hooks::Hooks;
use super::race::order;

/// Longest wait for DNS: time for one repeat of a lost question.
const DNS_TIMEOUT: Duration = Duration::from_secs(6);
/// Age at which a host's addresses are asked for again before dialling.
const DNS_AGE: Duration = Duration::from_secs(60);
/// Stack of the thread that asks, in octets: the C library's resolver wants more than an exchange.
const DNS_STACK: usize = 256 * 1024;
/// Most questions that are out at once. Those of earlier networks, whose answers count no more, are
/// among them: the C library cannot be stopped, and takes half a minute where no server answers.
const MAX_OUT: usize = 4;
/// Most addresses of a host that are kept, of both families by turns: twice as many as can be tried
/// within the default time to connect.
const MAX_ADDRS: usize = 64;

/// What is known of the addresses of one host.
#[derive(Debug, Default)]
pub(super) struct Names {
    host: Option<(String, u16)>,
    /// The addresses of the last answer.
    addrs: Vec<SocketAddr>,
    /// When the last answer came; `None`: the addresses are asked for before the next use.
    heard: Option<Instant>,
    /// Why the last question had no answer, if the program's hook said so.
    error: Option<io::Error>,
    /// The address that was connected to last.
    worked: Option<SocketAddr>,
    /// The addresses that were tried in vain since a dial last made a connection.
    failed: Vec<SocketAddr>,
    /// Number of the question whose answer is waited for.
    asking: Option<u64>,
    /// Number of the last question.
    asked: u64,
    /// Threads that wait for an answer.
    out: usize,
}

impl Names {
    /// Notes that no relay answers at the address that worked: the addresses are asked for again, by a
    /// new question, and that address is tried last. What is known of the others stays.
    pub fn ask_again(&mut self) {
        let foreign = self.worked;
        self.note_failed(foreign.as_slice());
        self.asking = None;
    }

    /// Notes that the network is another: the addresses are asked for again, and nothing is known of
    /// them.
    pub fn forget(&mut self) {
        self.ask_again();
        self.failed.clear();
    }

    /// Notes that a connection was made to `addr`.
    pub fn note_worked(&mut self, addr: SocketAddr) {
        self.worked = Some(addr);
        self.failed.clear();
    }

    /// Notes that no connection was made to the addresses that were `tried`. The host may have moved.
    pub fn note_failed(&mut self, tried: &[SocketAddr]) {
        self.heard = None;
        self.worked = None;
        self.failed.retain(|addr| !tried.contains(addr));
        self.failed.extend_from_slice(tried);
        let old = self.failed.len().saturating_sub(MAX_ADDRS);
        self.failed.drain(..old);
    }

    pub fn is_fresh(&self) -> bool {
        self.heard.is_some_and(|heard| heard.elapsed() < DNS_AGE)
    }

    fn ordered(&self) -> Vec<SocketAddr> {
        order(&self.addrs, self.worked, &self.failed)
    }

    /// Counts a question, and returns its number.
    fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.out += 1;
        self.asking = Some(self.asked);
        self.asked
    }

    /// Makes these the names of a host; another host's are forgotten.
    fn serve(&mut self, host: &str, port: u16) {
        if self.host.as_ref().is_none_or(|(h, p)| (h.as_str(), *p) != (host, port)) {
            let (asked, out) = (self.asked, self.out);
            *self = Self { host: Some((host.to_owned(), port)), asked, out, ..Self::default() };
        }
    }
}

impl Control {
    /// Finds the addresses of `host`, in the order in which they are to be tried: from memory if they
    /// are fresh, else from DNS within its time-out, else from memory however old.
    pub fn resolve(
        self: &Arc<Self>,
        hooks: &Hooks,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let mut state = self.lock();
        state.names.serve(host, port);
        let deadline = Instant::now() + DNS_TIMEOUT;
        let mut is_asked = false;
        let left = loop {
            if state.cancelled {
                return Err(interrupted());
            }
            if state.names.is_fresh() {
                return Ok(state.names.ordered());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let is_answered = is_asked && state.names.asking.is_none();
            if left.is_zero() || is_answered {
                break left;
            }
            if state.names.asking.is_none() && state.names.out < MAX_OUT {
                let number = state.names.ask();
                let question =
                    Question { control: Arc::clone(self), number, found: Ok(Vec::new()) };
                is_asked = true;
                // A question that finds no thread is dropped, and locks the state then.
                drop(state);
                let (asker, host) = (hooks.clone(), host.to_owned());
                let thread = thread::Builder::new().name("byway-dns".into()).stack_size(DNS_STACK);
                hooks.spawn(thread, move || question.ask(&asker, &host, port))?;
                state = self.lock();
                continue;
            }
            // A question of an earlier dial serves as well.
            is_asked |= state.names.asking.is_some();
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        match state.names.addrs.is_empty() {
            false => Ok(state.names.ordered()),
            true if left.is_zero() => Err(Error::Timeout(Timeout::Resolve)),
            true => Err(state.names.error.take().map_or(Error::HostNotFound, hook_failed)),
        }
    }
}

/// Keeps the hook's own words for the event; [`Error::HostNotFound`] has no place for them.
fn hook_failed(error: io::Error) -> Error {
    Error::Other(Box::new(ResolveFailed(error)))
}

/// The program's hook for names returned an error.
#[derive(Debug, thiserror::Error)]
#[error("the hook on_resolve: {0}")]
pub(super) struct ResolveFailed(io::Error);

/// The question of a thread. When it is dropped, however the thread ends, it counts as answered.
struct Question {
    control: Arc<Control>,
    number: u64,
    found: io::Result<Vec<SocketAddr>>,
}

impl Question {
    fn ask(mut self, hooks: &Hooks, host: &str, port: u16) {
        // A numeric address with a zone is no name; the system knows the number of the zone.
        let is_numeric =
            host.split_once('%').is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok());
        let hooked = if is_numeric { None } else { hooks.resolve(host, port) };
        self.found = match hooked {
            Some(found) => found,
            // The words of the system's error say no more than that there is no address.
            None => Ok((host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()),
        };
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let found = std::mem::replace(&mut self.found, Ok(Vec::new()));
        let mut state = self.control.lock();
        let names = &mut state.names;
        names.out -= 1;
        if names.asking == Some(self.number) {
            names.asking = None;
            match found {
                Ok(mut found) => {
                    names.error = None;
                    let mut known = HashSet::new();
                    found.retain(|addr| known.insert(*addr));
                    if !found.is_empty() {
                        names.addrs = order(&found, None, &[]);
                        names.addrs.truncate(MAX_ADDRS);
                        names.heard = Some(Instant::now());
                    }
                }
                Err(error) => names.error = Some(error),
            }
        }
        drop(state);
        self.control.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_no_relay_is_last_until_the_network_is_another() {
        let [first, second] = [1, 2].map(|n| SocketAddr::from(([192, 0, 2, n], 80)));
        let mut names = Names {
            addrs: vec![first, second],
            heard: Some(Instant::now()),
            asking: Some(1),
            ..Names::default()
        };
        names.note_worked(first);
        assert!(names.is_fresh());
        names.ask_again();
        assert_eq!((names.is_fresh(), names.asking), (false, None));
        assert_eq!(names.ordered(), [second, first]);
        names.forget();
        assert_eq!(names.ordered(), [first, second]);
    }
}
