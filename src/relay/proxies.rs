//! For whom a request counts: the address that a connection comes from, or the one that a named proxy tells.

use std::net::IpAddr;

use hyper::header::HeaderMap;
use ipnet::IpNet;

use super::router::Origin;

/// The field in which a proxy tells the addresses behind it, each proxy at the end.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The fields by which a front shows that a request is not its own (RFC 7239; RFC 9110, section 7.6.3).
const PASSED_ON: [&str; 3] = [FORWARDED_FOR, "forwarded", "via"];

/// The networks of proxies whose word is taken.
#[derive(Debug, Clone, Default)]
pub(super) struct TrustedProxies(Vec<IpNet>);

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The address of its socket.
    Peer(IpAddr),
    /// The address that a named proxy told before all else.
    Told(IpAddr),
}

impl Source {
    fn address(self) -> IpAddr {
        let (Self::Peer(address) | Self::Told(address)) = self;
        address
    }

    /// For whom the connection counts. A loopback address that a proxy tells is somebody else's.
    pub fn origin(self) -> Origin {
        match (Origin::of(self.address()), self) {
            (Origin::Exempt, Self::Told(address)) => Origin::Address(address),
            (origin, _) => origin,
        }
    }
}

impl TrustedProxies {
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether a proxy of this address is named.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// For whom a request counts that came from there. Behind a named proxy: the rightmost address
    /// told that is not one, as those further left may be the client's invention.
    pub fn origin(&self, source: Source, headers: &HeaderMap) -> Origin {
        let peer = source.address();
        if !self.contains(peer) {
            return match source.origin() {
                // A front on this machine that nobody named: somebody else's request, from wherever.
                Origin::Exempt if PASSED_ON.iter().any(|field| headers.contains_key(*field)) => {
                    Origin::Address(peer)
                }
                origin => origin,
            };
        }
        let mut nearest = source;
        let told = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let told: Vec<_> = told.flat_map(|value| value.split(',')).collect();
        for address in told.iter().rev() {
            let Some(address) = parse(address) else { break };
            nearest = Source::Told(address);
            if !self.contains(address) {
                break;
            }
        }
        nearest.origin()
    }
}

/// An address as proxies write it: some with a port, IPv6 then in brackets.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(text);
    bare.parse().ok().or_else(|| bare.parse::<std::net::SocketAddr>().ok().map(|with| with.ip()))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, HeaderValue};

    use super::{Origin, Source, TrustedProxies};

    fn origin(proxies: &[&str], peer: &str, told: &[&'static str]) -> String {
        let proxies = proxies.iter().map(|text| text.parse().expect("a network")).collect();
        let mut headers = HeaderMap::new();
        for value in told {
            headers.append(super::FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let peer = Source::Peer(peer.parse().expect("an address"));
        TrustedProxies::new(proxies).origin(peer, &headers).to_string()
    }

    #[test]
    fn forwarded_address_of_an_unnamed_proxy_is_ignored() {
        assert_eq!(origin(&[], "192.0.2.1", &["203.0.113.7"]), "192.0.2.1");
        assert_eq!(origin(&["10.0.0.0/8"], "192.0.2.1", &["203.0.113.7"]), "192.0.2.1");
    }

    #[test]
    fn requests_that_an_unnamed_front_passes_on_count_for_its_address() {
        assert_eq!(origin(&[], "127.0.0.1", &[]), Origin::Exempt.to_string());
        assert_eq!(origin(&[], "127.0.0.1", &["203.0.113.7"]), "127.0.0.1");
        let named = TrustedProxies::new(vec!["127.0.0.2/32".parse().expect("a network")]);
        for field in ["via", "forwarded", "x-forwarded-for"] {
            let mut headers = HeaderMap::new();
            headers.insert(field, HeaderValue::from_static("1.1 front"));
            let peer = "127.0.0.1".parse().expect("an address");
            let origin = named.origin(Source::Peer(peer), &headers);
            assert_eq!(origin, Origin::Address(peer), "{field}");
        }
    }

    #[test]
    fn rightmost_address_that_is_no_named_proxy_counts() {
        let proxies = ["127.0.0.1/32", "10.0.0.0/8"];
        let told = ["1.1.1.1, 203.0.113.7, 10.2.3.4"];
        assert_eq!(origin(&proxies, "127.0.0.1", &told), "203.0.113.7");
        assert_eq!(
            origin(&proxies, "127.0.0.1", &["1.1.1.1", "203.0.113.7 , 10.1.1.1"]),
            "203.0.113.7"
        );
        assert_eq!(origin(&proxies, "::ffff:10.0.0.9", &["203.0.113.7:4711"]), "203.0.113.7");
        assert_eq!(origin(&proxies, "10.0.0.9", &["[2001:db8:1:2:3::4]:80"]), "2001:db8:1:2::/64");
    }

    #[test]
    fn nothing_left_of_what_is_no_address_is_believed() {
        let proxies = ["10.0.0.0/8"];
        assert_eq!(origin(&proxies, "10.0.0.9", &["203.0.113.7, unknown"]), "10.0.0.9");
        assert_eq!(origin(&proxies, "10.0.0.9", &[]), "10.0.0.9");
        assert_eq!(origin(&proxies, "10.0.0.9", &["203.0.113.7, x, 10.0.0.1"]), "10.0.0.1");
    }

    #[test]
    fn loopback_address_that_a_proxy_tells_is_not_exempt() {
        assert_eq!(origin(&["10.0.0.0/8"], "10.0.0.9", &["127.0.0.1"]), "127.0.0.1");
    }
}
