//! Transfers that go on while everything between their ends is restarted.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use byway::client::{Client, Config, Stream};

use crate::daemon::wait_for;
use crate::{DEADLINE, pattern};

/// Octets that a writer gives at once, and how long it waits then: enough that each is always at something.
const PIECE: usize = 700;
const PAUSE: Duration = Duration::from_millis(50);

/// How far a transfer is.
#[derive(Default)]
struct Progress {
    written: AtomicU64,
    read: AtomicU64,
}

/// Transfers between clients, each of a channel of its own, every byte of which is checked.
pub struct Transfers {
    progress: Arc<Vec<Progress>>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    clients: Vec<Client>,
}

impl Transfers {
    /// Begins `clients` times `channels` transfers by this relay.
    pub fn begin(url: &str, clients: usize, channels: usize) -> Self {
        let transfers = clients * channels;
        let progress: Vec<_> = (0..transfers).map(|_| Progress::default()).collect();
        let mut all = Self {
            progress: Arc::new(progress),
            is_over: Arc::default(),
            threads: Vec::new(),
            clients: Vec::new(),
        };
        for client in 0..clients {
            let open = || Client::open(Config::new(url)).expect("the relay answers");
            let (listener, connector) = (open(), open());
            let name = format!("there-{client}:1");
            let listening = listener.listen(&*name).expect("listens");
            for channel in 0..channels {
                let to = connector.connect(&*name).expect("connects");
                let from = listening.accept_timeout(DEADLINE).expect("accepts");
                all.transfer(client * channels + channel, from, to);
            }
            all.clients.extend([listener, connector]);
        }
        all
    }

    fn transfer(&mut self, n: usize, from: Stream, to: Stream) {
        let (progress, is_over) = (Arc::clone(&self.progress), Arc::clone(&self.is_over));
        self.threads.push(thread::spawn(move || {
            let mut from = &from;
            let mut at = 0;
            while !is_over.load(Relaxed) {
                from.write_all(&pattern(n as u64, at, PIECE)).expect("the writer sees no error");
                at += PIECE as u64;
                progress[n].written.store(at, Relaxed);
                thread::sleep(PAUSE);
            }
            from.shutdown(std::net::Shutdown::Write).expect("the writer sees no error");
            from.wait_acked(DEADLINE).expect("acknowledged");
        }));
        let progress = Arc::clone(&self.progress);
        self.threads.push(thread::spawn(move || {
            let mut to = &to;
            let (mut at, mut buffer) = (0, [0; 4096]);
            loop {
                let read = to.read(&mut buffer).expect("the reader sees no error");
                if read == 0 {
                    break;
                }
                let wanted = pattern(n as u64, at, read);
                assert!(buffer[..read] == wanted[..], "not the bytes that were written at {at}");
                at += read as u64;
                progress[n].read.store(at, Relaxed);
            }
            assert_eq!(at, progress[n].written.load(Relaxed), "not all that was written");
        }));
    }

    /// Waits until each transfer brought something that was written from now on.
    pub fn wait_for_all(&self) {
        let written: Vec<_> = self.progress.iter().map(|one| one.written.load(Relaxed)).collect();
        for (one, written) in self.progress.iter().zip(written) {
            wait_for("progress of a transfer", || (one.read.load(Relaxed) > written).then_some(()));
        }
    }

    /// Ends all transfers: none of their ends saw an error, a loss or a repeat.
    pub fn end(self) {
        self.is_over.store(true, Relaxed);
        let failed = self.threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        assert_eq!(failed, 0, "ends of transfers that failed");
        drop(self.clients);
    }
}
