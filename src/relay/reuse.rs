//! Whether a proxy uses its connections again, and behind which answers the relay closes them.
//!
//! Squid, for one, opens a connection for each request that has a body, and closes the connection before. The side that
//! closes first keeps the port for a minute (TIME-WAIT; RFC 9293, section 3.6.1). At some 235 requests a second half of the
//! ports are kept that Linux has for one destination, and the search for another one takes the proxy's host
//! milliseconds each time. A listener needs no ports: the relay closes first, where a proxy does not come back anyway.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

/// After how many connections in a row with one request a proxy is taken for one that opens a connection for
/// each: a pool of idle connections that happen to end shows so many seldom.
const IN_A_ROW: u8 = 8;

/// One of so many connections is left open even so: by its next request a proxy shows that it has changed its way.
const TRIAL: u8 = 64;

/// The most proxies that are remembered. Beyond, all are forgotten, which costs each eight connections.
const MOST: usize = 1024;

/// What is known of each proxy, by its address.
#[derive(Default)]
pub(super) struct Reuse(Mutex<FxHashMap<IpAddr, Habit>>);

/// What the last connections of a proxy were like.
enum Habit {
    /// So many in a row had one request.
    Single(u8),
    /// All of late had one request; the relay closed so many since it left one open.
    Closed(u8),
}

impl Reuse {
    fn lock(&self) -> MutexGuard<'_, FxHashMap<IpAddr, Habit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the relay closes the connection behind its first answer.
    pub fn is_in_vain(&self, proxy: IpAddr) -> bool {
        let mut habits = self.lock();
        let Some(Habit::Closed(closed)) = habits.get_mut(&proxy) else { return false };
        *closed = (*closed + 1) % TRIAL;
        *closed != 0
    }

    /// A connection had another request.
    pub fn note_again(&self, proxy: IpAddr) {
        self.lock().remove(&proxy);
    }

    /// A connection ended that the relay would have kept, and had one request.
    pub fn note_single(&self, proxy: IpAddr) {
        let mut habits = self.lock();
        if habits.len() >= MOST && !habits.contains_key(&proxy) {
            habits.clear();
        }
        let habit = habits.entry(proxy).or_insert(Habit::Single(0));
        if let Habit::Single(row) = habit {
            *row += 1;
            if *row >= IN_A_ROW {
                *habit = Habit::Closed(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn single(reuse: &Reuse) {
        for _ in 0..IN_A_ROW {
            assert!(!reuse.is_in_vain(PROXY));
            reuse.note_single(PROXY);
        }
    }

    #[test]
    fn connections_of_a_proxy_are_closed_once_several_had_one_request() {
        let reuse = Reuse::default();
        single(&reuse);
        assert!(reuse.is_in_vain(PROXY));
        assert!(!reuse.is_in_vain([192, 0, 2, 2].into()));
    }

    #[test]
    fn some_connections_are_left_open_and_another_request_on_such_ends_the_closing() {
        let reuse = Reuse::default();
        single(&reuse);
        let open = (0..2 * TRIAL).filter(|_| !reuse.is_in_vain(PROXY)).count();
        assert_eq!(open, 2);
        reuse.note_again(PROXY);
        single(&reuse);
    }

    #[test]
    fn proxies_are_forgotten_when_there_are_too_many() {
        let reuse = Reuse::default();
        for n in 0..4 * MOST as u32 {
            reuse.note_single(std::net::Ipv4Addr::from(n).into());
            assert!(reuse.lock().len() <= MOST);
        }
    }
}
