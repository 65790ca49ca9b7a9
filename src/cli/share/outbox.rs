//! The thread that writes to the channel, while the next frames are read from disk and hashed.

use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use byway::client::Stream;

use super::line::Line;
use super::message::PIECE;

/// Frames that may wait: with the longest of them 1 MiB, which bridges a pause of the disk or of the channel.
const WAITING: usize = 8;

/// Frames for a channel, in their order.
pub struct Outbox {
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
        Ok(Self { frames, used, failed })
    }

    /// A buffer for a frame, with what a frame before has left in it.
    pub fn buffer(&self) -> Vec<u8> {
        self.used.try_recv().unwrap_or_default()
    }

    /// Writes a frame behind those that wait. The failure of an earlier one is told by one of the next calls.
    pub fn write(&self, frame: Vec<u8>) -> io::Result<()> {
        let ended = |_| self.failed.recv().unwrap_or(io::ErrorKind::BrokenPipe.into());
        self.frames.send(frame).map_err(ended)
    }
}

fn write(
    line: &Line,
    stream: &Stream,
    waiting: &Receiver<Vec<u8>>,
    give_back: &SyncSender<Vec<u8>>,
) -> io::Result<()> {
    while let Ok(mut frames) = waiting.recv() {
        // Small frames go together: each write takes a lock and wakes a thread.
        while frames.len() < PIECE / 2
            && let Ok(next) = waiting.try_recv()
        {
            frames.extend(next);
        }
        line.write(stream, &frames)?;
        // Where enough buffers wait already, this one is freed.
        let _ = give_back.try_send(frames);
    }
    Ok(())
}
