//! Bounds-checked reading and writing of big-endian fields.

/// Reads fields from a slice. What is not there reads as zeros, and [`Reader::is_short`] tells.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    short: bool,
}

impl<'a> Reader<'a> {
    /// Starts at the first octet of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, short: false }
    }

    /// The next `n` octets; none if there are fewer.
    pub fn bytes(&mut self, n: usize) -> &'a [u8] {
        match self.bytes.split_at_checked(n) {
            Some((head, rest)) => {
                self.bytes = rest;
                head
            }
            None => {
                self.short = true;
                &[]
            }
        }
    }

    /// The next `N` octets as an array.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().unwrap_or([0; N])
    }

    /// One octet.
    pub fn u8(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// Two octets.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// Four octets.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    /// Eight octets.
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// One octet of length, then so many octets.
    pub fn counted(&mut self) -> &'a [u8] {
        let n = self.u8();
        self.bytes(n.into())
    }

    /// Whether something read was not there.
    pub const fn is_short(&self) -> bool {
        self.short
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Writes fields into a slice. What does not fit is not written, and [`Writer::finish`] tells.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    overrun: bool,
}

impl<'a> Writer<'a> {
    /// Starts at the first octet of `out`.
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0, overrun: false }
    }

    /// Appends `bytes`.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(to) => {
                to.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.overrun = true,
        }
        self
    }

    /// Appends one octet.
    pub fn u8(&mut self, v: u8) -> &mut Self {
        self.bytes(&[v])
    }

    /// Appends two octets.
    pub fn u16(&mut self, v: u16) -> &mut Self {
        self.bytes(&v.to_be_bytes())
    }

    /// Appends four octets.
    pub fn u32(&mut self, v: u32) -> &mut Self {
        self.bytes(&v.to_be_bytes())
    }

    /// Appends eight octets.
    pub fn u64(&mut self, v: u64) -> &mut Self {
        self.bytes(&v.to_be_bytes())
    }

    /// Appends one octet of length, then `bytes` (at most 255).
    pub fn counted(&mut self, bytes: &[u8]) -> &mut Self {
        match u8::try_from(bytes.len()) {
            Ok(n) => self.u8(n).bytes(bytes),
            Err(_) => {
                self.overrun = true;
                self
            }
        }
    }

    /// Octets written, or `None` if something did not fit.
    pub fn finish(&self) -> Option<usize> {
        (!self.overrun).then_some(self.len)
    }
}
