//! The writer of the verdict table: ranges to lines, whole or in place, and back.
//!
//! The reader and the layout are in [`bot_common::table`]. Pure: memory is a slice of words, who
//! else reads it is the caller's business. [`Image`] is a whole table; [`Table`] owns the memory
//! readers see and changes it region by region; [`View`] reads somebody else's.
//!
//! - `build`: ranges to pages; `row`: how many pages in a row; `page`: entries to a page; `lone`: what
//!   needs none; `filter`, `shortcut`: what saves lookups time.
//! - `plan`: what a change in place takes; `memory`: which lines are free; `publish`: the order of stores.
//! - `walk`: pages back to ranges.
//!
//! What holds: lines that readers may come to are not written, with the exception of the single
//! words that publish (see [`bot_common::table`]), and are not used for anything else before
//! [`Table::quiesce`].

mod build;
mod cell;
mod filter;
mod image;
mod lone;
mod memory;
mod page;
mod plan;
mod publish;
mod range;
mod row;
mod shared;
mod shortcut;
#[cfg(test)]
mod tests;
mod update;
mod view;
mod walk;

pub use image::{Image, Seed};
pub use memory::Usage;
pub use range::{Range, Ranges};
pub use update::Table;
pub use view::View;

/// A table has no room: nothing was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the verdict table has no room: {needed} more lines of 64 bytes are needed in one piece, {free} of {lines} are free"
)]
pub struct Full {
    /// Lines that were asked for.
    pub needed: u32,
    /// Lines that are free, perhaps in smaller pieces.
    pub free: u32,
    /// Lines of the table.
    pub lines: u32,
}

/// Memory that is no table.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Damaged {
    /// It does not begin as tables of this version do.
    #[error("it does not begin as a verdict table of this version does")]
    Magic,
    /// It is too small for what it says it has.
    #[error("it is too small for a verdict table")]
    Size,
    /// Blocks of lines overlap or lie outside.
    #[error("its blocks of lines overlap, or lie outside of it")]
    Blocks,
}
