//! For whom a request counts.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// For whom requests count, where limits are shared out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Origin {
    /// This machine's own, or those of a proxy on it that nobody named: no share and no rate binds them.
    #[default]
    Exempt,
    /// An IPv4 address, or the first address of an IPv6 network of 64 bits.
    Address(IpAddr),
    /// The subject of a token.
    Subject(Arc<str>),
}

impl Origin {
    /// The origin of an address.
    pub fn of(address: IpAddr) -> Self {
        match network(address) {
            local if local.is_loopback() => Self::Exempt,
            other => Self::Address(other),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exempt => f.write_str("this machine"),
            Self::Address(address @ IpAddr::V6(_)) => write!(f, "{address}/64"),
            Self::Address(address) => address.fmt(f),
            Self::Subject(subject) => subject.fmt(f),
        }
    }
}

/// The address for whose share a connection counts: of IPv6 a network of 64 bits, as a household is given.
pub(in crate::relay) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))
        }
        other => other,
    }
}
