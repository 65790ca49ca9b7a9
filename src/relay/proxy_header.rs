//! What a proxy says before a connection's own octets, to tell whose they are: the header of the PROXY protocol
//! (haproxy's proxy-protocol.txt), of version 1 and 2.

use std::io::{self, ErrorKind};
use std::net::IpAddr;

use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Octets of the shortest header, `PROXY UNKNOWN\r\n`.
const SHORTEST: usize = 15;

/// Octets of a header of version 2 that say how long it is.
const FIXED: usize = 16;

/// Reads a header, and nothing behind it: the address of the client, unless the connection is the proxy's own, as
/// its checks are.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    loop {
        match ProxyHeader::parse(&header, ParseConfig::default()) {
            Ok((told, _)) => return Ok(told.proxied_address().map(|told| told.source.ip())),
            Err(Error::BufferTooShort) => {}
            Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error.to_string())),
        }
        let more = match header[..] {
            // It is of version 2, as the parser saw.
            [b'\r', .., high, low] if header.len() == FIXED => u16::from_be_bytes([high, low]),
            _ => 1,
        };
        let len = header.len();
        header.resize(len + usize::from(more), 0);
        stream.read_exact(&mut header[len..]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEHIND: &[u8] = b"POST /v1 HTTP/1.1";

    /// What is read of these octets, and what is left of those behind.
    fn read_of(header: &[u8]) -> (io::Result<Option<IpAddr>>, Vec<u8>) {
        let octets = [header, BEHIND].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut rest = &octets[..];
        let told = runtime.block_on(read(&mut rest));
        (told, rest.to_vec())
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = (rest.len() as u16).to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[0x20 | command, family][..], &len, rest].concat()
    }

    #[test]
    fn header_of_either_version_is_read_and_nothing_behind_it() {
        let v6 = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], [0; 16]].concat();
        let told: [(Vec<u8>, Option<&str>); 8] = [
            (b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 80\r\n".into(), Some("203.0.113.7")),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 80\r\n".into(), Some("2001:db8::7")),
            (b"PROXY UNKNOWN\r\n".into(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".into(), None),
            (version_2(1, 0x11, &[203, 0, 113, 7, 1, 1, 1, 1, 9, 9, 0, 80]), Some("203.0.113.7")),
            (version_2(1, 0x21, &[v6, vec![0; 4]].concat()), Some("2001:db8::7")),
            // With what else a proxy tells; and one of its checks.
            (version_2(1, 0x11, &[&[203, 0, 113, 7][..], &[4; 900]].concat()), Some("203.0.113.7")),
            (version_2(0, 0, &[]), None),
        ];
        for (header, address) in told {
            let (told, rest) = read_of(&header);
            let address = address.map(|text| text.parse().expect("an address"));
            assert_eq!(told.expect("a header"), address, "{header:?}");
            assert_eq!(rest, BEHIND);
        }
    }

    #[test]
    fn octets_without_a_header_are_an_error() {
        let bad: [Vec<u8>; 6] = [
            b"POST /v1 HTTP/1.1\r\nHost: x\r\n".into(),
            b"PROXY TCP4 somewhere 192.0.2.1 40000 80\r\n".into(),
            [b"PROXY TCP4 ", &[b'1'; 200][..]].concat(),
            version_2(2, 0x11, &[0; 12]),
            version_2(1, 0x11, &[0; 3]),
            b"\r\n\r\n\0\r\nQUIX\n\x21\x11\xff\xff".into(),
        ];
        for header in bad {
            let (told, _) = read_of(&header);
            assert!(told.is_err(), "{header:?}: {told:?}");
        }
    }
}
