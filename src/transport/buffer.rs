//! Input and output buffers of a fixed size.

use std::fmt;

use ureq::unversioned::transport::Buffers;

/// Buffers that are made once per connection and never grow. ureq's own have at least 10 KiB.
pub(super) struct FixedBuffers {
    input: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether the last look at the input consumed some of it, so that another look makes sense.
    progress: bool,
    output: Box<[u8]>,
}

impl fmt::Debug for FixedBuffers {
    /// Leaves the octets out, among which may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("FixedBuffers");
        told.field("start", &self.start).field("end", &self.end).finish_non_exhaustive()
    }
}

impl FixedBuffers {
    pub fn new(size: usize) -> Self {
        let buffer = || vec![0; size].into_boxed_slice();
        Self { input: buffer(), start: 0, end: 0, progress: false, output: buffer() }
    }
}

impl Buffers for FixedBuffers {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.input[self.end..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.end += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.start += amount;
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.input[self.end..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.progress && self.start < self.end
    }
}
