//! What a process of the command tells those that watch it: `--metrics ADDRESS`.
//!
//! ```text
//!  server.rs   HTTP on a thread of its own: /metrics, /healthz, /readyz, and the status page at /
//!  access.rs   who may read that
//!  writer.rs   OpenMetrics text
//!  relay.rs    what a relay tells            client.rs  what a client tells
//!  page.rs     the status page, page.html, which reads /metrics
//! ```

mod access;
mod client;
mod page;
mod relay;
mod server;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::failure::CommandError;
use super::{parse, say, sockets};
use access::Access;
pub use client::{Claim, WatchedClient};
use server::Server;
use writer::Writer;

/// Where a process may be watched, and by whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Watching it")]
pub struct MetricsOptions {
    /// Serve metrics at this address, by HTTP: a status page at /, OpenMetrics at /metrics, and /healthz and
    /// /readyz for balancers. An address that other machines reach takes --metrics-token
    #[arg(long, value_name = "HOST:PORT", value_parser = parse::host_port)]
    metrics: Option<String>,
    /// Let only those read metrics and status page that show the token in this file, as a bearer token, or in a
    /// browser as the password of any user. /healthz and /readyz take none
    #[arg(long, value_name = "FILE", requires = "metrics")]
    metrics_token: Option<PathBuf>,
}

/// What is watched.
pub trait Watched: fmt::Debug + Send + Sync + 'static {
    /// Writes its metrics, as they are now.
    fn write(&self, writer: &mut Writer<'_>) -> fmt::Result;

    /// Whether it takes new work.
    fn readiness(&self) -> Readiness;
}

/// Whether a process takes new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// It does not, as it is at this.
    NotReady(&'static str),
}

/// A server that listens, and does not answer before it is told what is watched.
pub struct Bound {
    listeners: Vec<std::net::TcpListener>,
    access: Access,
}

impl MetricsOptions {
    /// Listens where the options say.
    pub fn bind(&self) -> Result<Option<Bound>, CommandError> {
        let Some(address) = &self.metrics else { return Ok(None) };
        let access = match &self.metrics_token {
            Some(path) => Access::by_token(path)?,
            None => Access::Loopback,
        };
        let cannot = |error: &_| CommandError::bind(error, address, "--metrics");
        let listeners = sockets::bind(address).map_err(|error| cannot(&error))?;
        let addresses = sockets::addresses(&listeners).map_err(|error| cannot(&error))?;
        access.check(&addresses)?;
        Ok(Some(Bound { listeners, access }))
    }
}

/// Serves, if that is asked for, until the process ends.
pub fn serve(bound: Option<Bound>, watched: impl Watched) -> Result<(), CommandError> {
    bound.map_or(Ok(()), |bound| bound.serve(watched))
}

impl Bound {
    fn serve(self, watched: impl Watched) -> Result<(), CommandError> {
        let addresses = sockets::addresses(&self.listeners)?;
        server::start(self.listeners, Server::new(self.access, Arc::new(watched)))?;
        for address in addresses {
            say(format_args!("status at http://{address}/, metrics at http://{address}/metrics"));
        }
        Ok(())
    }
}
