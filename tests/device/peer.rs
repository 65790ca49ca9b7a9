//! The other side: clients with std.

use std::io::{Read, Write};

use byway::client::Stream;

use super::{LEN, LONG, pattern};

/// Receives everything, then sends it back.
pub fn mirror(mut stream: Stream) {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert!(heard == pattern(LEN));
    stream.write_all(&heard).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.wait_acked(LONG).unwrap();
}

/// Sends each octet back as it comes, however the stream ends.
pub fn echo_while_it_lasts(mut stream: Stream) {
    let mut octet = [0];
    while stream.read(&mut octet).is_ok_and(|n| n > 0) && stream.write_all(&octet).is_ok() {}
}

/// Sends each octet back as it comes.
pub fn echo(mut stream: Stream) {
    let mut octet = [0];
    while stream.read(&mut octet).unwrap() > 0 {
        stream.write_all(&octet).unwrap();
    }
}
