//! Why a content is refused as a whole.

use super::{pointer::Pointers, tally::Tolerance};
use crate::{
    feeds::entry::BadEntry,
    wording::{grouped_of, many_of},
};

/// Why a content is refused as a whole. What was in force before stays.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// Something else than a list.
    #[error("is no list: it looks like {0}")]
    NoList(&'static str),
    /// JSON in which there is no list that is known.
    #[error(
        "is no list that is known: JSON that begins with `{0}`; name its format, or describe it \
         (`format = {{ kind = \"json\", items = \"/...\" }}`)"
    )]
    UnknownJson(String),
    /// Not the JSON that it should be.
    #[error("is no JSON: {0}")]
    NoJson(String),
    /// JSON without the arrays that the format names.
    #[error("has no array at {items}, so it is no {format}")]
    NoItems {
        /// Name of the format.
        format: &'static str,
        /// Where arrays should be.
        items: Pointers,
    },
    /// A heading without a column that the format names.
    #[error("has no column `{column}`, so it is no {format}: its heading is `{heading}`")]
    NoColumn {
        /// Name of the format.
        format: &'static str,
        /// The column.
        column: String,
        /// The heading that is there.
        heading: String,
    },
    /// Without the object that is about the list itself.
    #[error("is cut off: the record about the list itself ({0}) is missing")]
    NoMetadata(String),
    /// The publisher counted other records.
    #[error("is cut off or damaged: it says that it has {said} records, and {} were read", grouped_of(*read))]
    Records {
        /// What the publisher says.
        said: String,
        /// What there is.
        read: usize,
    },
    /// More than a table can hold.
    #[error("more than {} entries", grouped_of(*most))]
    TooMany {
        /// What may be.
        most: usize,
    },
    /// More bad lines than are tolerated.
    #[error(
        "{} of {} ({} %) cannot be read as {format}, and {} % may be: {}",
        grouped_of(*bad), many_of(*lines, "line"), bad.saturating_mul(100) / lines.max(&1),
        tolerance.percent(), listed(shown, *bad)
    )]
    Unreadable {
        /// Name of the format.
        format: &'static str,
        /// How many are bad.
        bad: usize,
        /// Of how many.
        lines: usize,
        /// The first of them.
        shown: Vec<BadEntry>,
        /// What is tolerated.
        tolerance: Tolerance,
    },
}

/// The first bad lines in words, and how many more there are.
fn listed(shown: &[BadEntry], bad: usize) -> String {
    let mut texts: Vec<String> = shown.iter().map(ToString::to_string).collect();
    if let Some(more) = bad.checked_sub(shown.len()).filter(|more| *more > 0) {
        texts.push(format!("and {} more", grouped_of(more)));
    }
    texts.join("; ")
}
