//! What the two ends of a transfer say to each other, and how that is written: four octets with the length, whose
//! highest bit says that octets of a file follow, then these octets or a [`Message`] by postcard.

use std::fmt;
use std::io::{self, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use byway::Error;
use byway::client::Stream;
use byway::error::PeerError;

use super::amount::Amount;

/// The version of the conversation. Ends that differ refuse each other.
pub const VERSION: u16 = 3;

/// Most octets of a file in one frame: large enough that frames cost nothing, small enough for two buffers.
pub const PIECE: usize = 128 * 1024;

/// Octets that are read ahead: a hundred messages of small files. Most of a long piece is read into its place.
const AT_ONCE: usize = 8 * 1024;

/// Most octets of a message: a path of 4096 octets, and as much again.
const LONGEST: usize = 8 * 1024;

/// Octets of a frame's header.
pub const HEADER: usize = 4;

/// Marks a frame with octets of a file.
const DATA: u32 = 1 << 31;

/// The transfer's secret, by which its ends know each other once the words were right.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub [u8; 32]);

/// Shows nothing of it.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A message. What it says was not checked by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The receiver begins, with its SPAKE2 element.
    Words { version: u16, element: Vec<u8> },
    /// The receiver comes back, and shows that it has the transfer's secret.
    Again { version: u16, proof: [u8; 32] },
    /// The sender's SPAKE2 element.
    Element(Vec<u8>),
    /// The receiver shows that it has the key.
    Proof([u8; 32]),
    /// The sender shows that it has the key; behind words the secret comes with it.
    Welcome { proof: [u8; 32], secret: Secret },
    /// What is to be sent; then come as many items. The mark is another where any name, size or time is.
    Offer { items: u32, amount: Amount, mark: [u8; 32] },
    /// A file or folder that was named on the sender's command line.
    Item { name: Vec<u8>, is_folder: bool },
    /// The receiver wants it.
    Accept,
    /// The receiver has everything, but for so many files that could not be sent.
    Complete { faults: u64 },
    /// A folder, which its files follow.
    Folder { path: Vec<u8> },
    /// A file, which the receiver answers with a `Have`.
    File { path: Vec<u8>, size: u64 },
    /// What the receiver has of a file: so many octets with this hash.
    Have { size: u64, hash: [u8; 32] },
    /// The octets of the next file come, from this offset.
    Begin { offset: u64 },
    /// The end of a file.
    End { hash: [u8; 32], attributes: Attributes },
    /// The announced file whose turn it is cannot be sent.
    Skip(Fault),
    /// This is not announced, and left out.
    Left { path: Vec<u8>, fault: Fault },
    /// All in this folder came.
    Leave { path: Vec<u8>, attributes: Attributes },
    /// All came, but for what was told, and so many files that were offered and are there no more.
    Done { gone: u64 },
    /// This end gives up.
    Stop(Stop),
}

/// What a file or folder has besides its name and octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Permissions.
    pub mode: u32,
    /// When it was changed, in seconds since 1970, and nanoseconds.
    pub changed: (i64, u32),
}

/// Why a file is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The system does not let the sender read it, or its path is too long.
    Unreadable,
    /// It is other than when it was offered.
    Changed,
    /// It is a symbolic link, a device, a socket or a pipe.
    Special,
}

/// Why an end gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// The code's words are others.
    WrongCode,
    /// It speaks another version.
    Version(u16),
    /// Its user does not want the transfer.
    Declined,
    /// Its user ended it; another try goes on where this ended.
    Cancelled,
    /// It cannot write or read; another try goes on where this ended.
    Failed,
}

/// Why nothing more is heard of the other end.
#[derive(Debug)]
pub enum Lost {
    /// The channel failed.
    Channel(io::Error),
    /// The other end said what has no place there.
    Protocol(&'static str),
}

/// For the user of a transfer, who knows of no channels and offsets.
impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(error) => {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
                match cause {
                    Some(Error::Peer(PeerError::Unknown { .. })) => {
                        f.write_str("it ended, or was started again")
                    }
                    Some(Error::Peer(PeerError::Aborted { .. } | PeerError::Closed)) => {
                        f.write_str("it gave the connection up")
                    }
                    Some(Error::Peer(PeerError::GaveUp { .. })) => {
                        f.write_str("it heard nothing for too long")
                    }
                    Some(_) | None if error.kind() == io::ErrorKind::UnexpectedEof => {
                        f.write_str("it closed the connection")
                    }
                    Some(_) | None => error.fmt(f),
                }
            }
            Self::Protocol(cause) => write!(f, "{cause}: update the older side"),
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Channel(error)
    }
}

/// What came.
#[derive(Debug)]
pub enum Frame<'a> {
    /// Octets of a file, in a buffer that may be taken.
    Data(&'a mut Vec<u8>),
    Message(Message),
}

/// Reads frames.
pub struct Reader<R> {
    from: BufReader<R>,
    frame: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub fn new(from: R) -> Self {
        Self { from: BufReader::with_capacity(AT_ONCE, from), frame: Vec::new() }
    }

    /// What is read.
    pub fn source(&mut self) -> &mut R {
        self.from.get_mut()
    }

    /// Whether more has come than was given, so that the next frame needs nothing of this end.
    pub fn has_more(&self) -> bool {
        !self.from.buffer().is_empty()
    }

    pub fn next(&mut self) -> Result<Frame<'_>, Lost> {
        let mut header = [0; HEADER];
        self.from.read_exact(&mut header)?;
        let header = u32::from_be_bytes(header);
        let (is_data, len) = (header & DATA != 0, (header & !DATA) as usize);
        if len > if is_data { PIECE } else { LONGEST } {
            return Err(Lost::Protocol("a frame is too long"));
        }
        self.frame.resize(len, 0);
        self.from.read_exact(&mut self.frame)?;
        match is_data {
            true => Ok(Frame::Data(&mut self.frame)),
            false => match postcard::take_from_bytes(&self.frame) {
                Ok((message, [])) => Ok(Frame::Message(message)),
                Ok(_) | Err(_) => Err(Lost::Protocol("a message is none")),
            },
        }
    }

    /// The next message, where no octets of a file have a place.
    pub fn message(&mut self) -> Result<Message, Lost> {
        match self.next()? {
            Frame::Message(message) => Ok(message),
            Frame::Data(_) => Err(Lost::Protocol("octets of a file that was not begun")),
        }
    }
}

/// The frame of a message.
pub fn frame(message: &Message) -> io::Result<Vec<u8>> {
    let mut frame = postcard::to_extend(message, vec![0; HEADER]).map_err(io::Error::other)?;
    head(&mut frame, 0);
    Ok(frame)
}

/// Makes a frame of octets of a file, at most [`PIECE`], which lie behind [`HEADER`] octets of room: both are written
/// at once.
pub fn frame_data(frame: &mut [u8]) {
    head(frame, DATA);
}

fn head(frame: &mut [u8], mark: u32) {
    if let Some((header, octets)) = frame.split_first_chunk_mut() {
        *header = (octets.len() as u32 | mark).to_be_bytes();
    }
}

/// Writes a message.
pub fn say(mut to: impl Write, message: &Message) -> io::Result<()> {
    to.write_all(&frame(message)?)
}

/// Says why this end gives up, and waits a moment until the other end has heard it.
pub fn stop(stream: &Stream, why: Stop) {
    if say(stream, &Message::Stop(why)).is_ok() {
        let _ = stream.wait_acked(super::FAREWELL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn junk_is_an_error_or_a_message_and_never_a_panic(junk in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut reader = Reader::new(&junk[..]);
            while reader.next().is_ok() {}
            let mut framed = (junk.len() as u32).to_be_bytes().to_vec();
            framed.extend(&junk);
            let _ = Reader::new(&framed[..]).next();
        }
    }

    #[test]
    fn frame_that_says_too_great_a_length_is_refused() {
        for header in [LONGEST as u32 + 1, DATA | (PIECE as u32 + 1), u32::MAX] {
            let octets = header.to_be_bytes();
            assert!(matches!(Reader::new(&octets[..]).next(), Err(Lost::Protocol(_))));
        }
    }

    #[test]
    fn loss_is_told_without_channels_and_offsets() {
        let lost = |error: Error| Lost::Channel(error.into()).to_string();
        let ended = lost(PeerError::Unknown { acked: 120 }.into());
        assert_eq!(ended, "it ended, or was started again");
        assert!(!lost(PeerError::Aborted { received: 120 }.into()).contains("120"));
        let cut = Reader::new(&b"ab"[..]).message().unwrap_err();
        assert_eq!(cut.to_string(), "it closed the connection");
    }

    #[test]
    fn message_is_read_as_it_was_written() {
        let message = Message::File { path: b"a/\xff".to_vec(), size: u64::MAX };
        let mut octets = Vec::new();
        say(&mut octets, &message).unwrap();
        let mut data = [&[0; HEADER][..], b"data"].concat();
        frame_data(&mut data);
        octets.extend(data);
        say(&mut octets, &message).unwrap();
        let mut reader = Reader::new(&octets[..]);
        assert_eq!(reader.message().unwrap(), message);
        assert!(matches!(reader.next().unwrap(), Frame::Data(octets) if octets == b"data"));
        assert_eq!(reader.message().unwrap(), message);
    }
}
