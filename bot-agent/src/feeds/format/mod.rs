//! Formats: from a content's bytes to entries. Pure.
//!
//! A format is data: a [`Reader`] says what stands where, the table of presets names
//! those of known publishers, and a configuration may describe others. Without a name the format is
//! found out from the content.
//!
//! Invariant: what is no list, or is cut off, or has more bad lines than are tolerated, is an error as
//! a whole; a content without entries is none. How wide entries are and how many is for the rails.

mod csv;
mod detect;
mod error;
mod json;
mod lines;
mod pointer;
mod preset;
pub mod reader;
mod row;
mod source;
mod tally;
mod time;
pub mod unpack;

#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod real_tests;

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use self::reader::Reader;
pub use self::{
    error::FormatError,
    pointer::{Pointer, Pointers},
    tally::Tolerance,
};
pub(crate) use self::{
    lines::words,
    tally::{Fault, Tally},
};
use super::entry::Parsed;
use crate::rules::prefix::quoted;

/// How a content is read, by name or as described.
///
/// As a text it is the name of a preset; columns behind it choose rows:
/// `provider-csv:kind=hosting,provider=Example`. In the configuration it may be a table, too.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Format {
    name: &'static str,
    reader: Cow<'static, Reader>,
}

/// A text that is no format.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UnknownFormat {
    /// Not in the table of presets.
    #[error("`{}` is no format; there are: {}", .0, Format::names().collect::<Vec<_>>().join(", "))]
    Name(String),
    /// Rows are chosen by something that is no column and value.
    #[error("`{0}` chooses no rows; write column=value")]
    Choice(String),
    /// Rows are chosen where there are no named columns.
    #[error("rows of {0} cannot be chosen: it has no columns with names")]
    NoColumns(&'static str),
}

/// What `content`, unpacked, says. Without a `format` it is found out.
pub fn parse(
    content: &[u8],
    format: Option<&Format>,
    tolerance: Tolerance,
) -> Result<Parsed, FormatError> {
    refuse_no_list(content)?;
    if detect::is_blank(content) {
        let name = format.map_or(preset::plain().name.as_str(), Format::name);
        return Tally::default().finish(name, tolerance);
    }
    let Some(format) = format else {
        let detect::Found { preset, document } = detect::find(content)?;
        return read(content, &preset.name, &preset.reader, document, tolerance);
    };
    read(content, format.name, &format.reader, None, tolerance)
}

/// Refuses what is no list of any format.
pub(crate) fn refuse_no_list(content: &[u8]) -> Result<(), FormatError> {
    detect::no_list(content).map_or(Ok(()), |what| Err(FormatError::NoList(what)))
}

/// Reads a content; `document` is its JSON, if it was read before.
fn read(
    content: &[u8],
    name: &'static str,
    reader: &Reader,
    document: Option<Value>,
    tolerance: Tolerance,
) -> Result<Parsed, FormatError> {
    let mut tally = Tally::default();
    match reader {
        Reader::Lines(_) | Reader::Csv(_) if detect::is_json(content) => {
            return Err(FormatError::NoList("JSON"));
        }
        Reader::Lines(lines) => lines::read(content, lines, &mut tally)?,
        Reader::Csv(csv) => csv::read(content, csv, name, &mut tally)?,
        Reader::Ndjson(ndjson) => json::read_lines(content, ndjson, &mut tally)?,
        Reader::Json(json) => {
            let document = match document {
                Some(document) => document,
                None => json::document(content)?,
            };
            json::read(&document, json, name, &mut tally)?;
        }
    }
    tally.finish(name, tolerance)
}

impl Format {
    /// The preset of this name.
    pub fn named(name: &str) -> Option<Self> {
        let preset = preset::named(name)?;
        Some(Self {
            name: &preset.name,
            reader: Cow::Borrowed(&preset.reader),
        })
    }

    /// The names of all presets.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::presets().map(|(name, _)| name)
    }

    /// The names of all presets, and what each is in a few words.
    pub fn presets() -> impl Iterator<Item = (&'static str, &'static str)> {
        let presets = preset::all().iter();
        presets.map(|preset| (preset.name.as_str(), preset.about.as_str()))
    }

    /// As a reader says.
    pub fn of(reader: Reader) -> Self {
        Self {
            name: reader.kind(),
            reader: Cow::Owned(reader),
        }
    }

    /// Its name: that of the preset, or the kind of its reader.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let (name, choices) = text.split_once(':').unwrap_or((text, ""));
        let named = Self::named(name.trim());
        let mut format = named.ok_or_else(|| UnknownFormat::Name(quoted(name)))?;
        for choice in choices.split(',').filter(|choice| !choice.is_empty()) {
            let choice_of = choice.split_once('=');
            let (place, value) = choice_of.ok_or_else(|| UnknownFormat::Choice(quoted(choice)))?;
            let only = format.reader.to_mut().only_mut();
            let only = only.ok_or(UnknownFormat::NoColumns(format.name))?;
            only.add(place.trim(), value.trim());
        }
        Ok(format)
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.reader {
            Cow::Borrowed(_) => serializer.serialize_str(self.name),
            Cow::Owned(reader) => reader.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrReader)
    }
}

struct NameOrReader;

impl<'de> Visitor<'de> for NameOrReader {
    type Value = Format;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a format or a table that describes one")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Format, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Format, A::Error> {
        Reader::deserialize(MapAccessDeserializer::new(map)).map(Format::of)
    }
}
