//! A whole exchange without I/O: from the second peer's write, by its send, the router and the
//! answer to the first peer's park, to the first peer's read.

use byway::session::{ChannelId, Pace, Profile};
use byway::{Endpoint, Kind};

use super::case::{Case, Work};
use super::pump::Pump;

pub const CASES: [Case; 5] = [
    Case::new("streaming-64", 64, |n| start(n, &Profile::PC, Pace::Streaming)),
    Case::new("streaming-64K", 64 << 10, |n| start(n, &Profile::PC, Pace::Streaming)),
    Case::new("streaming-1M", 1 << 20, |n| start(n, &Profile::BULK, Pace::Streaming)),
    Case::new("long-poll-64", 64, |n| start(n, &Profile::PC, Pace::LongPoll)),
    Case::new("long-poll-64K", 64 << 10, |n| start(n, &Profile::PC, Pace::LongPoll)),
];

/// Operations until bodies are as large as they get (they double with each success) and until every
/// page of the rings was touched.
const WARM_UP: usize = 20;
/// The least octets of each of them: a ring in [`WARM_UP`] of them.
const WARM_UP_BYTES: usize = 64 << 10;

/// A stream from the second peer to the first.
pub struct Stream {
    pump: Pump,
    ids: [ChannelId; 2],
    data: Vec<u8>,
    out: Vec<u8>,
}

impl Stream {
    /// A case of operations of `n` octets.
    pub fn new(n: usize, profile: &Profile, pace: Pace) -> Self {
        let mut pump = Pump::new(profile, pace);
        let at: Endpoint = "camera:1".parse().expect("an endpoint");
        let listener = pump.listen(at, Kind::Stream);
        let ids = pump.connect(listener, at, Kind::Stream);
        let most = n.max(WARM_UP_BYTES);
        let mut stream = Self { pump, ids, data: vec![7; most], out: vec![0; most] };
        for _ in 0..WARM_UP {
            stream.exchange();
        }
        stream.data.truncate(n);
        stream.out.truncate(n);
        stream
    }

    /// Writes the data; the ring takes them whole if it has room.
    pub fn write(&mut self, from: usize) -> usize {
        let (now, id) = (self.pump.now, self.ids[1]);
        let write = self.pump.peers[1].call(|s| s.write(now, id, &self.data[from..]));
        write.expect("the channel is there")
    }

    /// Reads the data of an operation, if they are there.
    pub fn read(&mut self) -> usize {
        let (now, id) = (self.pump.now, self.ids[0]);
        let read = self.pump.peers[0].call(|s| s.read(now, id, &mut self.out));
        read.expect("the channel is there").unwrap_or(0)
    }

    /// The octets of an operation.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Goes on until everything written has arrived.
    pub fn deliver(&mut self) {
        let [zero, one] = self.ids;
        self.pump.until(|[a, b], _| {
            let received = a.call(|session| session.channel_stats(zero)).expect("held").received;
            received == b.call(|session| session.channel_stats(one)).expect("held").written
        });
    }

    /// Goes on until everything written is read, and the writer knows it.
    pub fn drain(&mut self) {
        let [zero, one] = self.ids;
        let out = &mut self.out;
        self.pump.until(|[a, b], now| {
            while a.call(|s| s.read(now, zero, out)).expect("held").is_some_and(|n| n > 0) {}
            let stats = b.call(|session| session.channel_stats(one)).expect("held");
            stats.acked == stats.written
        });
    }

    fn exchange(&mut self) {
        let (mut written, mut read) = (0, 0);
        while read < self.len() {
            if written < self.len() {
                written += self.write(written);
            }
            self.pump.turn();
            loop {
                match self.read() {
                    0 => break,
                    n => read += n,
                }
            }
        }
    }
}

fn start(n: usize, profile: &Profile, pace: Pace) -> Box<dyn Work> {
    let mut stream = Stream::new(n, profile, pace);
    Box::new(move || stream.exchange())
}
