//! Any octets: the decoder neither panics nor depends on the pieces in which they come, and a
//! decoded message encodes to its octets.
#![no_main]

use byway::Endpoint;
use byway::wire::{Decoder, HEADER_LEN, MAX_CONTROL, Message, Piece, WireError};
use libfuzzer_sys::fuzz_target;

/// The decoder's view of a body.
#[derive(Debug, PartialEq)]
struct Read {
    pieces: Vec<Found>,
    error: Option<WireError>,
    /// Whether the body may end where it did.
    whole: bool,
}

#[derive(Debug, PartialEq)]
enum Found {
    /// A message, encoded again.
    Message(Vec<u8>),
    /// The bytes of a data message, joined.
    Bytes(Vec<u8>),
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut out = [0; MAX_CONTROL];
    let n = message.encode(&mut out).expect("what was decoded can be encoded");
    assert_eq!(n, message.encoded_len());
    out[..n].to_vec()
}

/// The place of the flags in a message of this type; unknown flags are ignored.
fn flags_at(kind: u8) -> Option<usize> {
    match kind {
        0x01 => Some(5),
        0x20 | 0x23 => Some(12),
        0x21 | 0x22 => Some(32),
        _ => None,
    }
}

/// Checks that the last of the octets consumed are the message's; messages before them may have
/// been skipped.
fn check_octets(encoded: &[u8], consumed: &[u8]) {
    let mut octets = consumed[consumed.len() - encoded.len()..].to_vec();
    if let Some(at) = flags_at(encoded[0]) {
        assert_eq!(encoded[at] & !octets[at], 0, "a flag that was not there");
        octets[at] = encoded[at];
    }
    assert_eq!(octets, encoded);
    if !matches!(encoded[0], 0x20 | 0x23 | 0x40) {
        let again = Message::decode(encoded[0], &encoded[HEADER_LEN..]).expect("it was encoded");
        assert_eq!(encode(&again), encoded);
    }
}

/// Decodes a body in pieces of at most these sizes, over and over.
fn read(body: &[u8], sizes: &[usize]) -> Read {
    let mut decoder = Decoder::new();
    let mut read = Read { pieces: Vec::new(), error: None, whole: false };
    let mut sizes = sizes.iter().cycle();
    let (mut given, mut used, mut last) = (0, 0, 0);
    while given < body.len() {
        given = body.len().min(given + sizes.next().map_or(1, |n| *n.max(&1)));
        let mut input = &body[used..given];
        loop {
            let left = input.len();
            let found = match decoder.next(&mut input) {
                Ok(found) => found,
                Err(error) => {
                    read.error = Some(error);
                    return read;
                }
            };
            used = given - input.len();
            match found {
                None => {
                    assert!(input.is_empty(), "octets are left over");
                    break;
                }
                Some(Piece::Message(message)) => {
                    let encoded = encode(&message);
                    check_octets(&encoded, &body[last..used]);
                    last = used;
                    read.pieces.push(Found::Message(encoded));
                }
                Some(Piece::Bytes(bytes, _)) => {
                    assert!(!bytes.is_empty() && left > input.len(), "no progress");
                    last = used;
                    match read.pieces.last_mut() {
                        Some(Found::Bytes(all)) => all.extend_from_slice(bytes),
                        _ => read.pieces.push(Found::Bytes(bytes.to_vec())),
                    }
                }
            }
        }
    }
    read.whole = decoder.at_boundary();
    read
}

// The first octet gives the pieces in which the others come.
fuzz_target!(|input: &[u8]| {
    let Some((&size, body)) = input.split_first() else { return };
    let whole = read(body, &[body.len()]);
    assert_eq!(whole, read(body, &[1]));
    let size = usize::from(size);
    assert_eq!(whole, read(body, &[size, 1 + size / 3, 2]));
    if let Ok(text) = std::str::from_utf8(body)
        && let Ok(endpoint) = text.parse::<Endpoint>()
    {
        assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
    }
});
