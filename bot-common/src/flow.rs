//! Which segments of which TCP streams are copied to the agent, as a pure step over a [`FlowSlot`].
//!
//! A stream's slot is made by its SYN (so that a second segment that overtakes the first is known
//! to belong to a stream's beginning) or by a segment that looks like the start of a `ClientHello`
//! (so that nothing is lost when the SYN was not seen). Sequence numbers bound what is copied:
//! bytes behind the hello are never touched.

use crate::abi::flow::{FLOW_LIFETIME_NS, FLOW_SEGMENTS, FLOW_WINDOW, FlowSlot};

/// The first bytes of a segment, as far as a hello can be told from them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Head {
    /// Not the start of a `ClientHello`.
    Other,
    /// The start of one; this many bytes of the stream belong to it, or [`FLOW_WINDOW`] where that cannot be told yet.
    Hello(u32),
}

impl Head {
    /// Judges the first nine bytes: record header and handshake header (RFC 8446 §4, §5.1).
    #[inline(always)]
    pub const fn of_nine(bytes: &[u8; 9]) -> Self {
        let [kind, major, _minor, len_high, len_low, handshake, a, b, c] = *bytes;
        if kind != 0x16 || major != 3 || handshake != 1 {
            return Self::Other;
        }
        let record = (len_high as u32) << 8 | len_low as u32;
        let message = 4 + ((a as u32) << 16 | (b as u32) << 8 | c as u32);
        if message <= record && message + 5 <= FLOW_WINDOW {
            Self::Hello(message + 5)
        } else {
            // Split over records of unknown sizes, or larger than is ever copied.
            Self::Hello(FLOW_WINDOW)
        }
    }

    /// Judges a segment of fewer than nine bytes by its first.
    #[inline(always)]
    pub const fn of_one(first: u8) -> Self {
        if first == 0x16 {
            Self::Hello(FLOW_WINDOW)
        } else {
            Self::Other
        }
    }
}

/// A segment, as the step sees it.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// [`crate::hash::flow_tag`] of its five-tuple.
    pub tag: u64,
    /// Sequence number of its first payload byte (a SYN's own number plus one).
    pub seq: u32,
    /// Payload bytes.
    pub len: u32,
    /// Whether it opens the connection.
    pub syn: bool,
    /// Its first bytes.
    pub head: Head,
}

/// What to do about a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing.
    Ignore,
    /// Remember the stream.
    Store(FlowSlot),
    /// Remember the stream and copy the segment's first `len` bytes.
    Copy {
        /// The slot's new content.
        slot: FlowSlot,
        /// Bytes to copy, at least 1.
        len: u32,
    },
    /// Another stream's hello holds the slot.
    Busy,
    /// This stream has sent more segments than a hello may take.
    TooMany,
}

/// Judges `segment` against the content of its slot. `clock` (`CLOCK_BOOTTIME` ns) is not asked for
/// ordinary data of other streams.
#[inline(always)]
pub fn step(slot: &FlowSlot, segment: &Segment, clock: impl Fn() -> u64) -> Step {
    // A SYN with another number is another connection on the same ports.
    let anew = segment.syn && segment.seq != slot.start;
    if slot.tag == segment.tag && !anew && clock() < slot.deadline {
        return if segment.len == 0 {
            Step::Ignore
        } else {
            copy(*slot, segment)
        };
    }
    let window = match segment.head {
        _ if segment.syn => 0,
        Head::Hello(window) => window,
        Head::Other => return Step::Ignore,
    };
    let now = clock();
    if slot.tag != segment.tag && is_held(slot, now) {
        return Step::Busy;
    }
    let slot = fresh(segment, window, now + FLOW_LIFETIME_NS);
    if segment.len == 0 {
        Step::Store(slot)
    } else {
        copy(slot, segment)
    }
}

/// A slot may not be taken from another stream whose hello has begun and may still be completed.
#[inline(always)]
const fn is_held(slot: &FlowSlot, now: u64) -> bool {
    slot.tag != 0 && slot.window != 0 && slot.ended == 0 && now < slot.deadline
}

#[inline(always)]
const fn fresh(segment: &Segment, window: u32, deadline: u64) -> FlowSlot {
    FlowSlot {
        tag: segment.tag,
        deadline,
        start: segment.seq,
        window,
        segments: 0,
        ended: 0,
    }
}

/// Copies what of the segment lies in the stream's window.
#[inline(always)]
fn copy(mut slot: FlowSlot, segment: &Segment) -> Step {
    let mut from = segment.seq.wrapping_sub(slot.start);
    if from == 0 && slot.window == 0 {
        match segment.head {
            // The stream is not TLS: forget it.
            Head::Other => return Step::Store(FlowSlot::default()),
            Head::Hello(window) => slot.window = window,
        }
    }
    let mut window = if slot.window == 0 {
        FLOW_WINDOW
    } else {
        slot.window
    };
    if from >= window {
        // The start of a hello is a candidate wherever it stands: a forged SYN or a first hello
        // that was a decoy must not hide it.
        let Head::Hello(anew) = segment.head else {
            return Step::Ignore;
        };
        slot = fresh(segment, anew, slot.deadline);
        window = anew;
        from = 0;
    }
    if slot.segments >= FLOW_SEGMENTS {
        return Step::TooMany;
    }
    slot.segments += 1;
    let room = window - from;
    if segment.len < room {
        return Step::Copy {
            slot,
            len: segment.len,
        };
    }
    slot.ended = 1;
    Step::Copy { slot, len: room }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAG: u64 = 77;

    fn segment(seq: u32, len: u32, head: Head) -> Segment {
        Segment {
            tag: TAG,
            seq,
            len,
            syn: false,
            head,
        }
    }

    /// Feeds the pieces of a hello of `total` bytes in the given order; marks the bytes copied.
    fn copied(start: u32, total: u32, pieces: &[(u32, u32)]) -> [bool; 4096] {
        let mut slot = FlowSlot::default();
        let mut bytes = [false; 4096];
        let syn = Segment {
            tag: TAG,
            seq: start,
            len: 0,
            syn: true,
            head: Head::Other,
        };
        if let Step::Store(after) = step(&slot, &syn, || 1) {
            slot = after;
        }
        for &(from, len) in pieces {
            let head = if from == 0 {
                Head::Hello(total)
            } else {
                Head::Other
            };
            if let Step::Copy { slot: after, len } =
                step(&slot, &segment(start.wrapping_add(from), len, head), || 2)
            {
                slot = after;
                bytes[from as usize..(from + len) as usize].fill(true);
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn every_byte_of_a_hello_is_copied_in_whatever_order_it_comes(
            start: u32,
            mut cuts in proptest::collection::btree_set(1u32..2000, 0..10),
            total in 10u32..2000,
            order: [u8; 16],
        ) {
            cuts.insert(0);
            cuts.insert(total);
            let mut edges = [0u32; 16];
            let kept = cuts.iter().copied().filter(|cut| *cut <= total);
            let count = edges.iter_mut().zip(kept).map(|(edge, cut)| *edge = cut).count();
            let mut pieces = [(0, 0); 16];
            for (piece, pair) in pieces.iter_mut().zip(edges[..count].windows(2)) {
                *piece = (pair[0], pair[1] - pair[0]);
            }
            let pieces = &mut pieces[..count - 1];
            for (i, other) in (0..pieces.len()).zip(order) {
                pieces.swap(i, usize::from(other) % pieces.len());
            }
            let bytes = copied(start, total, pieces);
            prop_assert!(bytes[..total as usize].iter().all(|copied| *copied));
        }
    }

    #[test]
    fn bytes_behind_the_hello_are_never_copied() {
        let bytes = copied(u32::MAX - 5, 100, &[(0, 60), (60, 200), (260, 50)]);
        assert!(bytes[..100].iter().all(|copied| *copied));
        assert!(!bytes[100..].iter().any(|copied| *copied));
    }

    #[test]
    fn a_hello_in_progress_holds_its_slot_until_its_deadline() {
        let head = Head::Hello(500);
        let Step::Copy { slot, .. } = step(&FlowSlot::default(), &segment(9, 100, head), || 1)
        else {
            panic!("a hello is copied")
        };
        let other = Segment {
            tag: 78,
            ..segment(9, 100, head)
        };
        assert_eq!(step(&slot, &other, || 2), Step::Busy);
        assert!(matches!(
            step(&slot, &other, || 2 + FLOW_LIFETIME_NS),
            Step::Copy { .. }
        ));
    }

    #[test]
    fn a_hello_that_is_all_there_gives_its_slot_up() {
        let whole = segment(9, 500, Head::Hello(500));
        let Step::Copy { slot, .. } = step(&FlowSlot::default(), &whole, || 1) else {
            panic!("a hello is copied")
        };
        let other = Segment { tag: 78, ..whole };
        assert!(matches!(step(&slot, &other, || 2), Step::Copy { .. }));
    }

    #[test]
    fn a_mere_syn_gives_its_slot_up() {
        let syn = Segment {
            tag: TAG,
            seq: 5,
            len: 0,
            syn: true,
            head: Head::Other,
        };
        let Step::Store(slot) = step(&FlowSlot::default(), &syn, || 1) else {
            panic!("a SYN is remembered")
        };
        let other = Segment {
            tag: 78,
            ..segment(9, 100, Head::Hello(500))
        };
        assert!(matches!(step(&slot, &other, || 2), Step::Copy { .. }));
    }

    #[test]
    fn a_new_connection_on_the_same_ports_starts_anew() {
        let syn = |seq| Segment {
            tag: TAG,
            seq,
            len: 0,
            syn: true,
            head: Head::Other,
        };
        let head = Head::Hello(100);
        let mut slot = FlowSlot::default();
        for start in [5, 900_000] {
            let Step::Store(stored) = step(&slot, &syn(start), || 1) else {
                panic!("a SYN is remembered")
            };
            let Step::Copy { slot: after, len } = step(&stored, &segment(start, 80, head), || 1)
            else {
                panic!("its hello is copied")
            };
            assert_eq!((after.start, len), (start, 80));
            slot = after;
        }
        assert_eq!(
            step(&slot, &syn(900_000), || 1),
            Step::Ignore,
            "a SYN sent again"
        );
    }

    #[test]
    fn a_forged_syn_does_not_hide_a_hello() {
        let forged = Segment {
            tag: TAG,
            seq: 5,
            len: 0,
            syn: true,
            head: Head::Other,
        };
        let Step::Store(slot) = step(&FlowSlot::default(), &forged, || 1) else {
            panic!("a SYN is remembered")
        };
        let hello = segment(900_000, 100, Head::Hello(100));
        assert!(matches!(
            step(&slot, &hello, || 1),
            Step::Copy { len: 100, .. }
        ));
    }

    #[test]
    fn heads_are_told_from_their_first_bytes() {
        let hello = |record: u16, message: u8| {
            let [high, low] = record.to_be_bytes();
            Head::of_nine(&[0x16, 3, 1, high, low, 1, 0, 0, message])
        };
        assert_eq!(hello(204, 200), Head::Hello(209));
        // Split over two records.
        assert_eq!(hello(100, 200), Head::Hello(FLOW_WINDOW));
        assert_eq!(Head::of_nine(b"GET / HTT"), Head::Other);
        // A server hello.
        assert_eq!(
            Head::of_nine(&[0x16, 3, 3, 0, 99, 2, 0, 0, 95]),
            Head::Other
        );
    }
}
