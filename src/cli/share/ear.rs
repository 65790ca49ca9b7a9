//! The channel as it is read: in time while its other end has shown nothing, and then for as long as that takes.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use byway::client::Stream;

/// What the other end says.
pub struct Ear {
    stream: Stream,
    /// Until when a stranger may speak.
    until: Option<Instant>,
}

impl Ear {
    /// Listens to a stranger for so long altogether, however little comes at a time.
    pub fn new(stream: &Stream, patience: Duration) -> Self {
        Self { stream: stream.clone(), until: Some(Instant::now() + patience) }
    }

    /// The other end is known, and may be silent.
    pub fn trust(&mut self) -> io::Result<()> {
        self.until = None;
        self.stream.set_read_timeout(None)
    }
}

impl Read for Ear {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(until) = self.until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
        }
        self.stream.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;

    use byway::client::{Client, Config};
    use byway::relay::{Relay, RelayConfig};

    use super::*;

    /// How long a stranger may speak here, how often it does, and octets that take it ten times as long.
    const PATIENCE: Duration = Duration::from_millis(500);
    const PAUSE: Duration = Duration::from_millis(20);
    const MUCH: u64 = 250;

    /// Each octet comes in time, and all of them do not.
    #[test]
    fn stranger_that_speaks_slowly_is_heard_for_no_longer_than_a_silent_one() {
        let relay = Relay::bind(RelayConfig::default()).expect("a relay");
        let open = || Client::open(Config::new(relay.url())).expect("opens");
        let listener = open().listen("ear:1").expect("listens");
        let mut stranger = open().connect("ear:1").expect("connects");
        let stream = listener.accept().expect("a connection");
        let mut ear = Ear::new(&stream, PATIENCE);
        let speaker = thread::spawn(move || {
            while stranger.write_all(b"a").is_ok() {
                thread::sleep(PAUSE);
            }
        });
        let mut heard = Vec::new();
        let ended = { &mut ear }.take(MUCH).read_to_end(&mut heard);
        assert_eq!(ended.map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
        ear.trust().expect("open");
        assert_eq!(ear.read(&mut [0]).expect("an octet"), 1, "which may speak as it likes");
        stream.abort();
        speaker.join().expect("ended");
    }
}
