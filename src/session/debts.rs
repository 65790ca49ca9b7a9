//! What the relay is still to be told of the session itself.

/// What is owed to the relay. All zeros: nothing.
///
/// A claim that changes makes two debts, which end apart: a park under way is to be ended, since it
/// told what is true no more, and a park is to tell what is true now. A claim that the relay itself
/// took away makes but the first.
#[derive(Debug)]
pub(super) struct Debts {
    /// The park under way is to be ended by WAKE.
    wake: bool,
    /// A park is to tell the claims.
    claims: bool,
    /// A send is due even if it has nothing to say.
    hello: bool,
}

impl Debts {
    pub const NONE: Self = Self { wake: false, claims: false, hello: false };

    /// The application changed a claim.
    pub fn claim_changes(&mut self) {
        self.wake = true;
        self.claims = true;
    }

    /// A send goes that has WAKE.
    pub fn wake_goes(&mut self) {
        self.wake = false;
    }

    /// The relay took a claim away, or did not get a park that told it, or a send that had WAKE.
    pub fn owe_wake(&mut self) {
        self.wake = true;
    }

    /// A park goes, which tells all claims.
    pub fn park_goes(&mut self) {
        self.wake = false;
        self.claims = false;
    }

    /// A park failed.
    pub fn park_failed(&mut self) {
        self.claims = true;
    }

    /// Whether a park under way is to be ended by WAKE.
    pub fn owes_wake(&self) -> bool {
        self.wake
    }

    /// Whether a park is to tell the claims.
    pub fn owes_claims(&self) -> bool {
        self.claims
    }

    /// The relay is to be asked, though there may be nothing to say.
    pub fn owe_hello(&mut self) {
        self.hello = true;
    }

    /// A send goes.
    pub fn hello_goes(&mut self) {
        self.hello = false;
    }

    /// Whether a send is due even if it has nothing to say.
    pub fn owes_hello(&self) -> bool {
        self.hello
    }
}
