//! The values of options, and plain words for what is wrong with them.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use byway::Endpoint;
use byway::relay::Rate;
use byway::secure::{HostDigest, PublicKey};
use ipnet::IpNet;

use super::limits::ChosenRate;
use super::local::LocalAddress;
use super::options::Place;
use super::sockets::Listen;

/// The longest time in seconds, 49 days: the protocol counts milliseconds in 32 bits.
const MAX_SECONDS: usize = 49 * 24 * 60 * 60;

/// The upper bound of a number that only memory bounds.
const MANY: usize = u32::MAX as usize;

/// Parses a TCP address; a name in it is resolved when it is used.
pub fn host_port(text: &str) -> Result<String, String> {
    let wrong = |cause: &str| format!("{cause}; write it as host:port, as in 127.0.0.1:8080");
    if text.contains("://") {
        return Err(wrong("it is a TCP address, not a URL"));
    }
    if let Some(odd) = text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '/') {
        return Err(wrong(&format!("{odd:?} has no place in it")));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("it has no port"))?;
    if host.is_empty() {
        return Err(wrong("it has no host"));
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err(wrong("an IPv6 address stands in brackets, as in [::1]:8080"));
    }
    whole(port, 0..=u16::MAX.into()).map_err(|cause| wrong(&format!("its port: {cause}")))?;
    Ok(text.to_owned())
}

/// Parses an endpoint, or `@:port`.
pub fn place(text: &str) -> Result<Place, String> {
    match text.strip_prefix("@:") {
        Some(port) => whole(port, 0..=u16::MAX.into())
            .map(|port| Place::Own(port as u16))
            .map_err(|cause| format!("the port after the colon: {cause}")),
        None => text.parse::<Endpoint>().map(Place::At).map_err(|error| error.to_string()),
    }
}

/// Parses a key name.
pub fn key_name(text: &str) -> Result<PublicKey, String> {
    text.parse::<PublicKey>().map_err(|error| error.to_string())
}

/// Parses the host of a relay's URL.
pub fn host(text: &str) -> Result<HostDigest, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let is_name = |text: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~');
        !text.is_empty() && text.chars().all(is_plain)
    };
    match bare.parse::<IpAddr>() {
        Ok(address) => Ok(HostDigest::of(&address.to_string())),
        Err(_) if is_name(text) => Ok(HostDigest::of(text)),
        Err(_) => Err("write the host alone, as in relay.example.org: no URL, no port".into()),
    }
}

/// Parses the address of a TCP or a Unix socket: a path with `unix:` before it, or one that cannot be taken for
/// a host.
pub fn local(text: &str) -> Result<LocalAddress, String> {
    let is_path = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
    match text.strip_prefix("unix:").or(is_path.then_some(text)) {
        Some("") => Err("a Unix socket has a path, as in unix:/run/web.sock".into()),
        Some(path) => Ok(LocalAddress::Unix(path.into())),
        None => host_port(text).map(LocalAddress::Tcp),
    }
}

/// Parses the address of a server, where a TCP port is other than 0.
pub fn server(text: &str) -> Result<LocalAddress, String> {
    let address = local(text)?;
    let port = text.rsplit_once(':').map(|(_, port)| port.parse());
    if let (LocalAddress::Tcp(_), Some(Ok(0_u16))) = (&address, port) {
        return Err("no server listens at port 0; write the port of the server".into());
    }
    Ok(address)
}

/// Parses a path of a URL, and percent-encodes it where needed. Octets that are encoded stay so.
pub fn base(text: &str) -> Result<String, String> {
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("'.' and '..' have no place in it: proxies resolve them".into());
    }
    let mut path = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            // RFC 3986, section 3.3: pchar and the slash.
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => path.push(octet.into()),
            b'-' | b'.' | b'_' | b'~' | b'/' | b'%' => path.push(octet.into()),
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' => path.push(octet.into()),
            b',' | b';' | b'=' | b':' | b'@' => path.push(octet.into()),
            _ => path.push_str(&format!("%{octet:02X}")),
        }
    }
    let encoded = |rest: &str| {
        rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    match path.split('%').skip(1).all(encoded) {
        true => Ok(path),
        false => {
            Err("'%' stands before two hexadecimal digits; write %25 for the sign itself".into())
        }
    }
}

/// Parses the number of a relay's connections.
pub fn connections(text: &str) -> Result<usize, String> {
    let why = "a client needs two, and two clients are the least that can talk";
    whole(text, 4..=MANY).map_err(|cause| format!("{cause}: {why}"))
}

/// Parses the number of connections of one address.
pub fn connections_per_address(text: &str) -> Result<NonZeroUsize, String> {
    let most = whole(text, 2..=MANY).map_err(|cause| format!("{cause}: a client needs two"))?;
    NonZeroUsize::new(most).ok_or_else(|| "it is zero".into())
}

/// Parses the number of a relay's sessions.
pub fn sessions(text: &str) -> Result<usize, String> {
    whole(text, 2..=MANY)
        .map_err(|cause| format!("{cause}: two clients are the least that can talk"))
}

/// Parses an address, or a network as in 10.0.0.0/8.
pub fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from).ok();
    address.or_else(|| text.parse().ok()).ok_or_else(|| {
        "write an address or a network, as in 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32".into()
    })
}

/// Parses a size in MiB: as octets.
pub fn mebibytes(text: &str) -> Result<usize, String> {
    whole(text, 1..=(1 << 20)).map(|size| size << 20)
}

/// Parses a rate: how often a second, and how often at once.
pub fn rate(text: &str) -> Result<ChosenRate, String> {
    if text == "none" {
        return Ok(ChosenRate::Any);
    }
    let (rate, burst) = text
        .split_once(':')
        .ok_or("write RATE:BURST, as in 500:5000: so many a second, so many at once; or none")?;
    let whole = |text| whole(text, 1..=1_000_000_000).map(|number| number as u32);
    Ok(ChosenRate::Most(Rate::new(whole(rate)?, whole(burst)?)))
}

/// Parses the number of threads.
pub fn workers(text: &str) -> Result<usize, String> {
    whole(text, 1..=1024)
}

/// Parses a time in seconds.
pub fn seconds(text: &str) -> Result<u64, String> {
    whole(text, 1..=MAX_SECONDS).map(|seconds| seconds as u64)
}

/// The longest time for which a relay drains, in seconds: an hour.
const MAX_DRAIN: usize = 60 * 60;

/// Parses where a relay listens.
pub fn listen(text: &str) -> Result<Listen, String> {
    match text {
        "systemd" => Ok(Listen::Passed),
        _ => host_port(text).map(Listen::At),
    }
}

/// Parses the time over which clients leave, in seconds.
pub fn drain(text: &str) -> Result<u64, String> {
    whole(text, 0..=MAX_DRAIN).map(|seconds| seconds as u64)
}

/// Parses a time in seconds; 0 stands for never.
pub fn seconds_or_never(text: &str) -> Result<u64, String> {
    whole(text, 0..=MAX_SECONDS).map(|seconds| seconds as u64)
}

/// Parses how many there are to be.
pub fn count(text: &str) -> Result<u64, String> {
    whole(text, 1..=MANY).map(|number| number as u64)
}

/// Parses the time between two pings in seconds, which may have a fraction.
pub fn interval(text: &str) -> Result<f64, String> {
    let fits = |seconds: &f64| (0.001..=60.0).contains(seconds);
    text.parse().ok().filter(fits).ok_or_else(|| "write seconds from 0.001 to 60".into())
}

fn whole(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let (least, most) = (range.start(), range.end());
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    match text.parse() {
        Ok(number) if is_number && range.contains(&number) => Ok(number),
        // Out of range, or too many digits for any number.
        Ok(_) | Err(_) => Err(format!("write a whole number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_is_an_address_or_has_bits() {
        assert_eq!(network("10.0.0.1"), "10.0.0.1/32".parse().map_err(|_| String::new()));
        assert_eq!(network("2001:db8::/32"), "2001:db8::/32".parse().map_err(|_| String::new()));
        for bad in ["", "10.0.0.0/33", "proxy.example", "10.0.0.1:80"] {
            network(bad).expect_err(bad);
        }
    }

    #[test]
    fn rate_has_a_burst_or_is_none() {
        assert_eq!(rate("none"), Ok(ChosenRate::Any));
        assert_eq!(rate("5:50"), Ok(ChosenRate::Most(Rate::new(5, 50))));
        for bad in ["", "5", "5:", "0:5", "5:0", "-1:5", "5:50:500"] {
            rate(bad).expect_err(bad);
        }
    }

    #[test]
    fn tcp_address_is_no_url_and_has_host_and_port() {
        for good in ["127.0.0.1:80", "[::1]:80", "host.example:0", "localhost:65535"] {
            assert_eq!(host_port(good).as_deref(), Ok(good));
        }
        for (bad, cause) in [
            ("http://host", "not a URL"),
            ("http://host:80", "not a URL"),
            ("host:80/path", "'/' has no place"),
            ("a host:80", "' ' has no place"),
            ("host", "no port"),
            (":80", "no host"),
            ("::1:80", "brackets"),
            ("host:http", "whole number from 0 to 65535"),
            ("host:65536", "whole number from 0 to 65535"),
            ("host:+80", "whole number from 0 to 65535"),
        ] {
            let error = host_port(bad).expect_err(bad);
            assert!(error.contains(cause) && error.contains("host:port"), "{bad}: {error}");
        }
        assert!(server("host:0").is_err());
        assert!(server("host:00").is_err());
    }

    #[test]
    fn unix_socket_is_written_as_a_path() {
        for (text, path) in
            [("unix:/a:1", "/a:1"), ("unix:a", "a"), ("/run/a", "/run/a"), ("./a", "./a")]
        {
            assert_eq!(local(text), Ok(LocalAddress::Unix(path.into())), "{text}");
        }
        assert_eq!(local("a:1"), Ok(LocalAddress::Tcp("a:1".into())));
        for bad in ["unix:", "a/b", "a/b:1", "http://a"] {
            assert!(local(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn host_is_no_url_and_has_no_port() {
        for (text, host) in [
            ("Relay.Example.", "relay.example"),
            ("[2001:DB8:0::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(super::host(text), Ok(HostDigest::of(host)), "{text}");
        }
        for bad in ["", "http://relay", "relay:80", "[relay]", "192.0.2.1:80", "a b", "relay/x"] {
            assert!(super::host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn own_key_name_is_written_as_at_sign() {
        assert!(matches!(place("@:7"), Ok(Place::Own(7))));
        assert!(matches!(place("camera:7"), Ok(Place::At(_))));
        for bad in ["@", "@:", "@:x", "@:70000", "@:+1", "@x:1", ":1"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn base_path_is_percent_encoded_once() {
        for (text, path) in [
            ("", ""),
            ("/by/way", "/by/way"),
            ("/a b/ü", "/a%20b/%C3%BC"),
            ("/a%20b/%C3%BC", "/a%20b/%C3%BC"),
            ("/a?b#c", "/a%3Fb%23c"),
            ("/~x-._!$&'()*+,;=:@", "/~x-._!$&'()*+,;=:@"),
        ] {
            assert_eq!(base(text).as_deref(), Ok(path));
        }
        for bad in ["/100%", "/%zz", "/a%2", "/a/../b", "."] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_outside_their_range_are_refused_in_plain_words() {
        assert_eq!(connections("4"), Ok(4));
        for bad in ["", "0", "3", "-1", "+5", "4.5", "x", "99999999999999999999999"] {
            let error = connections(bad).expect_err(bad);
            assert!(error.contains("from 4 to") && error.contains("a client needs two"), "{error}");
        }
        assert!(connections_per_address("1").is_err());
        assert_eq!(connections_per_address("2").map(NonZeroUsize::get), Ok(2));
        assert_eq!(sessions("1").ok(), None);
        assert_eq!(workers("0").ok(), None);
        assert_eq!(seconds("0").ok(), None);
        assert_eq!(seconds_or_never("0"), Ok(0));
    }
}
