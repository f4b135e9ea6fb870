//! Cells: what one value of 16 bits leads to, apart from the page it stands in.

use bot_common::table::slot;

use super::row::Value;

/// A slot together with the id that holds beside what it names: in a page that is the base id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cell {
    /// One id for all below.
    Leaf(u16),
    /// One prefix of at most 64 bits in all.
    Tail {
        /// The bits after those of the cell, left-aligned.
        value: u32,
        /// How many of them, 1 to 32.
        length: u32,
        /// The id of the prefix.
        id: u16,
        /// The id of the rest.
        beside: u16,
    },
    /// One /64 with one tail page.
    Skip {
        /// The bits after those of the cell, left-aligned.
        value: u32,
        /// The tail page.
        line: u32,
        /// The id of the rest.
        beside: u16,
    },
    /// A slot of kind [`slot::PAGES`], [`slot::RUNS`], [`slot::FAN`] or [`slot::HALF`], or a malformed one.
    Block(u64),
}

impl Cell {
    /// The cell of a slot in a page with this base id.
    pub(super) fn of(word: u64, base: u16) -> Self {
        match slot::kind(word) {
            slot::LEAF => Self::Leaf(id(word)),
            slot::TAIL => {
                let (value, length) = slot::tail_prefix(word);
                Self::Tail {
                    value,
                    length,
                    id: id(word),
                    beside: base,
                }
            }
            slot::SKIP => Self::Skip {
                value: slot::skip_value(word),
                line: slot::line(word),
                beside: base,
            },
            _ => Self::Block(word & !slot::WIDE),
        }
    }

    /// The id that must be the base id of the page in which the cell stands, where that matters.
    pub(super) fn beside(self) -> u16 {
        match self {
            Self::Tail { beside, .. } | Self::Skip { beside, .. } => beside,
            Self::Leaf(_) | Self::Block(_) => 0,
        }
    }

    /// The slot, if the cell can stand in a page with this base id.
    pub(super) fn slot(self, base: u16) -> Option<u64> {
        match self {
            Self::Leaf(id) => Some(slot::leaf(id)),
            Self::Tail {
                value,
                length,
                id,
                beside,
            } => (beside == base).then_some(slot::tail(value, length, id)),
            Self::Skip {
                value,
                line,
                beside,
            } => (beside == base).then_some(slot::skip(value, line)),
            Self::Block(slot) => Some(slot),
        }
    }

    /// The block that this cell alone leads to: first line and number of lines. What it leads to
    /// in turn is not part of it.
    pub(super) fn block(self) -> Option<(u32, u32)> {
        match self {
            Self::Leaf(_) | Self::Tail { .. } => None,
            Self::Skip { line, .. } => Some((line, 1)),
            Self::Block(slot) => Some((slot::line(slot), slot::count(slot))),
        }
    }
}

fn id(slot: u64) -> u16 {
    // An id has 16 bits.
    (slot::id(slot) & 0xffff) as u16
}

impl Value for Cell {
    fn vote(self) -> u16 {
        match self {
            Self::Leaf(id) => id,
            Self::Tail { beside, .. } | Self::Skip { beside, .. } => beside,
            Self::Block(_) => 0,
        }
    }

    fn is(self, id: u16) -> bool {
        self == Self::Leaf(id)
    }
}
