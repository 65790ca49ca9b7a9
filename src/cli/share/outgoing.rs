//! The sender's part of a transfer, on one channel.

use std::collections::VecDeque;
use std::io::{self, Read, Seek};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread;
use std::time::Duration;

use byway::client::Stream;

use super::AHEAD;
use super::amount::{Amount, Budget, Thing};
use super::ear::Ear;
use super::folder;
use super::line::Line;
use super::message::{self, Attributes, Fault, HEADER, Lost, Message, PIECE, Reader, Stop};
use super::names::Shown;
use super::outbox::Outbox;
use super::progress::{Audience, Count, Progress};
use super::tree::{self, Item, Step, Walk};
use crate::cli::{say, tell};

/// How long a channel that failed is given to tell what the other end said last.
const LAST_MESSAGE: Duration = Duration::from_millis(200);

/// How a transfer ends before the receiver has everything.
#[derive(Debug)]
pub enum End {
    Stopped(Stop),
    Lost(String),
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost.to_string())
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Lost::Channel(error).into()
    }
}

/// How much there is to send.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    amount: Amount,
    unreadable: u64,
    special: u64,
    /// Of the names, sizes, permissions and times of all, in whatever order a folder gives them.
    mark: [u8; 32],
}

impl Totals {
    /// Counts, and tells what is left out.
    pub fn of(items: &[Item]) -> Self {
        Self::default().again(items, |_, _| {})
    }

    /// Counts once more, since a receiver may come long after; tells what is left out if that is more or less.
    pub fn again(self, items: &[Item], mut offer: impl FnMut(&[u8], Thing)) -> Self {
        let mut totals = Self::default();
        for step in Walk::new(items) {
            match step {
                Step::File { path, size, attributes, .. } => {
                    totals.amount = totals.amount.and(Amount::file(size));
                    totals.mark(b"file", &path, size, &attributes);
                    offer(&path, Thing::File { size });
                }
                Step::Leave { path, attributes } => totals.mark(b"folder", &path, 0, &attributes),
                Step::Left { fault: Fault::Special, .. } => totals.special += 1,
                Step::Left { path, fault: Fault::Unreadable | Fault::Changed } => {
                    totals.unreadable += 1;
                    offer(&path, Thing::Unreadable);
                }
                Step::Enter { path } => {
                    totals.amount = totals.amount.and(Amount::FOLDER);
                    offer(&path, Thing::Folder);
                }
            }
        }
        if totals.special > 0 && totals.special != self.special {
            say(format_args!(
                "byway: left out: {} (-v names them)",
                Count::special(totals.special)
            ));
        }
        if totals.unreadable > 0 && totals.unreadable != self.unreadable {
            tell(format_args!(
                "byway: {} cannot be read or found (-v names them)",
                Count::files_or_folders(totals.unreadable)
            ));
        }
        totals
    }

    fn mark(&mut self, kind: &[u8], path: &[u8], size: u64, attributes: &Attributes) {
        let Attributes { mode, changed: (seconds, nanoseconds) } = attributes;
        let mut hasher = blake3::Hasher::new();
        hasher.update(kind).update(b"\0").update(path).update(b"\0");
        hasher.update(&size.to_be_bytes()).update(&mode.to_be_bytes());
        hasher.update(&seconds.to_be_bytes()).update(&nanoseconds.to_be_bytes());
        for (octet, more) in self.mark.iter_mut().zip(hasher.finalize().as_bytes()) {
            *octet ^= more;
        }
    }
}

/// Sends everything that the receiver does not have; gives how many files could not be sent.
pub fn carry(
    line: &Line,
    stream: &Stream,
    mut reader: Reader<Ear>,
    items: &[Item],
    totals: Totals,
    budget: Budget,
    audience: Audience,
) -> Result<u64, End> {
    let Totals { amount, mark, .. } = totals;
    line.say(stream, &Message::Offer { items: items.len() as u32, amount, mark })?;
    for item in items {
        let (name, is_folder) = (item.name.clone(), item.is_folder);
        line.say(stream, &Message::Item { name, is_folder })?;
    }
    match reader.message()? {
        Message::Accept => {}
        Message::Complete { faults } => {
            if faults > 0 {
                let files = Count::files(faults);
                tell(format_args!("byway: the receiver has all from before, but for {files}"));
            }
            return Ok(faults);
        }
        Message::Stop(why) => return Err(End::Stopped(why)),
        _ => return Err(Lost::Protocol("a message out of turn").into()),
    }
    let (give, answers) = mpsc::sync_channel(AHEAD);
    let ear = stream.clone();
    thread::Builder::new().spawn(move || listen(&ear, reader, &give))?;
    let mut sending = Sending {
        outbox: Outbox::open(line, stream)?,
        answers,
        walk: Walk::new(items),
        budget,
        faults: 0,
        progress: Progress::new(audience, amount.octets),
    };
    match sending.all() {
        Ok(()) => {
            sending.progress.end("sent");
            Ok(sending.faults)
        }
        // The other end may have said why before the channel ended.
        Err(End::Lost(why)) => Err(sending.last_word().unwrap_or(End::Lost(why))),
        Err(end) => Err(end),
    }
}

/// Passes on what the receiver says, also while octets are being written.
fn listen(stream: &Stream, mut reader: Reader<Ear>, give: &SyncSender<Result<Message, Lost>>) {
    loop {
        let message = reader.message();
        let is_last = !matches!(message, Ok(Message::Have { .. }));
        let is_good = matches!(message, Ok(Message::Complete { .. }));
        if give.send(message).is_err() {
            return;
        }
        if is_last {
            if !is_good {
                stream.abort();
            }
            return;
        }
    }
}

struct Sending<'a> {
    outbox: Outbox,
    answers: Receiver<Result<Message, Lost>>,
    walk: Walk<'a>,
    budget: Budget,
    faults: u64,
    progress: Progress,
}

impl Sending<'_> {
    fn all(&mut self) -> Result<(), End> {
        let mut ahead = VecDeque::new();
        loop {
            while ahead.len() < AHEAD
                && let Some(step) = self.walk.next()
            {
                ahead.extend(self.announce(step)?);
            }
            match ahead.pop_front() {
                Some(Step::File { at, path, size, .. }) => {
                    let is_item = !path.contains(&b'/');
                    if let Err(fault) = self.file(&at, &path, size, is_item)? {
                        self.count(&path, fault);
                        self.say(&Message::Skip(fault))?;
                    }
                }
                Some(Step::Leave { path, attributes }) => {
                    self.say(&Message::Leave { path, attributes })?;
                }
                Some(Step::Enter { .. } | Step::Left { .. }) => {}
                None => break,
            }
        }
        let gone = self.budget.gone();
        if gone > 0 {
            self.faults += gone;
            let files = Count::files(gone);
            tell(format_args!("byway: {files} went away while others were sent"));
        }
        self.say(&Message::Done { gone })?;
        match self.answer()? {
            Message::Complete { .. } => Ok(()),
            _ => Err(Lost::Protocol("a message out of turn").into()),
        }
    }

    /// Announces a step; gives what is to be done when its turn comes.
    fn announce(&mut self, step: Step) -> Result<Option<Step>, End> {
        match &step {
            Step::Enter { path } => {
                if self.budget.take(path, Thing::Folder) {
                    self.say(&Message::Folder { path: path.clone() })?;
                } else {
                    self.walk.pass_over();
                    self.leave_out(path, Fault::Changed)?;
                }
                Ok(None)
            }
            Step::File { path, size, .. } => {
                if !self.budget.take(path, Thing::File { size: *size }) {
                    self.leave_out(path, Fault::Changed)?;
                    return Ok(None);
                }
                self.say(&Message::File { path: path.clone(), size: *size })?;
                Ok(Some(step))
            }
            Step::Leave { .. } => Ok(Some(step)),
            Step::Left { path, fault } => {
                if let Fault::Unreadable | Fault::Changed = fault {
                    self.budget.take(path, Thing::Unreadable);
                }
                self.leave_out(path, *fault)?;
                Ok(None)
            }
        }
    }

    /// Sends what the receiver lacks of a file.
    fn file(
        &mut self,
        at: &std::path::Path,
        path: &[u8],
        size: u64,
        follows: bool,
    ) -> Result<Result<(), Fault>, End> {
        let (has, its) = match self.answer()? {
            Message::Have { size, hash } => (size, hash),
            _ => return Err(Lost::Protocol("a message out of turn").into()),
        };
        self.progress.file(path);
        let Ok((mut file, before)) =
            tree::open(at, follows).and_then(|file| file.metadata().map(|before| (file, before)))
        else {
            return Ok(Err(Fault::Unreadable));
        };
        if before.len() != size {
            return Ok(Err(Fault::Changed));
        }
        let (mut offset, mut hasher) = (0, blake3::Hasher::new());
        if has > 0 && has <= size {
            match folder::hash(&mut file, has) {
                Ok((read, prefix)) if read == has && prefix.finalize() == its => {
                    (offset, hasher) = (has, prefix);
                }
                Ok(_) => {}
                Err(_) => return Ok(Err(Fault::Unreadable)),
            }
            if file.seek(io::SeekFrom::Start(offset)).is_err() {
                return Ok(Err(Fault::Unreadable));
            }
        }
        self.say(&Message::Begin { offset })?;
        self.progress.had(offset);
        while offset < size {
            let most = (size - offset).min(PIECE as u64) as usize;
            let mut frame = self.outbox.buffer();
            frame.resize(HEADER + most, 0);
            let read = match file.read(&mut frame[HEADER..]) {
                Ok(0) => return Ok(Err(Fault::Changed)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Ok(Err(Fault::Unreadable)),
            };
            frame.truncate(HEADER + read);
            hasher.update(&frame[HEADER..]);
            message::frame_data(&mut frame);
            self.outbox.write(frame)?;
            offset += read as u64;
            self.progress.carried(read as u64);
        }
        let attributes = tree::attributes(&before);
        match file.metadata() {
            Ok(after) if after.len() == size && tree::attributes(&after) == attributes => {}
            Ok(_) => return Ok(Err(Fault::Changed)),
            Err(_) => return Ok(Err(Fault::Unreadable)),
        }
        self.say(&Message::End { hash: *hasher.finalize().as_bytes(), attributes })?;
        self.progress.ended_file();
        Ok(Ok(()))
    }

    fn leave_out(&mut self, path: &[u8], fault: Fault) -> Result<(), End> {
        self.count(path, fault);
        self.say(&Message::Left { path: path.to_vec(), fault })
    }

    fn count(&mut self, path: &[u8], fault: Fault) {
        let why = match fault {
            Fault::Unreadable => "cannot be read",
            Fault::Changed => "changed while it was sent",
            // All of them were told beforehand.
            Fault::Special => return,
        };
        self.faults += 1;
        tell(format_args!("byway: {} {why}, and is left out", Shown(path)));
    }

    fn say(&mut self, message: &Message) -> Result<(), End> {
        Ok(self.outbox.write(message::frame(message)?)?)
    }

    fn answer(&mut self) -> Result<Message, End> {
        let answer = match self.answers.try_recv() {
            Err(TryRecvError::Empty) => {
                self.outbox.flush()?;
                self.answers.recv().ok()
            }
            answer => answer.ok(),
        };
        match answer {
            Some(Ok(Message::Stop(why))) => Err(End::Stopped(why)),
            Some(message) => Ok(message?),
            None => Err(Lost::Protocol("a message behind the last").into()),
        }
    }

    fn last_word(&self) -> Option<End> {
        loop {
            match self.answers.recv_timeout(LAST_MESSAGE) {
                Ok(Ok(Message::Stop(why))) => return Some(End::Stopped(why)),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}
