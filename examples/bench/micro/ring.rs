//! The cost of an application's calls: the write that fills a transmit ring, and the read that
//! empties a receive ring. Carrying the octets from one to the other is not measured.

use byway::session::{Pace, Profile};

use super::case::{Case, Work};
use super::session::Stream;

pub const CASES: [Case; 6] = [
    Case::new("write-64", 64, write),
    Case::new("write-1K", 1 << 10, write),
    Case::new("write-64K", LARGEST, write),
    Case::new("read-64", 64, read),
    Case::new("read-1K", 1 << 10, read),
    Case::new("read-64K", LARGEST, read),
];

const LARGEST: usize = 64 << 10;
/// Operations prepared at once: few, so that their ring stays in a processor's cache.
pub const BATCH: u32 = 16;
const PROFILE: Profile = Profile { ring: LARGEST * BATCH as usize, ..Profile::PC };

struct Write(Stream);

impl Work for Write {
    /// Empties the ring.
    fn prepare(&mut self) {
        self.0.drain();
    }

    fn run(&mut self) {
        let Self(stream) = self;
        assert_eq!(stream.write(0), stream.len());
    }
}

struct Read(Stream);

impl Work for Read {
    /// Brings the octets that one operation reads.
    fn prepare(&mut self) {
        let Self(stream) = self;
        assert_eq!(stream.write(0), stream.len());
        stream.deliver();
    }

    fn run(&mut self) {
        let Self(stream) = self;
        assert_eq!(stream.read(), stream.len());
    }
}

fn write(n: usize) -> Box<dyn Work> {
    Box::new(Write(Stream::new(n, &PROFILE, Pace::Streaming)))
}

fn read(n: usize) -> Box<dyn Work> {
    Box::new(Read(Stream::new(n, &PROFILE, Pace::Streaming)))
}
