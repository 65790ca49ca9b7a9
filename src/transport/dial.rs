//! Dialling: from the host of a URI to a TCP connection.

use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ureq::Error;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, Either, NextTimeout, ShutdownHandle, Transport,
};

use super::control::{Control, interrupted};
use super::hooks::Hooks;
use super::race::{self, Lost};
use super::tcp::Tcp;

/// Opens TCP connections to the host of the URI, or to the proxy.
#[derive(Debug)]
pub(super) struct Dialler {
    pub control: Arc<Control>,
    /// Host and port to dial, whatever the URI says: the relay's or the proxy's.
    pub next_hop: (String, u16),
    /// Longest time to connect, for all addresses of the host together.
    pub timeout: Duration,
    pub buffer: usize,
    pub hooks: Hooks,
}

impl Dialler {
    fn dial(&self) -> Result<TcpStream, Error> {
        let (host, port) = &self.next_hop;
        let addrs = self.control.resolve(&self.hooks, host, *port)?;
        let interrupt = self.control.begin_connect()?;
        let (tried, outcome) = race::connect(&addrs, self.timeout, &self.hooks, interrupt.as_fd());
        let worked = outcome.as_ref().ok().map(|(addr, _)| *addr);
        if let Some(addr) = worked {
            log::debug!("connected to {addr}");
        }
        self.control.end_connect(worked, &addrs[..tried]);
        outcome.map(|(_, stream)| stream).map_err(|lost| match lost {
            Lost::Cancelled => interrupted(),
            Lost::Hook(failed) => Error::Other(Box::new(failed)),
            Lost::Io(error) => Error::Io(error),
        })
    }
}

impl<In: Transport> Connector<In> for Dialler {
    type Out = Either<In, Tcp>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if chained.is_some() {
            return Ok(chained.map(Either::A));
        }
        let stream = Arc::new(self.dial()?);
        stream.set_nodelay(true)?;
        self.control.connected(&stream)?;
        let weak: Weak<TcpStream> = Arc::downgrade(&stream);
        (details.register_shutdown)(weak as Weak<dyn ShutdownHandle>)?;
        let tcp = Tcp::new(stream, Arc::clone(&self.control), self.timeout, self.buffer);
        Ok(Some(Either::B(tcp)))
    }
}

/// Gives ureq no address: [`Dialler`] resolves the name itself, and only when it dials.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}
