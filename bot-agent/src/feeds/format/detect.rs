//! What a content is when nobody says so: the first preset in which its start can be read.

use serde_json::Value;

use super::{
    csv,
    error::FormatError,
    json::{self, Fit},
    lines,
    preset::{self, Preset},
    reader::Reader,
    tally::{Tally, Tolerance},
};
use crate::rules::prefix::quoted;

/// Bytes of a text by which its format is found.
const START: usize = 64 << 10;

/// What a content was found to be.
pub(super) struct Found {
    /// The format.
    pub(super) preset: &'static Preset,
    /// The content as JSON, if it had to be read.
    pub(super) document: Option<Value>,
}

/// What a content looks like that is no list of any format.
pub(super) fn no_list(content: &[u8]) -> Option<&'static str> {
    let start = start(content);
    if start.starts_with(b"<?xml") {
        Some("an XML document")
    } else if start.starts_with(b"<") {
        Some("a web page")
    } else if start.iter().take(START).any(|byte| *byte == 0) {
        Some("a binary file")
    } else {
        None
    }
}

/// Whether there is nothing in it.
pub(super) fn is_blank(content: &[u8]) -> bool {
    start(content).is_empty()
}

/// Whether it begins like JSON, as no other list does.
pub(super) fn is_json(content: &[u8]) -> bool {
    start(content).starts_with(b"{") || start(content).starts_with(b"[")
}

/// Finds the format of a content.
pub(super) fn find(content: &[u8]) -> Result<Found, FormatError> {
    if is_json(content) {
        return find_json(content);
    }
    let sample = sample(content);
    let preset = preset::all().iter().find(|preset| can_read(sample, preset));
    Ok(Found {
        // What is wrong with it is found by reading it.
        preset: preset.unwrap_or_else(preset::plain),
        document: None,
    })
}

fn find_json(content: &[u8]) -> Result<Found, FormatError> {
    let content = start(content);
    let (first, rest) = match content.iter().position(|byte| *byte == b'\n') {
        Some(end) => content.split_at(end),
        None => (content, &b""[..]),
    };
    // The first line of an NDJSON is an object of its own.
    let object: Option<Value> = serde_json::from_slice(first).ok();
    let of_lines = object.as_ref().and_then(|object| {
        preset::all().iter().find(|preset| match &preset.reader {
            Reader::Ndjson(ndjson) => json::fits_lines(object, ndjson),
            Reader::Lines(_) | Reader::Csv(_) | Reader::Json(_) => false,
        })
    });
    if let Some(preset) = of_lines {
        return Ok(Found {
            preset,
            document: None,
        });
    }
    let document = match object {
        Some(object) if rest.trim_ascii().is_empty() => object,
        _ => json::document(content)?,
    };
    let that = |wanted: Fit| {
        preset::all().iter().find(|preset| match &preset.reader {
            Reader::Json(json) => json::fit(&document, json) == wanted,
            Reader::Lines(_) | Reader::Csv(_) | Reader::Ndjson(_) => false,
        })
    };
    let preset = that(Fit::Items).or_else(|| that(Fit::Empty));
    Ok(Found {
        preset: preset.ok_or_else(|| FormatError::UnknownJson(beginning(content)))?,
        document: Some(document),
    })
}

/// Whether `preset` reads a source from the start of a text, and hardly anything bad.
fn can_read(sample: &[u8], preset: &'static Preset) -> bool {
    let mut tally = Tally::default();
    let read = match &preset.reader {
        Reader::Lines(lines) => {
            begins(lines::first_row(sample), &preset.begins)
                && lines::read(sample, lines, &mut tally).is_ok()
        }
        Reader::Csv(csv) => {
            begins(csv::first_row(sample, csv), &preset.begins)
                && csv::read(sample, csv, &preset.name, &mut tally).is_ok()
        }
        Reader::Json(_) | Reader::Ndjson(_) => false,
    };
    read && !tally.is_empty() && tally.is_within(Tolerance::DEFAULT)
}

/// Whether a first row begins with a text, in letters of either case.
fn begins(row: Option<String>, text: &str) -> bool {
    let row = row.unwrap_or_default();
    let start = row.get(..text.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(text))
}

/// A content without what may come before it.
fn start(content: &[u8]) -> &[u8] {
    let content = content
        .strip_prefix(lines::BYTE_ORDER_MARK)
        .unwrap_or(content);
    content.trim_ascii_start()
}

/// The start of a content, up to the end of a line.
fn sample(content: &[u8]) -> &[u8] {
    let Some(start) = content.get(..START) else {
        return content;
    };
    let end = start.iter().rposition(|byte| *byte == b'\n');
    end.and_then(|end| start.get(..end)).unwrap_or(start)
}

/// The beginning of a content, fit for a message.
fn beginning(content: &[u8]) -> String {
    let start = content.get(..40).unwrap_or(content);
    let text = String::from_utf8_lossy(start);
    quoted(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}
