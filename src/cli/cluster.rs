//! The options by which a relay is one of many.

use std::net::IpAddr;
use std::path::PathBuf;

use byway::relay::ClusterConfig;
use clap::Args;

use super::failure::CommandError;
use super::say;

/// A relay's cluster.
#[derive(Debug, Args)]
pub struct ClusterOptions {
    /// Be one relay with all others of this cluster: a NATS server with JetStream, nats:// or tls://, with
    /// USER:PASSWORD@ where needed; more after commas. Behind any load balancer, requests of a client may go to
    /// any of the relays. All relays have the same policy
    #[arg(long, value_name = "URL[,URL...]", value_delimiter = ',')]
    cluster: Vec<String>,
    /// The cluster's name, of letters, digits, - and _, where several share the servers
    #[arg(long, value_name = "NAME", default_value = "byway", requires = "cluster")]
    cluster_name: String,
    /// A file with a line USER:PASSWORD for the servers, in the place of those in a URL, which others on this machine
    /// see
    #[arg(long, value_name = "FILE", requires = "cluster", conflicts_with = "cluster_credentials")]
    cluster_password: Option<PathBuf>,
    /// A file with a JWT and a seed for the servers, as `nsc` makes them
    #[arg(long, value_name = "FILE", requires = "cluster")]
    cluster_credentials: Option<PathBuf>,
    /// A PEM file of authorities that signed the servers' certificates, beside those of the system
    #[arg(long, value_name = "FILE", requires = "cluster")]
    cluster_ca: Option<PathBuf>,
}

impl ClusterOptions {
    /// Checks what can be checked without the servers.
    pub fn check(&self) -> Result<(), CommandError> {
        let Some(config) = self.config() else { return Ok(()) };
        config.check().map_err(|error| {
            CommandError::usage(format_args!(
                "cannot be one of a cluster: {error}; mend it, or change --cluster and what belongs to it"
            ))
        })
    }

    /// The cluster that the options name.
    pub fn config(&self) -> Option<ClusterConfig> {
        if self.cluster.is_empty() {
            return None;
        }
        let mut config = ClusterConfig::new(self.cluster.clone(), self.cluster_name.clone());
        config.credentials.clone_from(&self.cluster_credentials);
        config.password.clone_from(&self.cluster_password);
        config.roots.clone_from(&self.cluster_ca);
        Some(config)
    }

    /// Tells of servers that everybody between could read and write along with: what they bring is believed.
    pub fn warn(&self) {
        for url in self.cluster.iter().filter(|url| is_readable(url)) {
            let shown = url.rsplit('@').next().unwrap_or(url);
            say(format_args!(
                "byway: warning: the cluster's bus at {shown} is reached without TLS: whoever is between reads tokens and speaks for every client; use tls://, or a network of the relays alone"
            ));
        }
    }
}

/// Whether the octets to a server can be read between: no TLS, and not on this machine.
fn is_readable(url: &str) -> bool {
    let Ok(server) = url.parse::<async_nats::ServerAddr>() else { return false };
    let is_local = match server.host().trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => server.host() == "localhost",
    };
    !server.tls_required() && !is_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bus_beyond_this_machine_without_tls_is_readable() {
        assert!(is_readable("nats://bus.example:4222"));
        assert!(is_readable("nats://user:word@10.0.0.1"));
        for fine in
            ["nats://127.0.0.1:4222", "nats://[::1]:4222", "nats://localhost", "tls://bus.example"]
        {
            assert!(!is_readable(fine), "{fine}");
        }
    }
}
