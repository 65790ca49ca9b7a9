//! The thread that writes to the channel, while the next frames are read from disk and hashed.

use std::io;
use std::mem;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use byway::client::Stream;

use super::line::Line;
use super::message::PIECE;

/// Writes that may wait: with the longest frames 1 MiB, so that neither thread waits for the other at each of them.
const WAITING: usize = 8;

/// Octets of small frames that are written together: each write takes a lock and wakes threads.
const TOGETHER: usize = PIECE / 2;

/// Frames for a channel, in their order.
pub struct Outbox {
    /// Small frames, until there are [`TOGETHER`] octets of them.
    small: Vec<u8>,
    frames: SyncSender<Vec<u8>>,
    /// Buffers of frames that were written.
    used: Receiver<Vec<u8>>,
    /// Why the thread ended, where the channel failed.
    failed: Receiver<io::Error>,
}

impl Outbox {
    /// The thread ends when this value is dropped, or once the channel fails.
    pub fn open(line: &Line, stream: &Stream) -> io::Result<Self> {
        let (frames, waiting) = mpsc::sync_channel(WAITING);
        let (give_back, used) = mpsc::sync_channel(WAITING);
        let (fail, failed) = mpsc::sync_channel(1);
        let (line, stream) = (line.clone(), stream.clone());
        thread::Builder::new().spawn(move || {
            if let Err(error) = write(&line, &stream, &waiting, &give_back) {
                let _ = fail.send(error);
            }
        })?;
        Ok(Self { small: Vec::new(), frames, used, failed })
    }

    /// A buffer for a frame, with what a frame before has left in it.
    pub fn buffer(&self) -> Vec<u8> {
        self.used.try_recv().unwrap_or_default()
    }

    /// Writes a frame behind those before it; a small one not before others follow, or [`flush`](Self::flush) is called.
    /// The failure of an earlier one is told by one of the next calls.
    pub fn write(&mut self, frame: Vec<u8>) -> io::Result<()> {
        if frame.len() >= TOGETHER {
            self.flush()?;
            return self.give(frame);
        }
        self.small.extend(frame);
        if self.small.len() >= TOGETHER { self.flush() } else { Ok(()) }
    }

    /// Has all frames written soon.
    pub fn flush(&mut self) -> io::Result<()> {
        match mem::take(&mut self.small) {
            small if small.is_empty() => Ok(()),
            small => self.give(small),
        }
    }

    fn give(&self, frames: Vec<u8>) -> io::Result<()> {
        let ended = |_| self.failed.recv().unwrap_or(io::ErrorKind::BrokenPipe.into());
        self.frames.send(frames).map_err(ended)
    }
}

fn write(
    line: &Line,
    stream: &Stream,
    waiting: &Receiver<Vec<u8>>,
    give_back: &SyncSender<Vec<u8>>,
) -> io::Result<()> {
    for frames in waiting {
        line.write(stream, &frames)?;
        // Where enough buffers wait already, this one is freed.
        let _ = give_back.try_send(frames);
    }
    Ok(())
}
