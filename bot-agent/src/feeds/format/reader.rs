//! What stands where in a content, as data: a preset of the table, or a `format` of the configuration
//! such as `{ kind = "csv", column = "ip", confidence = "score" }`.

use std::{
    collections::BTreeMap,
    fmt,
    num::{NonZeroU32, NonZeroUsize},
};

use serde::{Deserialize, Serialize};

use super::pointer::{Pointer, Pointers};

/// How a content is read.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Reader {
    /// A source a line.
    Lines(Lines),
    /// Rows of columns that may be quoted, usually with a heading.
    Csv(Csv),
    /// One JSON document.
    Json(Json),
    /// A JSON object a line.
    Ndjson(Ndjson),
}

/// A source a line. `#`, `;` and `//` begin a comment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    /// What is between columns; nothing: white space and commas.
    #[serde(default)]
    pub separator: Option<Separator>,
    /// The column of the source, counted from 1.
    #[serde(default = "first")]
    pub column: NonZeroUsize,
    /// The column that says how sure the publisher is.
    #[serde(default)]
    pub confidence: Option<NonZeroUsize>,
    /// The number in it that means that he is sure; others are in proportion.
    #[serde(default = "percent")]
    pub full: NonZeroU32,
    /// Where the time begins at which he saw the source last; it goes to the end of the line.
    #[serde(default)]
    pub seen: Option<NonZeroUsize>,
    /// Only lines that begin with this word name a source.
    #[serde(default)]
    pub keyword: Option<String>,
    /// What kind of sources it names.
    #[serde(default)]
    pub holds: Holds,
}

/// Rows of columns. `#` begins a comment at the start of a line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Csv {
    /// What is between columns.
    #[serde(default)]
    pub separator: Separator,
    /// The column of the source.
    pub column: Column,
    /// What another column says of how far the addresses go.
    #[serde(default)]
    pub to: Option<To>,
    /// The column that says how sure the publisher is.
    #[serde(default)]
    pub confidence: Option<Column>,
    /// The number in it that means that he is sure; others are in proportion.
    #[serde(default = "percent")]
    pub full: NonZeroU32,
    /// The column of the time at which he saw the source last.
    #[serde(default)]
    pub seen: Option<Column>,
    /// Only rows in which these columns have one of these values, in letters of either case.
    #[serde(default)]
    pub only: Only,
    /// What kind of sources it names.
    #[serde(default)]
    pub holds: Holds,
}

/// A JSON document. In its pointers (RFC 6901) the segment `*` stands for every element or member.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Json {
    /// Pointers to arrays of items, of which one must be there.
    pub items: Pointers,
    /// Pointers from an item to sources, of which one must be there; an empty one is the item itself.
    #[serde(default)]
    pub source: Pointers,
    /// Pointer from an item to how sure the publisher is.
    #[serde(default)]
    pub confidence: Option<Pointer>,
    /// The number there that means that he is sure; others are in proportion.
    #[serde(default = "percent")]
    pub full: NonZeroU32,
    /// Pointer from an item to the time at which he saw the source last.
    #[serde(default)]
    pub seen: Option<Pointer>,
    /// Pointer to the time at which he made the list.
    #[serde(default)]
    pub made: Option<Pointer>,
    /// Only items in which these pointers lead to one of these values, in letters of either case.
    #[serde(default)]
    pub only: Only,
    /// What kind of sources it names.
    #[serde(default)]
    pub holds: Holds,
}

/// A JSON object a line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ndjson {
    /// Pointers from an object to sources, of which one must be there.
    pub source: Pointers,
    /// Pointer from an object to how sure the publisher is.
    #[serde(default)]
    pub confidence: Option<Pointer>,
    /// The number there that means that he is sure; others are in proportion.
    #[serde(default = "percent")]
    pub full: NonZeroU32,
    /// Pointer from an object to the time at which he saw the source last.
    #[serde(default)]
    pub seen: Option<Pointer>,
    /// Only objects in which these pointers lead to one of these values, in letters of either case.
    #[serde(default)]
    pub only: Only,
    /// The object that is about the list itself; it must be there.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// What kind of sources it names.
    #[serde(default)]
    pub holds: Holds,
}

/// The object of an NDJSON that is about the list itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Where it differs from other objects.
    pub at: Pointer,
    /// What is there.
    pub value: String,
    /// Pointer to the number of the other objects.
    #[serde(default)]
    pub records: Option<Pointer>,
    /// Pointer to the time at which the list was made.
    #[serde(default)]
    pub made: Option<Pointer>,
}

/// A column of a CSV: by its heading, in letters of either case, or by number.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Column {
    /// Counted from 1.
    Number(NonZeroUsize),
    /// What the first row calls it.
    Name(String),
}

/// How far the addresses of a row go that begin with that of its column.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum To {
    /// To the address in this column.
    Last(Column),
    /// As a prefix of the length in this column.
    Length(Column),
}

/// What kind of sources a format names.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// Addresses, CIDRs, ranges.
    #[default]
    Addresses,
    /// AS numbers, with or without `AS` before them.
    Asns,
    /// Whatever a rule may be about.
    Any,
}

/// What is between columns: one ASCII character.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "char", into = "char")]
pub struct Separator(u8);

/// Columns or pointers by which rows are chosen, each with the values that it may have.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Only(BTreeMap<String, Values>);

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(Vec<String>),
}

impl Reader {
    /// Its kind, as it stands in the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Lines(_) => "lines",
            Self::Csv(_) => "csv",
            Self::Json(_) => "json",
            Self::Ndjson(_) => "ndjson",
        }
    }

    /// By which rows are chosen; nothing where that cannot be.
    pub(super) fn only_mut(&mut self) -> Option<&mut Only> {
        match self {
            Self::Lines(_) => None,
            Self::Csv(csv) => Some(&mut csv.only),
            Self::Json(json) => Some(&mut json.only),
            Self::Ndjson(ndjson) => Some(&mut ndjson.only),
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.at, self.value)
    }
}

impl Separator {
    /// As it is in a content.
    pub const fn byte(self) -> u8 {
        self.0
    }
}

impl Default for Separator {
    fn default() -> Self {
        Self(b',')
    }
}

impl TryFrom<char> for Separator {
    type Error = String;

    fn try_from(separator: char) -> Result<Self, String> {
        u8::try_from(separator)
            .ok()
            .filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n'))
            .map(Self)
            .ok_or_else(|| {
                format!("{separator:?} separates no columns; use an ASCII character like `,`")
            })
    }
}

impl From<Separator> for char {
    fn from(separator: Separator) -> Self {
        separator.0.into()
    }
}

impl Only {
    /// Whether all rows are taken.
    pub(super) fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The columns or pointers.
    pub(super) fn places(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(place, values)| {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Several(values) => values,
            };
            (place.as_str(), values)
        })
    }

    /// Lets `place` have `value`, too.
    pub(super) fn add(&mut self, place: &str, value: &str) {
        let mut values = match self.0.remove(place) {
            None => Vec::new(),
            Some(Values::One(value)) => vec![value],
            Some(Values::Several(values)) => values,
        };
        values.push(value.to_owned());
        self.0.insert(place.to_owned(), Values::Several(values));
    }
}

/// Whether `value` is one of `values`.
pub(super) fn is_one_of(value: &str, values: &[String]) -> bool {
    let value = value.trim();
    values
        .iter()
        .any(|wanted| wanted.eq_ignore_ascii_case(value))
}

const fn first() -> NonZeroUsize {
    NonZeroUsize::MIN
}

/// Most publishers count to 100.
const fn percent() -> NonZeroU32 {
    const { NonZeroU32::new(100).unwrap() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(toml: &str) -> Result<Reader, String> {
        #[derive(Deserialize)]
        struct Around {
            format: Reader,
        }
        toml::from_str(&format!("format = {toml}"))
            .map(|around: Around| around.format)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn readers_are_written_in_the_configuration() {
        let csv = reader(r#"{ kind = "csv", column = "ip", confidence = 3, full = 10 }"#).unwrap();
        let Reader::Csv(csv) = csv else {
            panic!("{csv:?} is no CSV");
        };
        assert_eq!(csv.column, Column::Name("ip".into()));
        assert_eq!(csv.confidence, Some(Column::Number(3.try_into().unwrap())));
        for toml in [
            r#"{ kind = "lines" }"#,
            r#"{ kind = "lines", separator = "|", column = 2, holds = "asns" }"#,
            r#"{ kind = "csv", column = 1, to = { last = 2 }, only = { kind = "vpn" } }"#,
            r#"{ kind = "csv", column = "ip", only = { kind = ["vpn", "tor"] } }"#,
            r#"{ kind = "json", items = "/a/*/b" }"#,
            r#"{ kind = "json", items = ["/a", "/b"], source = "/ip", made = "/at" }"#,
            r#"{ kind = "ndjson", source = "/ip", metadata = { at = "/type", value = "end" } }"#,
        ] {
            let read = reader(toml).unwrap();
            let json = serde_json::to_string(&read).unwrap();
            assert_eq!(
                serde_json::from_str::<Reader>(&json).unwrap(),
                read,
                "{json}"
            );
        }
    }

    #[test]
    fn mistakes_in_the_configuration_are_named() {
        for (toml, what) in [
            (r#"{ kind = "xml" }"#, "unknown variant `xml`"),
            (r#"{ kind = "lines", colum = 2 }"#, "unknown field `colum`"),
            (r#"{ kind = "csv" }"#, "missing field `column`"),
            (r#"{ kind = "lines", column = 0 }"#, "nonzero"),
            (
                r#"{ kind = "lines", separator = "ä" }"#,
                "separates no columns",
            ),
            (r#"{ kind = "json", items = "a" }"#, "begins with `/`"),
        ] {
            let error = reader(toml).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}
