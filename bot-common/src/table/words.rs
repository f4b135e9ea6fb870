//! Tables in ordinary or shared memory of the host.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{LINE_WORDS, Line, Lines};

/// Shared memory that another thread (or the writer in the same one) stores to.
impl<'a> Lines for &'a [AtomicU64] {
    type Line = &'a [AtomicU64; LINE_WORDS];

    #[inline]
    fn line(&self, index: u32) -> Option<Self::Line> {
        let at = usize::try_from(index).ok()?.checked_mul(LINE_WORDS)?;
        self.get(at..)?.first_chunk()
    }
}

impl Line for &[AtomicU64; LINE_WORDS] {
    #[inline]
    fn word(self, index: usize) -> u64 {
        self.get(index & (LINE_WORDS - 1))
            .map_or(0, |word| word.load(Ordering::Acquire))
    }
}

/// Memory of one's own.
impl<'a> Lines for &'a [[u64; LINE_WORDS]] {
    type Line = &'a [u64; LINE_WORDS];

    #[inline]
    fn line(&self, index: u32) -> Option<Self::Line> {
        self.get(usize::try_from(index).ok()?)
    }
}

impl Line for &[u64; LINE_WORDS] {
    #[inline]
    fn word(self, index: usize) -> u64 {
        self.get(index & (LINE_WORDS - 1)).copied().unwrap_or(0)
    }
}
