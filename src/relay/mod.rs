//! The relay: an HTTP server in front of a router.
//!
//! [`router`] decides, without I/O or a clock, which request waits, which message goes into which
//! response, and what becomes of a message whose receiver is not there. [`Relay`] carries its requests and
//! responses over HTTP/1.1 with hyper, on threads of its own, so that any program can embed it:
//!
//! ```
//! use byway::relay::{Relay, RelayConfig};
//!
//! let relay = Relay::bind(RelayConfig::default())?;
//! println!("clients dial {}", relay.url());
//! relay.shutdown(std::time::Duration::from_secs(1));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Relays of a [`cluster`] are one to their clients.
//!
//! The relay keeps nothing: it may be killed and started again on the same address at any time, and
//! the clients go on.

mod admission;
mod answers;
mod body;
mod carrier;
pub mod cluster;
mod connection;
mod framing;
mod monitor;
mod places;
mod probe;
mod proxies;
mod proxy_header;
mod refusal;
mod reuse;
pub mod router;
mod server;
mod service;
mod shared;
mod stall;
#[cfg(test)]
mod tests;
#[cfg(feature = "relay-tls")]
mod tls;
mod traffic;
mod worker;

pub use admission::{AdmissionStats, Grant, NewToken, Policy, PolicyError};
#[cfg(feature = "cluster")]
pub use cluster::ClusterConfig;
pub use cluster::ClusterStats;
pub use monitor::{Phase, RelayBounds, RelayMonitor, RelayStats};
pub use places::ConnectionStats;
pub use router::{LimitStats, Rate, RouterConfig, RouterStats, WaitStats};
pub use server::{Access, Relay, RelayConfig};
#[cfg(feature = "relay-tls")]
pub use tls::{Certificate, CertificateFault};
pub use traffic::TrafficStats;
