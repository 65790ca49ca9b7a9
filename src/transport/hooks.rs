//! The program's own functions below a client: for sockets before they connect, names and threads.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

type OnSocket = dyn Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync;
type OnResolve = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;
type OnThread = dyn Fn() + Send + Sync;

/// Functions of the program that byway calls where a system wants something done that byway cannot
/// know. By default there are none.
///
/// ```
/// # use byway::{client::Config, transport::Hooks};
/// let hooks = Hooks::default().on_socket(|_socket| Ok(())); // here: SO_MARK, SO_BINDTODEVICE
/// let config = Config { hooks, ..Config::new("http://relay.example:8080") };
/// ```
///
/// Byway calls the functions from its own threads, with no lock held, perhaps from several threads at
/// once. They must not call the client that they belong to, which may be waiting for them. They may
/// use other clients. They live until the last thread of the client has ended, which after an
/// abort, or while a name is being resolved, is later than the end of the client.
#[derive(Clone, Default)]
pub struct Hooks {
    socket: Option<Arc<OnSocket>>,
    resolve: Option<Arc<OnResolve>>,
    thread_start: Option<Arc<OnThread>>,
    thread_end: Option<Arc<OnThread>>,
}

impl Hooks {
    /// Sets the function that is called for every TCP socket, to the relay or to a proxy, before the
    /// socket connects: to bind it to a network, or to mark it. A thread that exchanges with the relay
    /// calls the function, several times a dial if the host has several addresses. The function's time is
    /// part of the time to connect, and is not cut short.
    ///
    /// An `Err` closes that socket, and the next address of the host is tried. If the function refused
    /// all sockets, the path is blocked with [`Blocked::Hook`](crate::error::Blocked::Hook).
    #[must_use]
    pub fn on_socket(
        mut self,
        hook: impl Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.socket = Some(Arc::new(hook));
        self
    }

    /// Sets the function that resolves the host of the relay or proxy, with the port that is to be
    /// dialled, in the place of the system's resolver. Addresses are tried in the order of its result,
    /// but with families alternating. Numeric addresses are not resolved.
    ///
    /// The function may block: a thread of its own calls it. After 6 s the dial goes on without an
    /// answer, with older addresses or none, and the answer counts from when it comes.
    ///
    /// After an `Err`, and without an address, the path is blocked with
    /// [`Blocked::Dns`](crate::error::Blocked::Dns) unless older addresses are known.
    #[must_use]
    pub fn on_resolve(
        mut self,
        hook: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.resolve = Some(Arc::new(hook));
        self
    }

    /// Sets the function that every thread of the client calls first. There are up to three threads at
    /// most times: two that exchange, for as long as the client lives, and a third while a name is being
    /// resolved.
    #[must_use]
    pub fn on_thread_start(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.thread_start = Some(Arc::new(hook));
        self
    }

    /// Sets the function that every thread of the client calls last, however the thread ends.
    #[must_use]
    pub fn on_thread_end(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.thread_end = Some(Arc::new(hook));
        self
    }

    /// Starts a thread of the client.
    pub(crate) fn spawn(
        &self,
        thread: Builder,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let (start, end) = (self.thread_start.clone(), self.thread_end.clone());
        thread.spawn(move || {
            // Dropped last. Made here, since the caller drops the closure of a thread that cannot start.
            let _end = ThreadEnd(end);
            if let Some(start) = start {
                start();
            }
            work();
        })
    }

    pub(super) fn prepare(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.socket.as_ref().map_or(Ok(()), |hook| hook(socket))
    }

    /// Resolves a name by the program's function; `None`: the system is to resolve the name.
    pub(super) fn resolve(&self, host: &str, port: u16) -> Option<io::Result<Vec<SocketAddr>>> {
        self.resolve.as_ref().map(|hook| hook(host, port))
    }
}

struct ThreadEnd(Option<Arc<OnThread>>);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        if let Some(hook) = self.0.take() {
            hook();
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("socket", &self.socket.is_some())
            .field("resolve", &self.resolve.is_some())
            .field("thread_start", &self.thread_start.is_some())
            .field("thread_end", &self.thread_end.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn hooks_of_threads_are_called_only_in_threads_that_start() {
        let (tx, rx) = channel();
        let (on_start, on_end) = (tx.clone(), tx);
        let hooks = Hooks::default()
            .on_thread_start(move || on_start.send("start").unwrap())
            .on_thread_end(move || on_end.send("end").unwrap());
        // Most of the address space, in whole pages of any size; qemu gives half of that.
        let endless = (usize::MAX / 8 * 7) & !0xffff;
        let refused = hooks.spawn(Builder::new().stack_size(endless), || ());
        assert!(refused.is_err(), "a stack of {endless} octets");
        assert_eq!(rx.try_iter().next(), None);
        hooks.spawn(Builder::new(), || ()).unwrap().join().unwrap();
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), ["start", "end"]);
    }
}
