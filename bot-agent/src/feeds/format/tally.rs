//! What was read so far: entries, and what cannot be read.

use jiff::Timestamp;

use super::{
    error::FormatError,
    reader::{Column, Holds},
    source, time,
};
use crate::{
    feeds::entry::{BadEntry, Entry, Parsed, SURE},
    rules::prefix::ParseError,
};

/// Bad lines that are shown.
const SHOWN: usize = 5;
/// Entries of a feed: twice what the largest tables hold. A line may name a range of hundreds of
/// prefixes, so that the length of a content limits nothing.
const MOST_ENTRIES: usize = 1 << 21;

/// How many of a content's lines may be bad, in percent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tolerance(u8);

/// Entries, and what cannot be read.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    entries: Vec<Entry>,
    lines: usize,
    bad: usize,
    shown: Vec<BadEntry>,
    pub(super) made: Option<Timestamp>,
}

/// What is wrong with a line, row or object.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Source(#[from] ParseError),
    #[error("there is no column {0}")]
    NoColumn(Column),
    #[error("`{0}` is no confidence (a number from 0 up)")]
    Confidence(String),
    #[error("there is nothing but a heading")]
    OnlyHeading,
    #[error("no line begins with `{0}`")]
    NoKeyword(String),
    #[error("there is nothing at {0}")]
    Nothing(String),
    #[error("the line is too long")]
    TooLong,
    #[error("no JSON object: {0}")]
    NoObject(String),
}

/// What a line says beside its source.
#[derive(Clone, Copy)]
pub(super) struct Beside {
    pub(super) confidence: u8,
    pub(super) seen: Option<Timestamp>,
}

impl Tolerance {
    /// What is tolerated unless configured.
    pub const DEFAULT: Self = Self(5);

    /// So many percent; nothing for more than 100.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 {
            Some(Self(percent))
        } else {
            None
        }
    }

    /// In percent.
    pub const fn percent(self) -> u8 {
        self.0
    }
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Beside {
    /// Nothing.
    pub(super) const NOTHING: Self = Self {
        confidence: SURE,
        seen: None,
    };
}

impl Tally {
    /// Lines so far that say something.
    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// Whether no entry was read so far.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A comment: those before the first line may say when the list was made.
    pub(super) fn comment(&mut self, line: &[u8]) {
        if self.made.is_none() && self.lines == 0 {
            self.made = time::of_comment(line);
        }
    }

    /// Counts what is at `line`, good or bad.
    pub(crate) fn count<T>(&mut self, line: usize, read: Result<T, Fault>) -> Option<T> {
        self.lines += 1;
        let fault = match read {
            Ok(good) => return Some(good),
            Err(fault) => fault,
        };
        self.bad += 1;
        if self.shown.len() < SHOWN {
            let why = fault.to_string();
            self.shown.push(BadEntry { line, why });
        }
        None
    }

    /// Takes the source that `word` at `line` names.
    pub(super) fn take(
        &mut self,
        line: usize,
        word: Result<&str, Fault>,
        holds: Holds,
        beside: Result<Beside, Fault>,
    ) -> Result<(), FormatError> {
        let entries = &mut self.entries;
        let both = word.and_then(|word| Ok((word, beside?)));
        let read = both.and_then(|(word, Beside { confidence, seen })| {
            let take = |subject| {
                entries.push(Entry {
                    subject,
                    confidence,
                    seen,
                });
            };
            source::subjects(word, holds, take).map_err(Fault::from)
        });
        self.count(line, read);
        if self.entries.len() > MOST_ENTRIES {
            return Err(FormatError::TooMany { most: MOST_ENTRIES });
        }
        Ok(())
    }

    /// Whether so few lines are bad that the content is what it is taken for.
    pub(crate) fn is_within(&self, tolerance: Tolerance) -> bool {
        let whole = self.lines.saturating_mul(usize::from(tolerance.0));
        self.bad.saturating_mul(100) <= whole
    }

    /// What `format` made of the content, unless more of it is bad than is tolerated.
    pub(crate) fn finish(
        self,
        format: &'static str,
        tolerance: Tolerance,
    ) -> Result<Parsed, FormatError> {
        let is_within = self.is_within(tolerance);
        let Self {
            entries,
            lines,
            bad,
            shown,
            made,
        } = self;
        if !is_within {
            return Err(FormatError::Unreadable {
                format,
                bad,
                lines,
                shown,
                tolerance,
            });
        }
        Ok(Parsed {
            entries,
            lines,
            bad,
            shown,
            made,
            format,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(good: usize, bad: usize) -> Tally {
        let mut tally = Tally::default();
        for line in 1..=good + bad {
            let word = if line <= good { "192.0.2.1" } else { "x" };
            tally
                .take(line, Ok(word), Holds::Addresses, Ok(Beside::NOTHING))
                .unwrap();
        }
        tally
    }

    #[test]
    fn the_share_that_is_tolerated_is_exact() {
        let five = Tolerance::DEFAULT;
        assert!(tally(95, 5).is_within(five));
        assert!(!tally(94, 5).is_within(five));
        assert!(tally(0, 0).is_within(five));
        assert!(!tally(1, 1).is_within(Tolerance::new(0).unwrap()));
        assert!(tally(0, 3).is_within(Tolerance::new(100).unwrap()));
        assert_eq!(Tolerance::new(101), None);
    }

    #[test]
    fn a_refusal_names_number_share_and_the_first_lines() {
        let error = tally(3, 7).finish("plain", Tolerance::DEFAULT).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(
                "7 of 10 lines (70 %) cannot be read as plain, and 5 % may be: line 4: `x` is neither"
            ),
            "{text}"
        );
        assert!(text.contains("; line 8: ") && !text.contains("line 9"));
        assert!(text.ends_with("; and 2 more"), "{text}");
    }

    #[test]
    fn lines_that_name_hundreds_of_prefixes_fill_no_memory() {
        let mut tally = Tally::default();
        let widest = "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe";
        let error = (1..10_000)
            .find_map(|line| {
                tally
                    .take(line, Ok(widest), Holds::Addresses, Ok(Beside::NOTHING))
                    .err()
            })
            .unwrap();
        assert_eq!(error.to_string(), "more than 2,097,152 entries");
        assert!(tally.entries.len() < MOST_ENTRIES + 1_000);
    }
}
