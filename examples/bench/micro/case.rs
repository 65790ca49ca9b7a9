//! The operations that are measured.

use std::fmt;

/// An operation that can be repeated.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    /// The octets of data that an operation moves.
    pub bytes: usize,
    start: fn(usize) -> Box<dyn Work>,
}

/// A case, ready to run.
pub trait Work {
    /// Prepares an operation; this is not measured. May be called for several operations before
    /// they run.
    fn prepare(&mut self) {}

    /// Runs one operation.
    fn run(&mut self);
}

impl Case {
    /// `start` is given `bytes`.
    pub const fn new(name: &'static str, bytes: usize, start: fn(usize) -> Box<dyn Work>) -> Self {
        Self { name, bytes, start }
    }

    /// Makes the state that the operations need.
    pub fn start(&self) -> Box<dyn Work> {
        (self.start)(self.bytes)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<F: FnMut()> Work for F {
    fn run(&mut self) {
        self();
    }
}
