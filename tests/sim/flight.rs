//! Checks that the data in flight stay within the windows, by reading along with all requests.

use std::collections::HashMap;

use byway::wire::{DataFlags, Decoder, HelloFlags, Message, Piece};

/// Names an end of a channel by its token.
type End = u64;

/// The windows that were told so far.
#[derive(Debug, Default)]
pub struct Flight {
    /// The end at the other side of a channel.
    other: HashMap<End, End>,
    /// The first offset beyond the window that an end has told.
    limit: HashMap<End, u64>,
    /// The relay changes ends and limits that it passes on: what a client sends is within the windows that it
    /// was told, which are not these.
    pub is_misled: bool,
    /// The number of requests that were park and send at once.
    pub singles: u64,
}

/// Reads one request.
#[derive(Debug, Default)]
pub struct Along {
    decoder: Decoder,
    /// The end that the messages are for.
    to: End,
}

impl Flight {
    /// A client has sent these octets of a request.
    pub fn hear(&mut self, along: &mut Along, mut said: &[u8]) {
        while let Some(piece) = along.decoder.next(&mut said).expect("what a client says is right")
        {
            let Piece::Message(message) = piece else { continue };
            match message {
                Message::Hello(hello) => {
                    self.singles += u64::from(hello.flags.has(HelloFlags::SINGLE));
                }
                Message::Route(route) => along.to = route.channel.token,
                Message::ConnectReq(connect) => {
                    self.raise(connect.channel.token, connect.limit);
                }
                Message::AcceptRsp(accept) => {
                    let (here, there) = (accept.channel.token, along.to);
                    self.other.insert(here, there);
                    self.other.insert(there, here);
                    self.raise(here, accept.limit);
                }
                Message::ReceiveReq(window) => {
                    if let Some(&here) = self.other.get(&along.to) {
                        self.raise(here, window.limit);
                    }
                }
                Message::SendReq(data) if !data.flags.has(DataFlags::DATAGRAM) => {
                    let end = data.offset + u64::from(data.len);
                    let limit = self.limit.get(&along.to).copied().unwrap_or(0);
                    let is_within = data.len == 0 || end <= limit || self.is_misled;
                    assert!(is_within, "{data:?} beyond the limit {limit}");
                }
                _ => {}
            }
        }
    }

    fn raise(&mut self, end: End, limit: u64) {
        let most = self.limit.entry(end).or_default();
        *most = limit.max(*most);
    }
}
