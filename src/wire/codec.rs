//! Bounds-checked reading and writing of big-endian fields.

/// Reads fields from a slice. A field that is missing reads as zeros, and [`Reader::is_short`] tells.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    short: bool,
}

impl<'a> Reader<'a> {
    /// A reader that begins at the first octet of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, short: false }
    }

    /// Reads `n` octets; the slice is empty if fewer are left.
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

    /// Reads `N` octets as an array; all zeros if fewer are left.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().unwrap_or([0; N])
    }

    /// Reads `N` octets where they are; all zeros if fewer are left.
    pub fn array_ref<const N: usize>(&mut self) -> &'a [u8; N] {
        self.bytes(N).try_into().unwrap_or(const { &[0; N] })
    }

    /// Reads one octet; 0 if none is left.
    pub fn u8(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// Reads two octets; 0 if fewer are left.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// Reads four octets; 0 if fewer are left.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    /// Reads eight octets; 0 if fewer are left.
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// Reads one octet that counts, then as many octets as it says.
    pub fn counted(&mut self) -> &'a [u8] {
        let n = self.u8();
        self.bytes(n.into())
    }

    /// Whether a field was read that the slice does not hold.
    pub const fn is_short(&self) -> bool {
        self.short
    }

    /// Whether the slice is read to its end.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Writes fields into a slice. A field that does not fit is left out, and [`Writer::finish`] tells.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    overrun: bool,
}

impl<'a> Writer<'a> {
    /// A writer that begins at the first octet of `out`.
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0, overrun: false }
    }

    /// Appends `bytes`.
    // In firmware each field would have it.
    #[cfg_attr(not(feature = "std"), inline(never))]
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

    /// Appends one octet that counts `bytes`, at most 255, then `bytes` themselves.
    pub fn counted(&mut self, bytes: &[u8]) -> &mut Self {
        match u8::try_from(bytes.len()) {
            Ok(n) => self.u8(n).bytes(bytes),
            Err(_) => {
                self.overrun = true;
                self
            }
        }
    }

    /// The number of octets written, or `None` if a field did not fit.
    pub fn finish(&self) -> Option<usize> {
        (!self.overrun).then_some(self.len)
    }
}
