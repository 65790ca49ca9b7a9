//! The relay.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use byway::relay::{Relay, RelayConfig};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, info};

use super::announce;
use super::failure::Failure;
use super::signals::Signals;

/// How long exchanges under way may take when it is to stop. Parks are answered at once, and a
/// client has given up on a send after 4 s.
const SHUTDOWN: Duration = Duration::from_secs(4);

/// Where the relay is to be found, and how much it takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// What stands before /v1 in the URL's path
    #[arg(long, value_name = "PATH", default_value = "")]
    base: String,
    /// Most connections at once, two for each client, within what the system allows (ulimit -n). An
    /// eighth is kept for clients that are there already; newcomers beyond are asked to come back
    /// [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    max_connections: Option<NonZeroUsize>,
    /// Most connections of one IPv4 address or IPv6 network (/64); this machine's own are not
    /// counted. Give all of them if a proxy on another machine stands before the relay
    /// [default: half of --max-connections]
    #[arg(long, value_name = "NUMBER")]
    max_connections_per_address: Option<NonZeroUsize>,
    /// Most clients remembered, each for five minutes after its last request [default: 65536]
    #[arg(long, value_name = "NUMBER")]
    max_sessions: Option<NonZeroUsize>,
    /// Threads [default: one for two cores]
    #[arg(long, value_name = "NUMBER")]
    workers: Option<NonZeroU16>,
}

impl Options {
    fn config(&self) -> RelayConfig {
        let mut config = RelayConfig {
            listen: self.listen,
            base: self.base.clone(),
            max_connections_per_address: self.max_connections_per_address,
            ..RelayConfig::default()
        };
        if let Some(most) = self.max_connections {
            config.max_connections = most.get();
        }
        if let Some(most) = self.max_sessions {
            config.router.max_sessions = most.get();
        }
        if let Some(workers) = self.workers {
            config.workers = workers.get().into();
        }
        config
    }
}

/// Runs a relay until a signal ends it: the first in order, a second one at once.
pub fn run(options: &Options) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    raise_descriptors();
    let relay = Relay::bind(options.config())
        .map_err(|error| Failure::bind(&error, options.listen, "--listen"))?;
    announce(relay.url());
    let number = signals.wait();
    info!("stopping on signal {number}");
    signals.then_exit(|| {})?;
    relay.shutdown(SHUTDOWN);
    Ok(())
}

/// Takes as many file descriptors as the system lets this process have.
fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // With what it has it runs, too, with fewer connections.
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        debug!("the limit of file descriptors stays {current:?}: {error}");
    }
}
