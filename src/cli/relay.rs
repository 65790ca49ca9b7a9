//! The relay.

use std::net::SocketAddr;
use std::time::Duration;

use byway::relay::{Relay, RelayConfig};
use clap::Args;
use tracing::info;

use super::announce;
use super::failure::Failure;
use super::signals::Signals;

/// How long exchanges under way may take when it is to stop. Parks are answered at once, and a
/// client has given up on a send after 4 s.
const SHUTDOWN: Duration = Duration::from_secs(4);

/// Where the relay is to be found.
#[derive(Debug, Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// What stands before /v1 in the URL's path
    #[arg(long, value_name = "PATH", default_value = "")]
    base: String,
}

/// Runs a relay until SIGINT or SIGTERM.
pub fn run(options: &Options) -> Result<(), Failure> {
    let signals = Signals::catch()?;
    let config = RelayConfig {
        listen: options.listen,
        base: options.base.clone(),
        ..RelayConfig::default()
    };
    let relay =
        Relay::bind(config).map_err(|error| Failure::bind(&error, options.listen, "--listen"))?;
    announce(relay.url());
    let number = signals.wait();
    info!("stopping on signal {number}");
    relay.shutdown(SHUTDOWN);
    Ok(())
}
