//! Prefixes that are alone in theirs: no page for them, and back to what the page would say.

use bot_common::table::slot;

use super::{
    cell::Cell,
    row::{self, Run},
};

/// Highest cell of 16 bits.
pub(super) const LAST_CELL: u64 = 0xffff;

/// The cell without a page for the cells of a prefix of `bits`, if all but one prefix or one page
/// below have the same id: what [`inside`] undoes.
pub(super) fn lone(runs: &[Run<Cell>], bits: u32) -> Option<Cell> {
    if bits < 32 {
        // A slot has room for 32 bits; more than that are below.
        return None;
    }
    let lone = |nth: usize, beside: u16| {
        let run = runs.get(nth)?;
        let last = runs.get(nth + 1).map_or(LAST_CELL, |next| next.start - 1);
        lift(*run, last, beside)
    };
    match runs {
        [
            Run {
                value: Cell::Leaf(one),
                ..
            },
            Run {
                value: Cell::Leaf(other),
                ..
            },
        ] => {
            // What has no verdict is most likely the base of the page, too.
            if *other == 0 {
                lone(0, 0).or_else(|| lone(1, *one))
            } else {
                lone(1, *one).or_else(|| lone(0, *other))
            }
        }
        [
            Run {
                value: Cell::Leaf(beside),
                ..
            },
            _,
        ] => lone(1, *beside),
        [
            _,
            Run {
                value: Cell::Leaf(beside),
                ..
            },
        ] => lone(0, *beside),
        [
            Run {
                value: Cell::Leaf(before),
                ..
            },
            _,
            Run {
                value: Cell::Leaf(after),
                ..
            },
        ] if before == after => lone(1, *before),
        _ => None,
    }
}

/// A run of cells up to `last` as the only thing in its prefix.
fn lift(run: Run<Cell>, last: u64, beside: u16) -> Option<Cell> {
    let cells = last - run.start + 1;
    // A cell has 16 bits.
    let above = (run.start & LAST_CELL) as u32;
    let value_of = |value: u32| above << 16 | value >> 16;
    match run.value {
        Cell::Leaf(id) => {
            let is_prefix = cells.is_power_of_two() && run.start & (cells - 1) == 0;
            is_prefix.then(|| Cell::Tail {
                value: value_of(0),
                length: 16 - cells.ilog2(),
                id,
                beside,
            })
        }
        Cell::Tail {
            value,
            length,
            id,
            beside: other,
        } => (cells == 1 && length <= 16 && other == beside).then(|| Cell::Tail {
            value: value_of(value),
            length: length + 16,
            id,
            beside,
        }),
        Cell::Skip {
            value,
            line,
            beside: other,
        } => (cells == 1 && other == beside).then(|| Cell::Skip {
            value: value_of(value),
            line,
            beside,
        }),
        Cell::Block(slot) => {
            let is_page = slot::kind(slot) == slot::HALF && slot::count(slot) == 1;
            (cells == 1 && is_page).then(|| Cell::Skip {
                value: value_of(0),
                line: slot::line(slot),
                beside,
            })
        }
    }
}

/// The cells inside a tail or a skip, a cell of a prefix of `bits` (32 or 48), as if they had a page.
pub(super) fn inside(cell: Cell, bits: u32) -> Vec<Run<Cell>> {
    let (first, last, value, beside) = match cell {
        Cell::Leaf(_) | Cell::Block(_) => {
            return vec![Run {
                start: 0,
                value: cell,
            }];
        }
        Cell::Tail {
            value,
            length,
            id,
            beside,
        } => {
            let first = u64::from(value >> 16);
            if length <= 16 {
                let beyond = LAST_CELL.checked_shr(length).unwrap_or(0);
                (first & !beyond, first | beyond, Cell::Leaf(id), beside)
            } else {
                let tail = Cell::Tail {
                    value: value << 16,
                    length: length - 16,
                    id,
                    beside,
                };
                (first, first, tail, beside)
            }
        }
        Cell::Skip {
            value,
            line,
            beside,
        } => {
            let first = u64::from(value >> 16);
            let below = if bits < 48 {
                Cell::Skip {
                    value: value << 16,
                    line,
                    beside,
                }
            } else {
                Cell::Block(slot::half(line, 1))
            };
            (first, first, below, beside)
        }
    };
    let mut runs = Vec::with_capacity(3);
    if first > 0 {
        row::push(&mut runs, 0, Cell::Leaf(beside));
    }
    row::push(&mut runs, first, value);
    if last < LAST_CELL {
        row::push(&mut runs, last + 1, Cell::Leaf(beside));
    }
    runs
}
