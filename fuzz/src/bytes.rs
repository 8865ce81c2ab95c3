//! Decisions read from a fuzzer's bytes: the shorter the input, the simpler the case.

/// The bytes that are left to decide with. When none are left, every decision is the smallest one.
#[derive(Clone, Debug)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// All of an input.
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte, or 0.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number from `0..bound`, from three bytes.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let bytes = [self.byte(), self.byte(), self.byte(), 0];
        u64::from(u32::from_le_bytes(bytes)) % bound
    }

    /// At most this many of the bytes that are left.
    pub fn take(&mut self, at_most: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(at_most.min(self.0.len()));
        self.0 = rest;
        front
    }
}
