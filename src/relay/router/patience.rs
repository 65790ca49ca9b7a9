//! How long an upload waits for peers.

/// How long an upload waits for peers.
#[derive(Debug)]
pub(super) struct Patience {
    /// Since when, and until when, the message in hand waits for its peer.
    waits: Option<(u64, u64)>,
    /// How long messages may wait besides, in milliseconds.
    left: u64,
}

impl Patience {
    /// Of an upload whose messages may wait for `left` milliseconds in all.
    pub fn new(left: u64) -> Self {
        Self { waits: None, left }
    }

    /// Until when the message in hand waits.
    pub fn waits_until(&self) -> Option<u64> {
        self.waits.map(|(_, until)| until)
    }

    /// The message in hand waits, for at most `wait` milliseconds. Until when; `None` if there is no patience left.
    pub fn begin(&mut self, now: u64, wait: u64) -> Option<u64> {
        let wait = wait.min(self.left);
        if wait == 0 {
            return None;
        }
        self.waits = Some((now, now + wait));
        self.waits_until()
    }

    /// The message in hand waits no longer; false if the message did not wait.
    pub fn end(&mut self, now: u64) -> bool {
        let Some((since, _)) = self.waits.take() else { return false };
        self.left = self.left.saturating_sub(now.saturating_sub(since));
        true
    }
}
