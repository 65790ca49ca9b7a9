//! Frames between two relays in a line: gathered into messages, counted, and over if one was lost.

use super::frame::{Down, DownFrame, Envelope, Frames, RelayId, Term, Up, UpFrame};

/// How often a message goes at least while there are pipes, in milliseconds.
pub const BEAT: u64 = 500;

/// After how many milliseconds without a message the other relay counts as gone: six beats.
pub const SILENCE: u64 = 3_000;

/// Octets of a message, about: a bus takes messages of up to a MiB as a rule.
const MOST: usize = 128 * 1024;

/// Octets of a frame besides those that it carries, at most: an address, numbers of up to ten octets, tags.
const FRAME: usize = 48;

/// Between which relays a lane is, as the relay at this end sees it: the other one, and the term in which the
/// one of both that has or had the router has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LaneId {
    pub peer: RelayId,
    pub term: Term,
}

/// A frame of one direction.
pub(super) trait Frame: Sized {
    fn gather(frames: Vec<Self>) -> Frames;
    fn octets(&self) -> usize;
}

impl Frame for UpFrame {
    fn gather(frames: Vec<Self>) -> Frames {
        Frames::Up(frames)
    }

    fn octets(&self) -> usize {
        FRAME
            + match &self.what {
                Up::Body(octets) => octets.len(),
                Up::Open { token, .. } => token.as_ref().map_or(0, |token| token.len()),
                _ => 0,
            }
    }
}

impl Frame for DownFrame {
    fn gather(frames: Vec<Self>) -> Frames {
        Frames::Down(frames)
    }

    fn octets(&self) -> usize {
        FRAME
            + match &self.what {
                Down::Piece { octets, .. } => octets.len(),
                _ => 0,
            }
    }
}

/// What arrived in a lane is to be dealt with so.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// It is the next message.
    Next,
    /// The other end began anew: what was under way is over, and this is the first message.
    Anew,
    /// It is of a past that is over.
    Stale,
    /// A message is missing: what is under way is over.
    Gap,
}

/// An end of a lane that sends frames of the type `F`.
#[derive(Debug)]
pub(super) struct Lane<F> {
    incarnation: u64,
    sent: u64,
    received: u64,
    /// Whether this incarnation is over, and the other end is yet to begin another.
    is_broken: bool,
    spoke: u64,
    heard: u64,
    frames: Vec<F>,
}

impl<F: Frame> Lane<F> {
    /// The end that begins: later incarnations have higher numbers, whatever was forgotten of those before.
    pub fn beginning(now: u64) -> Self {
        Self { incarnation: now + 1, ..Self::following(now) }
    }

    /// The end that goes along.
    pub fn following(now: u64) -> Self {
        Self {
            incarnation: 0,
            sent: 0,
            received: 0,
            is_broken: false,
            spoke: now,
            heard: now,
            frames: Vec::new(),
        }
    }

    pub fn push(&mut self, frame: F) {
        self.frames.push(frame);
    }

    pub fn has_frames(&self) -> bool {
        !self.frames.is_empty()
    }

    /// The next message, with the frames that wait: none of them if a beat is due.
    pub fn poll_message(
        &mut self,
        now: u64,
        from: RelayId,
        term: Term,
        beats: bool,
    ) -> Option<Envelope> {
        if self.frames.is_empty() && !(beats && self.spoke + BEAT <= now) {
            return None;
        }
        let mut octets = 0;
        let most = self.frames.iter().take_while(|frame| {
            let fits = octets < MOST;
            octets += frame.octets();
            fits
        });
        let rest = self.frames.split_off(most.count());
        let frames = std::mem::replace(&mut self.frames, rest);
        Some(self.envelope(now, from, term, F::gather(frames)))
    }

    fn envelope(&mut self, now: u64, from: RelayId, term: Term, frames: Frames) -> Envelope {
        let count = self.sent;
        self.sent += 1;
        self.spoke = now;
        Envelope { from, term, incarnation: self.incarnation, count, frames }
    }

    /// The other end is to be told that something was lost.
    pub fn gap(&mut self, from: RelayId, term: Term) -> Envelope {
        Envelope { from, term, incarnation: self.incarnation, count: 0, frames: Frames::Gap }
    }

    /// Begins anew, at the end that may.
    pub fn begin_anew(&mut self, now: u64) {
        self.reset((self.incarnation + 1).max(now));
        self.heard = now;
    }

    fn reset(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        self.sent = 0;
        self.received = 0;
        self.is_broken = false;
        self.frames.clear();
    }

    /// A message arrived.
    pub fn arrive(&mut self, now: u64, incarnation: u64, count: u64) -> Arrived {
        if incarnation < self.incarnation {
            return Arrived::Stale;
        }
        self.heard = now;
        let is_new = incarnation > self.incarnation;
        if is_new {
            self.reset(incarnation);
        }
        if self.is_broken || count != self.received {
            self.is_broken = true;
            self.frames.clear();
            return Arrived::Gap;
        }
        self.received += 1;
        if is_new { Arrived::Anew } else { Arrived::Next }
    }

    /// What was under way is given up at this end: the next message from the other tells it so.
    pub fn break_off(&mut self) {
        self.is_broken = true;
        self.frames.clear();
    }

    /// The other end says that something was lost in this incarnation; false if that is known.
    pub fn is_of(&self, incarnation: u64) -> bool {
        incarnation == self.incarnation
    }

    /// Nothing was under way: silence counts from now on.
    pub fn wakes(&mut self, now: u64) {
        self.heard = now;
    }

    /// When the next beat is due, or the other end counts as gone.
    pub fn next_look(&self) -> u64 {
        (self.spoke + BEAT).min(self.heard + SILENCE)
    }

    /// When something was heard last.
    pub fn silent_since(&self) -> u64 {
        self.heard
    }

    pub fn is_silent(&self, now: u64) -> bool {
        self.heard + SILENCE <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn frame(octets: usize) -> UpFrame {
        UpFrame { pipe: 1, what: Up::Body(Bytes::from(vec![0; octets])) }
    }

    #[test]
    fn lost_message_breaks_the_incarnation_until_the_front_begins_anew() {
        let (mut front, mut host) =
            (Lane::<UpFrame>::beginning(0), Lane::<DownFrame>::following(0));
        for count in 0..3 {
            front.push(frame(1));
            let sent = front.poll_message(1, RelayId(1), 1, false).expect("a frame waits");
            assert_eq!(sent.count, count);
            match count {
                0 => assert_eq!(host.arrive(1, sent.incarnation, sent.count), Arrived::Anew),
                1 => {}
                _ => assert_eq!(host.arrive(1, sent.incarnation, sent.count), Arrived::Gap),
            }
        }
        assert_eq!(host.arrive(1, 1, 1), Arrived::Gap, "whatever comes");
        front.begin_anew(1);
        front.push(frame(1));
        let sent = front.poll_message(1, RelayId(1), 1, false).expect("a frame waits");
        assert_eq!(host.arrive(1, sent.incarnation, sent.count), Arrived::Anew);
        assert_eq!(host.arrive(1, 1, 3), Arrived::Stale);
    }

    #[test]
    fn message_holds_no_more_than_its_share_and_one_frame() {
        let mut lane = Lane::beginning(0);
        (0..4).for_each(|_| lane.push(frame(100_000)));
        let mut sizes = Vec::new();
        while let Some(sent) = lane.poll_message(0, RelayId(1), 1, false) {
            let Frames::Up(frames) = sent.frames else { panic!("frames of this direction") };
            sizes.push(frames.len());
        }
        assert_eq!(sizes, [2, 2]);
    }

    #[test]
    fn beat_goes_while_there_are_pipes_alone() {
        let mut lane = Lane::<UpFrame>::beginning(0);
        assert!(lane.poll_message(BEAT, RelayId(1), 1, false).is_none());
        assert!(lane.poll_message(BEAT - 1, RelayId(1), 1, true).is_none());
        assert!(lane.poll_message(BEAT, RelayId(1), 1, true).is_some());
        assert!(lane.poll_message(BEAT, RelayId(1), 1, true).is_none());
    }
}
