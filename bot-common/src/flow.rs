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

/// Judges `segment` against the content of its slot at `now` (`CLOCK_BOOTTIME` ns).
#[inline(always)]
pub fn step(slot: &FlowSlot, segment: &Segment, now: u64) -> Step {
    let known = slot.tag == segment.tag && now < slot.deadline;
    if segment.syn && !known {
        if is_held(slot, now) {
            return Step::Busy;
        }
        let slot = fresh(segment, 0, now);
        return if segment.len == 0 {
            Step::Store(slot)
        } else {
            copy(slot, segment)
        };
    }
    if segment.len == 0 {
        return Step::Ignore;
    }
    if known {
        return copy(*slot, segment);
    }
    match segment.head {
        Head::Other => Step::Ignore,
        Head::Hello(_) if is_held(slot, now) => Step::Busy,
        Head::Hello(window) => copy(fresh(segment, window, now), segment),
    }
}

/// A slot may not be taken from another stream whose hello has begun and may still be completed.
#[inline(always)]
const fn is_held(slot: &FlowSlot, now: u64) -> bool {
    slot.tag != 0 && slot.window != 0 && now < slot.deadline
}

#[inline(always)]
const fn fresh(segment: &Segment, window: u32, now: u64) -> FlowSlot {
    FlowSlot {
        tag: segment.tag,
        deadline: now + FLOW_LIFETIME_NS,
        start: segment.seq,
        window,
        segments: 0,
        reserved: 0,
    }
}

/// Copies what of the segment lies in the stream's window.
#[inline(always)]
fn copy(mut slot: FlowSlot, segment: &Segment) -> Step {
    let from = segment.seq.wrapping_sub(slot.start);
    if from == 0 && slot.window == 0 {
        match segment.head {
            // The stream is not TLS: forget it.
            Head::Other => return Step::Store(FlowSlot::default()),
            Head::Hello(window) => slot.window = window,
        }
    }
    let window = if slot.window == 0 {
        FLOW_WINDOW
    } else {
        slot.window
    };
    if from >= window {
        return Step::Ignore;
    }
    if slot.segments >= FLOW_SEGMENTS {
        return Step::TooMany;
    }
    slot.segments += 1;
    let room = window - from;
    Step::Copy {
        slot,
        len: if segment.len < room {
            segment.len
        } else {
            room
        },
    }
}
