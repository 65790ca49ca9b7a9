//! Which targets a listener dials that lets its peers choose (`--to-any`).
//!
//! A target is allowed by a name or by its address. Names point anywhere, also by the choice of somebody else: so
//! a name that matches a pattern with `*` is dialled at public addresses alone. An address that is not public, as
//! one of this machine or of its network, is dialled only where a pattern has it as an address or a network, or
//! the very name and ports without `*`. What is dialled are the addresses that were checked.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use wildmatch::WildMatch;

use super::socks::Host;

/// A pattern of targets, as in `*.example.org:443`, `10.0.0.0/8:22` or `nas:8000-8080`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    hosts: Hosts,
    ports: Ports,
}

#[derive(Debug, Clone, PartialEq)]
enum Hosts {
    /// The addresses of a network, however a target names them.
    Network(IpNet),
    /// This name, in lower case.
    Name(String),
    /// Names that match, in lower case.
    Names(WildMatch),
    /// All names, and all addresses that are public.
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ports {
    Any,
    Some(RangeInclusive<u16>),
}

impl Ports {
    fn have(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Some(ports) => ports.contains(&port),
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |cause: &str| {
            format!(
                "{cause}; write host:port, as in *.example.org:443, 10.0.0.0/8:*, [fd00::/8]:22 or nas:8000-8080"
            )
        };
        let (host, ports) = text.rsplit_once(':').ok_or_else(|| wrong("it has no port"))?;
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|octet| octet.is_ascii_digit()) => Ok(port),
            Ok(_) | Err(_) => Err(wrong("ports are numbers from 1 to 65535")),
        };
        let ports = match ports.split_once('-') {
            _ if ports == "*" => Ports::Any,
            Some((first, last)) => Ports::Some(port(first)?..=port(last)?),
            None => Ports::Some(port(ports)?..=port(ports)?),
        };
        if matches!(&ports, Ports::Some(range) if range.is_empty()) {
            return Err(wrong("the first port is above the last"));
        }
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let bare = bracketed.unwrap_or(host);
        let network = bare.parse::<IpAddr>().map(IpNet::from).ok().or_else(|| bare.parse().ok());
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*');
        let hosts = match network {
            Some(IpNet::V6(_)) if bracketed.is_none() => {
                return Err(wrong("an IPv6 address stands in brackets"));
            }
            Some(network) => Hosts::Network(network),
            None if host == "*" => Hosts::Any,
            None if host.is_empty() || !host.chars().all(is_name) => {
                return Err(wrong("its host is no name, address or network"));
            }
            None if host.contains('*') => Hosts::Names(WildMatch::new(&plain(host))),
            None => Hosts::Name(plain(host)),
        };
        Ok(Self { hosts, ports })
    }
}

/// A name as names are compared.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The targets that are allowed.
#[derive(Debug)]
pub struct Allowed(Vec<Pattern>);

/// Why a target is not dialled.
#[derive(Debug)]
pub enum NotAllowed {
    Policy,
    Unresolved(io::Error),
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy => f.write_str(
                "no --allow has it; an address that is not public takes its network, or its very name and port, as --allow HOST:PORT",
            ),
            Self::Unresolved(error) => write!(f, "its name does not resolve: {error}"),
        }
    }
}

impl Allowed {
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    /// The addresses of a target that may be dialled.
    pub fn resolve(&self, host: &Host, port: u16) -> Result<Vec<SocketAddr>, NotAllowed> {
        let addresses: Vec<SocketAddr> = match host {
            Host::Address(address) => vec![(*address, port).into()],
            // What no pattern could allow is not even resolved.
            Host::Name(name) if !self.may_have(name, port) => return Err(NotAllowed::Policy),
            Host::Name(name) => {
                let found = (name.as_str(), port).to_socket_addrs();
                found.map_err(NotAllowed::Unresolved)?.collect()
            }
        };
        let allowed = addresses.into_iter().filter(|address| self.has(host, *address));
        let allowed: Vec<_> = allowed.collect();
        if allowed.is_empty() { Err(NotAllowed::Policy) } else { Ok(allowed) }
    }

    /// Whether a pattern could allow an address of that name.
    fn may_have(&self, name: &str, port: u16) -> bool {
        let name = plain(name);
        self.0.iter().filter(|pattern| pattern.ports.have(port)).any(|pattern| {
            match &pattern.hosts {
                Hosts::Network(_) | Hosts::Any => true,
                Hosts::Name(own) => *own == name,
                Hosts::Names(names) => names.matches(&name),
            }
        })
    }

    /// Whether this address may be dialled for a target that is `host`.
    fn has(&self, host: &Host, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let name = match host {
            Host::Name(name) => Some(plain(name)),
            Host::Address(_) => None,
        };
        self.0.iter().filter(|pattern| pattern.ports.have(address.port())).any(|pattern| {
            match (&pattern.hosts, &name) {
                (Hosts::Network(network), _) => network.contains(&ip),
                (Hosts::Any, _) => is_public(ip),
                (Hosts::Name(own), Some(name)) => {
                    own == name && (pattern.ports != Ports::Any || is_public(ip))
                }
                (Hosts::Names(names), Some(name)) => names.matches(name) && is_public(ip),
                (Hosts::Name(_) | Hosts::Names(_), None) => false,
            }
        })
    }
}

/// Whether an address is one of the public Internet (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let is_special = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        // Of providers' NATs, of protocols, of benchmarks.
        || (a == 100 && (b & 0xc0) == 64)
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (b & 0xfe) == 18);
    !is_special
}

/// Only global unicast, and of that not what holds an IPv4 address or is for protocols and documentation.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    let is_global = a & 0xe000 == 0x2000;
    let is_special = (a == 0x2001 && b < 0x200) || (a, b) == (0x2001, 0xdb8) || a == 0x2002;
    // 3fff::/20 is for documentation (RFC 9637).
    is_global && !is_special && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(patterns: &[&str], host: &str, address: &str) -> bool {
        let parse = |text: &&str| text.parse().expect(text);
        let allowed = Allowed::new(patterns.iter().map(parse).collect());
        let host = host.parse().map_or_else(|_| Host::Name(host.into()), Host::Address);
        allowed.has(&host, address.parse().expect("an address"))
    }

    #[test]
    fn name_with_a_wildcard_is_dialled_at_public_addresses_alone() {
        for pattern in ["*.example.org:443", "*:443", "*:*", "a.*:400-500"] {
            assert!(has(&[pattern], "A.example.org.", "93.184.215.14:443"), "{pattern}");
            for inner in [
                "127.0.0.1:443",
                "10.1.2.3:443",
                "169.254.169.254:443",
                "192.168.0.1:443",
                "0.0.0.0:443",
                "100.64.0.1:443",
                "[::1]:443",
                "[fe80::1]:443",
                "[fd00::1]:443",
                "[::ffff:10.0.0.1]:443",
                "[::]:443",
                "[64:ff9b::a00:1]:443",
                "[2002:a00:1::]:443",
                "224.0.0.1:443",
            ] {
                assert!(!has(&[pattern], "a.example.org", inner), "{pattern} {inner}");
            }
        }
        assert!(!has(&["*.example.org:443"], "a.example.org", "93.184.215.14:80"));
        assert!(!has(&["*.example.org:443"], "a.example.net", "93.184.215.14:443"));
    }

    #[test]
    fn very_name_and_port_is_dialled_wherever_it_is() {
        assert!(has(&["nas:445"], "NAS", "192.168.1.5:445"));
        assert!(has(&["localhost:22"], "localhost", "[::1]:22"));
        assert!(!has(&["nas:*"], "nas", "192.168.1.5:445"));
        assert!(!has(&["nas:445"], "nas", "192.168.1.5:446"));
        assert!(!has(&["nas:445"], "192.168.1.5", "192.168.1.5:445"));
    }

    #[test]
    fn network_is_dialled_however_the_target_names_it() {
        for host in ["10.0.0.7", "web.example"] {
            assert!(has(&["10.0.0.0/8:80"], host, "10.0.0.7:80"));
            assert!(!has(&["10.0.0.0/8:80"], host, "11.0.0.7:80"));
        }
        assert!(has(&["127.0.0.1:*"], "::ffff:127.0.0.1", "[::ffff:127.0.0.1]:9"));
        assert!(has(&["[fd00::/8]:22"], "fd00::1", "[fd00::1]:22"));
        assert!(has(&["*:443"], "93.184.215.14", "93.184.215.14:443"));
        assert!(!has(&["*.14:443"], "93.184.215.14", "93.184.215.14:443"));
    }

    #[test]
    fn pattern_has_a_host_and_ports() {
        for bad in [
            "",
            "host",
            "host:",
            ":80",
            "host:0",
            "host:90-80",
            "host:x",
            "fd00::/8:22",
            "10.0.0.0/33:80",
            "a?b:80",
            "http://a:80",
            "host:+80",
        ] {
            let error = bad.parse::<Pattern>().expect_err(bad);
            assert!(error.contains("write host:port"), "{error}");
        }
    }
}
