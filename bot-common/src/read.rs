//! How packet bytes are read: one small trait, implemented over a packet in the kernel and over a
//! slice on the host, so that the same walk runs in both worlds.

/// Bounded access to the bytes of one frame. Offsets count from its first byte.
pub trait Read {
    /// `N` bytes at `offset`, or `None` when the frame ends before.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Whether the frame has at least `length` bytes.
    fn holds(&self, length: usize) -> bool;

    /// `value`, where paths through the walk meet. The kernel's reader makes the verifier forget
    /// what it knows about the value, so that it goes on once instead of once for each path.
    #[inline(always)]
    fn forget(&self, value: usize) -> usize {
        value
    }
}

impl Read for [u8] {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }

    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        length <= self.len()
    }
}

/// Big-endian `u16` at `at` of a header that was loaded whole. The index is a constant below `N`.
#[inline(always)]
pub(crate) fn be16<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([byte(bytes, at), byte(bytes, at + 1)])
}

/// Big-endian `u32` at `at`, likewise.
#[inline(always)]
pub(crate) fn be32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([
        byte(bytes, at),
        byte(bytes, at + 1),
        byte(bytes, at + 2),
        byte(bytes, at + 3),
    ])
}

/// The byte at `at`, a constant below `N`.
#[inline(always)]
pub(crate) fn byte<const N: usize>(bytes: &[u8; N], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// `M` bytes at `at`, a constant no higher than `N - M`.
#[inline(always)]
pub(crate) fn part<const N: usize, const M: usize>(bytes: &[u8; N], at: usize) -> [u8; M] {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(chunk) => *chunk,
        None => [0; M],
    }
}
