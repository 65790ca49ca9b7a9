//! `no_proxy`: the hosts that are asked without the proxy that the environment names.

use std::net::IpAddr;

/// Whether the list excepts a host, given without brackets, at this port.
///
/// The list is read as curl reads it, and as Go and Python do where curl knows nothing: entries apart by
/// commas or blanks; `*` for every host; a name for itself and all names below it, with or without a
/// dot or `*.` in front; an address, for IPv6 in brackets or not; a network, as in 10.0.0.0/8; each of
/// them with a port behind or not. Nothing is resolved.
pub(super) fn excepts(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.');
    let address = host.parse::<IpAddr>().ok();
    list.split([',', ' ', '\t', '\r', '\n']).filter(|entry| !entry.is_empty()).any(|entry| {
        let (entry, at) = split_port(entry);
        if at.is_some_and(|at| at != port) {
            return false;
        }
        match address {
            _ if entry == "*" => true,
            Some(address) => is_in(address, entry),
            None => is_below(host, entry),
        }
    })
}

/// Takes a port from the end of an entry, and brackets from around an address.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let prefix = rest.starts_with('/');
        let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
        return if prefix { (entry, None) } else { (address, port) };
    }
    match entry.split_once(':') {
        // A second colon: IPv6.
        Some((host, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn is_in(address: IpAddr, entry: &str) -> bool {
    let (network, prefix) = match entry.split_once('/') {
        Some((network, prefix)) => (network, prefix.parse::<u32>().ok()),
        None => (entry, Some(128)),
    };
    let network = network.trim_matches(['[', ']']).parse::<IpAddr>();
    let (Ok(network), Some(prefix)) = (network, prefix) else { return false };
    let differ = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    let whole = if address.is_ipv4() { 32 } else { 128 };
    // Without a prefix, 128 stands for the whole address of either kind.
    let prefix = if entry.contains('/') { prefix } else { whole };
    prefix <= whole && differ >= prefix
}

fn is_below(host: &str, entry: &str) -> bool {
    let name = entry.strip_prefix("*.").or_else(|| entry.strip_prefix('.')).unwrap_or(entry);
    let name = name.trim_end_matches('.');
    let Some(at) = host.len().checked_sub(name.len()) else { return false };
    !name.is_empty()
        && host.is_char_boundary(at)
        && host[at..].eq_ignore_ascii_case(name)
        && (at == 0 || host[..at].ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::excepts;

    #[test]
    fn no_proxy_is_read_as_curl_go_and_python_read_it() {
        for (list, host, port, excepted) in [
            ("", "relay.local", 80, false),
            ("*", "relay.local", 80, true),
            ("example.com *", "::1", 80, true),
            ("relay.local", "relay.local", 80, true),
            ("relay.local", "RELAY.Local", 80, true),
            ("RELAY.Local", "relay.local", 80, true),
            ("relay.local.", "relay.local", 80, true),
            ("relay.local", "relay.local.", 80, true),
            ("local", "relay.local", 80, true),
            (".local", "relay.local", 80, true),
            (".relay.local", "relay.local", 80, true),
            ("*.local", "relay.local", 80, true),
            ("lay.local", "relay.local", 80, false),
            ("relay.local.example", "relay.local", 80, false),
            ("example.com,relay.local", "relay.local", 80, true),
            ("example.com, relay.local", "relay.local", 80, true),
            ("example.com relay.local", "relay.local", 80, true),
            ("example.com,\trelay.local ,", "relay.local", 80, true),
            ("relay.local:8080", "relay.local", 8080, true),
            ("relay.local:8080", "relay.local", 80, false),
            (".local:8080", "relay.local", 8080, true),
            ("*:8080", "relay.local", 8080, true),
            ("10.0.0.0/8", "10.1.2.3", 80, true),
            ("10.0.0.0/8", "11.1.2.3", 80, false),
            ("10.0.0.0/8", "relay.local", 80, false),
            ("10.0.0.0/33", "10.0.0.0", 80, false),
            ("0.0.0.0/0", "10.1.2.3", 80, true),
            ("192.168.7.0/31", "192.168.7.1", 80, true),
            ("192.168.7.0/31", "192.168.7.2", 80, false),
            ("127.0.0.1", "127.0.0.1", 80, true),
            ("127.0.0.1", "127.0.0.11", 80, false),
            ("127.0.0.1:8080", "127.0.0.1", 8080, true),
            ("127.0.0.1:8080", "127.0.0.1", 8081, false),
            ("::1", "::1", 80, true),
            ("0:0:0:0:0:0:0:1", "::1", 80, true),
            ("[::1]", "::1", 80, true),
            ("[::1]:8080", "::1", 8080, true),
            ("[::1]:8080", "::1", 80, false),
            ("fe80::/10", "fe80::7", 80, true),
            ("[fe80::]/10", "fe80::7", 80, true),
            ("fe80::/10", "fd00::7", 80, false),
            ("::/0", "10.1.2.3", 80, false),
            ("10.0.0.0/x", "10.0.0.0", 80, false),
            (".", "relay.local", 80, false),
            ("ü", "aü", 80, false),
            ("relay.local:port", "relay.local", 80, false),
        ] {
            assert_eq!(excepts(list, host, port), excepted, "{list:?} and {host} at {port}");
        }
    }
}
