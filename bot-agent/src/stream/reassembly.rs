//! Bounded TCP reassembly (RFC 9293 section 3.4: sequence numbers wrap).
//!
//! The first copy of a byte wins; a later copy that differs is counted. Invariant: `later` is
//! sorted, its fragments neither overlap nor touch each other or the head.

use thiserror::Error;

/// Contiguous bytes of a stream, and those that wait for a gap to close.
#[derive(Clone, Debug)]
pub struct Reassembly {
    base: u32,
    head: Vec<u8>,
    later: Vec<Fragment>,
    window: usize,
    fragments: usize,
    conflicts: u32,
}

#[derive(Clone, Debug)]
struct Fragment {
    seq: u32,
    bytes: Vec<u8>,
}

/// Why a segment was not taken. Nothing of it was.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Full {
    /// It reaches beyond the window.
    #[error("the segment reaches beyond the reassembly window")]
    Window,
    /// It would make one fragment too many.
    #[error("the stream has too many gaps")]
    Fragments,
}

impl Reassembly {
    /// A stream whose next byte has sequence number `base`, of which at most `window` bytes from
    /// there on, and at most `fragments` islands behind gaps, are held.
    pub fn new(base: u32, window: usize, fragments: usize) -> Self {
        Self {
            base,
            head: Vec::new(),
            later: Vec::new(),
            window,
            fragments,
            conflicts: 0,
        }
    }

    /// Sequence number of the first byte of [`Self::head`].
    pub fn base(&self) -> u32 {
        self.base
    }

    /// Contiguous bytes from [`Self::base`].
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.head.len() + self.later.iter().map(|f| f.bytes.len()).sum::<usize>()
    }

    /// Segments that brought other bytes for a place that was taken.
    pub fn conflicts(&self) -> u32 {
        self.conflicts
    }

    /// Distance of a sequence number from the base: negative if it lies before it.
    pub fn distance(&self, seq: u32) -> i64 {
        i64::from(seq.wrapping_sub(self.base).cast_signed())
    }

    /// Adds a segment; returns whether [`Self::head`] grew. Bytes before the base are ignored.
    pub fn insert(&mut self, seq: u32, bytes: &[u8]) -> Result<bool, Full> {
        let (at, bytes) = if let Ok(at) = usize::try_from(self.distance(seq)) {
            (at, bytes)
        } else {
            let before = usize::try_from(-self.distance(seq)).unwrap_or(usize::MAX);
            (0, bytes.get(before..).unwrap_or_default())
        };
        if bytes.is_empty() {
            return Ok(false);
        }
        if at + bytes.len() > self.window {
            return Err(Full::Window);
        }
        if self.later.is_empty() && at == self.head.len() {
            self.head.extend_from_slice(bytes);
            return Ok(true);
        }
        let (new, differs) = self.new_parts(at, bytes);
        self.conflicts += u32::from(differs);
        let appends = |(from, _): &(usize, &[u8])| *from == self.head.len();
        let islands = new.iter().filter(|part| !appends(part)).count();
        if islands > 0 && self.later.len() + islands > self.fragments {
            // Some may have touched a neighbour, but at the limit that is no longer examined.
            return Err(Full::Fragments);
        }
        let before = self.head.len();
        for (from, part) in new {
            self.place(from, part);
        }
        self.close_gaps();
        Ok(self.head.len() > before)
    }

    /// Drops the first `count` bytes of the head and moves the base behind them.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.head.len());
        if count == self.head.len() {
            // Idle streams hold no memory.
            self.head = Vec::new();
        } else {
            self.head.drain(..count);
        }
        self.base = self.base.wrapping_add(length(count));
    }

    /// Gives up on the bytes before the first fragment; returns whether there was one. The head is
    /// dropped, the fragment becomes it.
    pub fn skip_gap(&mut self) -> bool {
        if self.later.is_empty() {
            return false;
        }
        let first = self.later.remove(0);
        self.base = first.seq;
        self.head = first.bytes;
        true
    }

    /// Moves the base down to `seq`: the stream turns out to begin earlier. What was the head then
    /// waits for the gap to close. Nothing happens unless `seq` lies before the base and within
    /// the window.
    pub fn begin_at(&mut self, seq: u32) {
        let Ok(gap @ 1..) = usize::try_from(-self.distance(seq)) else {
            return;
        };
        let end = self.later.last().map_or(self.head.len(), |last| {
            self.offset(last.seq) + last.bytes.len()
        });
        if gap + end > self.window {
            return;
        }
        let head = Fragment {
            seq: self.base,
            bytes: std::mem::take(&mut self.head),
        };
        self.base = seq;
        if !head.bytes.is_empty() {
            self.later.insert(0, head);
        }
    }

    /// The parts of a segment for which nothing is held, with their offsets from the base, and
    /// whether a part that is held differs.
    fn new_parts<'a>(&self, at: usize, bytes: &'a [u8]) -> (Vec<(usize, &'a [u8])>, bool) {
        let held = std::iter::once((0, self.head.as_slice())).chain(
            self.later
                .iter()
                .map(|fragment| (self.offset(fragment.seq), fragment.bytes.as_slice())),
        );
        let mut parts = Vec::new();
        let mut differs = false;
        let (mut at, mut rest) = (at, bytes);
        for (start, held) in held {
            if let Some((part, behind)) = rest.split_at_checked(start.saturating_sub(at)) {
                if !part.is_empty() {
                    parts.push((at, part));
                }
                at += part.len();
                rest = behind;
            } else {
                break;
            }
            let known = held.get(at - start..).unwrap_or_default();
            let overlap = known.len().min(rest.len());
            differs |= known.get(..overlap) != rest.get(..overlap);
            at += overlap;
            rest = rest.get(overlap..).unwrap_or_default();
        }
        if !rest.is_empty() {
            parts.push((at, rest));
        }
        (parts, differs)
    }

    /// Puts a part where nothing is held: at the end of the head or of a fragment, or on its own.
    fn place(&mut self, at: usize, part: &[u8]) {
        if at == self.head.len() {
            self.head.extend_from_slice(part);
            return;
        }
        let seq = self.base.wrapping_add(length(at));
        let next = self
            .later
            .partition_point(|fragment| fragment.seq.wrapping_sub(self.base) < length(at));
        let previous = next.checked_sub(1).and_then(|i| self.later.get_mut(i));
        match previous {
            Some(previous) if previous.end() == seq => previous.bytes.extend_from_slice(part),
            _ => self.later.insert(
                next,
                Fragment {
                    seq,
                    bytes: part.to_vec(),
                },
            ),
        }
    }

    /// Joins fragments that have come to touch the head or each other.
    fn close_gaps(&mut self) {
        while let Some(first) = self.later.first()
            && self.offset(first.seq) == self.head.len()
        {
            let first = self.later.remove(0);
            self.head.extend_from_slice(&first.bytes);
        }
        self.later.dedup_by(|next, previous| {
            let touches = previous.end() == next.seq;
            if touches {
                previous.bytes.append(&mut next.bytes);
            }
            touches
        });
    }

    fn offset(&self, seq: u32) -> usize {
        // Not before the base: 32 bits fit.
        usize::try_from(seq.wrapping_sub(self.base)).unwrap_or(usize::MAX)
    }
}

impl Fragment {
    fn end(&self) -> u32 {
        self.seq.wrapping_add(length(self.bytes.len()))
    }
}

/// A length as a sequence number distance; windows are far below 2^32.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(base: u32) -> Reassembly {
        Reassembly::new(base, 100, 4)
    }

    #[test]
    fn segments_in_any_order_become_one_stream() {
        let mut stream = stream(u32::MAX - 2);
        assert_eq!(stream.insert(2, b"fgh"), Ok(false));
        assert_eq!(stream.insert(0, b"def"), Ok(false));
        assert_eq!(stream.insert(u32::MAX - 2, b"abc"), Ok(true));
        assert_eq!(stream.head(), b"abcdefgh");
        assert_eq!(stream.conflicts(), 0);
    }

    #[test]
    fn the_first_copy_wins_and_another_one_is_counted() {
        let mut stream = stream(1000);
        stream.insert(1002, b"cd").unwrap();
        stream.insert(1006, b"gh").unwrap();
        stream.insert(1000, b"abXdeYghi").unwrap();
        assert_eq!(stream.head(), b"abcdeYghi");
        assert_eq!(stream.conflicts(), 1);
        assert_eq!(stream.insert(1000, b"abcd"), Ok(false));
        assert_eq!(stream.conflicts(), 1);
    }

    #[test]
    fn bounds_hold() {
        let mut stream = stream(0);
        assert_eq!(stream.insert(99, b"xy"), Err(Full::Window));
        for at in 1..5 {
            assert_eq!(stream.insert(10 * at, b"x"), Ok(false));
        }
        assert_eq!(stream.insert(60, b"x"), Err(Full::Fragments));
        assert_eq!(stream.insert(0, b"0123456789"), Ok(true));
        assert_eq!(stream.head(), b"0123456789x");
        assert_eq!(stream.held(), 14);
    }

    #[test]
    fn a_gap_can_be_given_up_and_a_beginning_moved_down() {
        let mut stream = stream(50);
        stream.insert(60, b"later").unwrap();
        stream.insert(50, b"now").unwrap();
        stream.begin_at(40);
        assert_eq!((stream.head(), stream.base()), (&b""[..], 40));
        assert_eq!(stream.insert(40, b"0123456789"), Ok(true));
        assert_eq!(stream.head(), b"0123456789now");
        assert!(stream.skip_gap());
        assert_eq!((stream.head(), stream.base()), (&b"later"[..], 60));
        assert!(!stream.skip_gap());
    }

    /// Bytes by position, the first copy winning: the reference.
    fn reference(segments: &[(usize, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = [None; 100];
        for (at, segment) in segments {
            for (place, byte) in bytes.iter_mut().skip(*at).zip(segment) {
                place.get_or_insert(*byte);
            }
        }
        bytes.iter().map_while(|byte| *byte).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_a_byte_by_byte_reference(
            base: u32,
            segments in prop::collection::vec((0_usize..80, prop::collection::vec(any::<u8>(), 0..20)), 0..30),
        ) {
            let mut stream = Reassembly::new(base, 100, 100);
            for (at, segment) in &segments {
                stream.insert(base.wrapping_add(length(*at)), segment).unwrap();
            }
            prop_assert_eq!(stream.head(), reference(&segments));
            let mut ends = stream.head.len();
            for fragment in &stream.later {
                prop_assert!(stream.offset(fragment.seq) > ends);
                ends = stream.offset(fragment.seq) + fragment.bytes.len();
            }
        }
    }
}
