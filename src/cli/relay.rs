//! The command that runs a relay.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use byway::relay::{Access, Policy, PolicyError, Relay, RelayConfig};
use byway::secure::HostDigest;
use clap::Args;
use ipnet::IpNet;
use tracing::info;

use super::cluster::ClusterOptions;
use super::failure::CommandError;
use super::files::Files;
use super::limits::Limits;
use super::metrics::{self, MetricsOptions};
use super::signals::{self, Asked, Hangup, Signals};
use super::sockets::{self, Listen};
use super::{announce, notify, parse, say};

/// How long exchanges under way may take when the relay stops. The relay answers parks at once, and a
/// client gives up on a send after 4 s.
const SHUTDOWN: Duration = Duration::from_secs(4);

/// How long SIGTERM has clients spread their leave over, in seconds, unless told: less than the 5 s for which a relay
/// that was just started tells nobody that a listener is not there (`grace_ms`), with some time for its start. Ten
/// thousand clients then are 3,300 a second; all at once they keep a relay busy for up to two seconds.
const DRAIN: u64 = 3;

/// The options of a relay: its addresses and limits.
#[derive(Debug, Args)]
pub struct Options {
    /// Where to listen, at all addresses of a name; port 0 takes a free one. Or by the sockets that the service
    /// manager opened and passed on (systemd's socket units): systemd
    #[arg(long, value_name = "HOST:PORT|systemd", default_value = "127.0.0.1:8080", value_parser = parse::listen)]
    listen: Listen,
    /// What stands before /v1 in the URL's path; what has no place in a URL is percent-encoded
    #[arg(long, value_name = "PATH", default_value = "", value_parser = parse::base, hide_default_value = true)]
    base: String,
    /// Most connections at once, two for each client, within what the system allows (ulimit -n). An
    /// eighth is kept for clients that are there already; newcomers beyond are asked to come back
    /// [default: 10000]
    #[arg(long, value_name = "NUMBER", value_parser = parse::connections)]
    max_connections: Option<usize>,
    /// Most connections of one IPv4 address or IPv6 network (/64); this machine's own are not
    /// counted. Give all of them if a proxy on another machine stands before the relay
    /// [default: half of --max-connections]
    #[arg(long, value_name = "NUMBER", value_parser = parse::connections_per_address)]
    max_connections_per_address: Option<NonZeroUsize>,
    /// Most clients remembered, each for five minutes after its last request [default: 65536]
    #[arg(long, value_name = "NUMBER", value_parser = parse::sessions)]
    max_sessions: Option<usize>,
    /// Let only bearers of the tokens in this policy file in: byway help policy. SIGHUP has the file
    /// read again: with an error in it what was read before stays, and requests under way end whose token is gone
    #[arg(long, value_name = "FILE", conflicts_with = "open")]
    policy: Option<PathBuf>,
    /// Let everybody in that reaches the relay, also from other machines
    #[arg(long)]
    open: bool,
    /// A host by which clients dial this relay, as in their URL; may be repeated. The relay takes proofs of
    /// keys for these alone; without it for any, so that another relay that a client dials could claim
    /// the client's key name here
    #[arg(long = "host", value_name = "HOST", value_parser = parse::host)]
    hosts: Vec<HostDigest>,
    /// A proxy before the relay, or a network of such, whose X-Forwarded-For is believed: limits by
    /// address are then for the clients behind it. Name one on this machine as well, and say --policy or --open:
    /// what it passes on else counts for its own address, or is answered 403. May be repeated
    #[arg(long = "trusted-proxy", value_name = "ADDRESS|NETWORK/BITS", value_parser = parse::network)]
    trusted_proxies: Vec<IpNet>,
    /// Connections of these proxies begin with a header of the PROXY protocol, version 1 or 2, that tells whose
    /// they are, as those of haproxy with send-proxy-v2
    #[arg(long, requires = "trusted_proxies")]
    proxy_protocol: bool,
    /// Threads [default: one for two cores]
    #[arg(long, value_name = "NUMBER", value_parser = parse::workers)]
    workers: Option<usize>,
    /// On SIGTERM, over how long clients are told to come back at most, so that they do not come to the next
    /// relay in one moment: a thousand a second, more where that takes longer; 0: all at once, as on SIGINT. A second
    /// signal ends the relay at once
    #[arg(long, value_name = "SECONDS", default_value_t = DRAIN, value_parser = parse::drain)]
    drain: u64,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    metrics: MetricsOptions,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    files: Files,
}

impl Options {
    fn config(&self, access: Access) -> RelayConfig {
        let mut config = RelayConfig {
            access,
            base: self.base.clone(),
            max_connections_per_address: self.max_connections_per_address,
            trusted_proxies: self.trusted_proxies.clone(),
            proxy_protocol: self.proxy_protocol,
            cluster: self.cluster.config(),
            ..RelayConfig::default()
        };
        config.router.hosts.clone_from(&self.hosts);
        self.limits.apply(&mut config.router);
        if let Some(most) = self.max_connections {
            config.max_connections = most;
        }
        if let Some(most) = self.max_sessions {
            config.router.max_sessions = most;
        }
        if let Some(workers) = self.workers {
            config.workers = workers;
        }
        config
    }

    fn access(&self) -> Result<Access, CommandError> {
        match &self.policy {
            Some(path) => {
                let policy = Policy::read(path).map_err(|error| cannot_use(path, &error))?;
                Ok(Access::Policy(Arc::new(policy)))
            }
            None if self.open => Ok(Access::Open),
            None => Ok(Access::Loopback),
        }
    }

    /// Reads anew what SIGHUP has read anew. A file that cannot be used is told, and changes nothing.
    fn reload(&self, relay: &Relay) {
        let Some(path) = &self.policy else { return };
        match Policy::read(path) {
            Ok(policy) => {
                relay.set_policy(policy);
                say(format_args!("policy {}: read again", path.display()));
            }
            Err(error) => {
                say(format_args!(
                    "byway: cannot use the policy {}: {error}; mend it and send SIGHUP again: until then the one read before holds",
                    path.display()
                ));
            }
        }
    }
}

fn cannot_use(path: &Path, error: &PolicyError) -> CommandError {
    CommandError::usage(format_args!(
        "cannot use the policy {}: {error}; mend it, or change --policy",
        path.display()
    ))
}

/// Runs a relay until a signal ends it. The first signal ends it in order, a second one at once. Where the
/// options name files, SIGHUP has them read again instead.
pub fn run(options: &Options) -> Result<(), CommandError> {
    // With files, a policy among them, SIGHUP is for reading them again.
    let hangup = match options.policy {
        Some(_) => Hangup::Reloads,
        None => options.files.hangup(),
    };
    let mut signals = Signals::catch_with(hangup)?;
    let access = options.access()?;
    let mut config = options.config(access.clone());
    options.files.load(&mut config)?;
    options.cluster.check()?;
    let metrics = options.metrics.bind()?;
    options.cluster.warn();
    let serve = || {
        let listeners = options.listen.open()?;
        let addresses = sockets::addresses(&listeners)?;
        let beyond = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let (Access::Loopback, Some(address)) = (&access, beyond) {
            return Ok(Err(*address));
        }
        Ok(Ok((addresses, Relay::serve(listeners, config)?)))
    };
    let serving =
        serve().map_err(|error| CommandError::bind(&error, &options.listen, "--listen"))?;
    let (addresses, relay) = serving.map_err(|address| {
        CommandError::usage(format_args!(
            "{address} is open to everybody that reaches it: say who may use the relay by --policy FILE (`byway token new` makes its lines), or that everybody may by --open"
        ))
    })?;
    metrics::serve(metrics, relay.monitor())?;
    let first = relay.local_addr();
    if first.ip().is_unspecified() {
        say(format_args!(
            "at all addresses of this machine: clients dial it by one of them, or by its name, at port {}",
            first.port()
        ));
    }
    announce(relay.url());
    for other in addresses.iter().filter(|address| **address != first) {
        announce(relay.url().replacen(&first.to_string(), &other.to_string(), 1));
    }
    let status = format!("listening on {}", options.listen);
    notify::ready(&status);
    let number = loop {
        let asked = notify::alive_until(|turn| {
            // Behind the lock of all work: a relay that hangs does not come out of it.
            let _ = relay.stats();
            signals.asked_within(turn)
        });
        match asked {
            Asked::Reload => {
                notify::reloading();
                options.reload(&relay);
                options.files.reload(&relay);
                notify::ready(&status);
            }
            Asked::End(number) => break number,
        }
    };
    let drain = Duration::from_secs(if signals::is_term(number) { options.drain } else { 0 });
    info!("stopping on signal {number}, clients leave within {drain:?}");
    notify::stopping(drain + SHUTDOWN);
    signals.then_exit(|| {})?;
    if drain.is_zero() {
        relay.shutdown(SHUTDOWN);
    } else {
        relay.drain(drain, SHUTDOWN);
    }
    Ok(())
}
