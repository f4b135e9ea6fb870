//! Entries: what a feed says, whatever its format.

use jiff::Timestamp;

use crate::rules::subject::Subject;

/// How sure a publisher is, 0 to 100. A format without such a column says 100.
pub const SURE: u8 = 100;

/// One line, row or object of a feed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// What it is about: addresses, an ASN or a country.
    pub subject: Subject,
    /// How sure the publisher is, 0 to 100.
    pub confidence: u8,
    /// When the publisher saw it last, where the format says so.
    pub seen: Option<Timestamp>,
}

/// A line, row or object that names no source.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadEntry {
    /// Counted from 1; in a format without lines the number of the entry.
    pub line: usize,
    /// Why it cannot be read, in words.
    pub why: String,
}

/// What a content says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Parsed {
    /// In the order of the content, repeated as there.
    pub entries: Vec<Entry>,
    /// Lines, rows or objects that say something, the bad ones among them.
    pub lines: usize,
    /// Those that could not be read.
    pub bad: usize,
    /// The first five of them.
    pub shown: Vec<BadEntry>,
    /// When the publisher made it, where the content says so.
    pub made: Option<Timestamp>,
    /// Name of the format that it was read as.
    pub format: &'static str,
}

impl Entry {
    /// An entry about which nothing else is said.
    pub fn sure(subject: Subject) -> Self {
        Self {
            subject,
            confidence: SURE,
            seen: None,
        }
    }
}
