//! JSON documents and NDJSON: sources by JSON pointer.
//!
//! In a document the number of a bad entry is counted over all that name a source, or should; in an
//! NDJSON it is the line.

use std::{borrow::Cow, num::NonZeroU32};

use serde_json::Value;

use super::{
    error::FormatError,
    lines::numbered,
    pointer::{Pointer, Pointers},
    reader::{Holds, Json, Metadata, Ndjson, Only, is_one_of},
    source,
    tally::{Beside, Fault, Tally},
    time,
};

/// The value of a JSON document.
pub(super) fn document(content: &[u8]) -> Result<Value, FormatError> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    serde_json::from_slice(content).map_err(|error| FormatError::NoJson(error.to_string()))
}

/// Reads a JSON document.
pub(super) fn read(
    document: &Value,
    json: &Json,
    format: &'static str,
    tally: &mut Tally,
) -> Result<(), FormatError> {
    let arrays = arrays(document, json);
    let arrays = arrays.ok_or_else(|| FormatError::NoItems {
        format,
        items: json.items.clone(),
    })?;
    let item = Item::from(json);
    for element in arrays.into_iter().flatten() {
        item.read(element, None, tally)?;
    }
    let made = json.made.as_ref().and_then(|made| made.get(document));
    tally.made = made.and_then(time::of_value);
    Ok(())
}

/// Items by which a format is found; the first may be without a source.
const TRIED: usize = 20;

/// How well a document fits a format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fit {
    /// Its first items name a source.
    Items,
    /// Its arrays are there and empty.
    Empty,
    /// It is something else.
    None,
}

/// How well `document` fits `json`.
pub(super) fn fit(document: &Value, json: &Json) -> Fit {
    let Some(arrays) = arrays(document, json) else {
        return Fit::None;
    };
    let item = Item::from(json);
    let mut items = arrays.into_iter().flatten().take(TRIED).peekable();
    if items.peek().is_none() {
        Fit::Empty
    } else if items.any(|first| item.names_one(first)) {
        Fit::Items
    } else {
        Fit::None
    }
}

/// Reads an NDJSON.
pub(super) fn read_lines(
    content: &[u8],
    ndjson: &Ndjson,
    tally: &mut Tally,
) -> Result<(), FormatError> {
    let item = Item::from(ndjson);
    let mut about = None;
    let mut records = 0;
    for (number, line) in numbered(content) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let value = match serde_json::from_slice(line) {
            Ok(value) => value,
            Err(error) => {
                records += 1;
                tally.count::<()>(number, Err(Fault::NoObject(error.to_string())));
                continue;
            }
        };
        if ndjson.metadata.as_ref().is_some_and(|data| data.is(&value)) {
            about = Some(value);
        } else {
            records += 1;
            item.read(&value, Some(number), tally)?;
        }
    }
    if let Some(metadata) = &ndjson.metadata {
        let about = about.ok_or_else(|| FormatError::NoMetadata(metadata.to_string()))?;
        metadata.check(&about, records)?;
        let made = metadata.made.as_ref().and_then(|made| made.get(&about));
        tally.made = made.and_then(time::of_value);
    }
    Ok(())
}

/// Whether an object is one of `ndjson`.
pub(super) fn fits_lines(object: &Value, ndjson: &Ndjson) -> bool {
    let is_about = ndjson.metadata.as_ref().is_some_and(|data| data.is(object));
    is_about || Item::from(ndjson).names_one(object)
}

impl Metadata {
    fn is(&self, object: &Value) -> bool {
        let found = self.at.get(object).and_then(Value::as_str);
        found == Some(&*self.value)
    }

    /// Whether as many records were read as there are.
    fn check(&self, about: &Value, read: usize) -> Result<(), FormatError> {
        let said = self.records.as_ref().map(|records| records.get(about));
        match said {
            None => Ok(()),
            Some(Some(said)) if said.as_u64() == u64::try_from(read).ok() => Ok(()),
            Some(said) => Err(FormatError::Records {
                said: said.map_or_else(|| "no number of".to_owned(), Value::to_string),
                read,
            }),
        }
    }
}

/// The arrays of items; nothing when there is none.
fn arrays<'v>(document: &'v Value, json: &Json) -> Option<Vec<&'v Vec<Value>>> {
    let mut found = Vec::new();
    json.items.collect(document, &mut found);
    let arrays: Vec<_> = found.into_iter().filter_map(Value::as_array).collect();
    (!arrays.is_empty()).then_some(arrays)
}

/// Where things are in an item.
struct Item<'f> {
    source: &'f Pointers,
    confidence: Option<&'f Pointer>,
    full: NonZeroU32,
    seen: Option<&'f Pointer>,
    only: Vec<(Pointer, &'f [String])>,
    holds: Holds,
}

impl<'f> From<&'f Json> for Item<'f> {
    fn from(json: &'f Json) -> Self {
        Self {
            source: &json.source,
            confidence: json.confidence.as_ref(),
            full: json.full,
            seen: json.seen.as_ref(),
            only: pointers(&json.only),
            holds: json.holds,
        }
    }
}

impl<'f> From<&'f Ndjson> for Item<'f> {
    fn from(ndjson: &'f Ndjson) -> Self {
        Self {
            source: &ndjson.source,
            confidence: ndjson.confidence.as_ref(),
            full: ndjson.full,
            seen: ndjson.seen.as_ref(),
            only: pointers(&ndjson.only),
            holds: ndjson.holds,
        }
    }
}

/// Places by which items are chosen: pointers, or names of members.
fn pointers(only: &Only) -> Vec<(Pointer, &[String])> {
    let places = only.places();
    places
        .map(|(place, values)| (Pointer::to_member(place), values))
        .collect()
}

impl Item<'_> {
    /// Reads an item, which is at `line` where there are lines.
    fn read(
        &self,
        item: &Value,
        line: Option<usize>,
        tally: &mut Tally,
    ) -> Result<(), FormatError> {
        let is_chosen = self.only.iter().all(|(pointer, values)| {
            let value = pointer.get(item).and_then(word);
            value.is_some_and(|value| is_one_of(&value, values))
        });
        if !is_chosen {
            return Ok(());
        }
        let mut found = Vec::new();
        if !self.source.collect(item, &mut found) {
            let line = line.unwrap_or(tally.lines() + 1);
            tally.count::<()>(line, Err(Fault::Nothing(self.source.to_string())));
        }
        for value in found {
            let line = line.unwrap_or(tally.lines() + 1);
            let word = word(value);
            let word = word.as_deref();
            let word = word.ok_or_else(|| Fault::Nothing(self.source.to_string()));
            tally.take(line, word, self.holds, self.beside(item))?;
        }
        Ok(())
    }

    /// Whether an item names a source.
    fn names_one(&self, item: &Value) -> bool {
        let mut found = Vec::new();
        self.source.collect(item, &mut found);
        let first = found.first().copied().and_then(word);
        first.is_some_and(|word| source::subjects(&word, self.holds, |_| ()).is_ok())
    }

    /// What else an item says.
    fn beside(&self, item: &Value) -> Result<Beside, Fault> {
        let mut beside = Beside::NOTHING;
        if let Some(pointer) = self.confidence {
            let number = pointer.get(item).and_then(word);
            let number = number.ok_or_else(|| Fault::Nothing(pointer.to_string()))?;
            beside.confidence = source::confidence(&number, self.full)?;
        }
        let seen = self.seen.and_then(|pointer| pointer.get(item));
        beside.seen = seen.and_then(time::of_value);
        Ok(beside)
    }
}

/// A text or number as a word.
fn word(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.trim())),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::feeds::{
        entry::Parsed,
        format::{Format, Tolerance, parse, reader::Reader},
    };

    /// What a reader, in the words of the configuration, makes of a content.
    fn try_read(toml: &str, content: &str) -> Result<Parsed, String> {
        let reader: Reader = toml::from_str(toml).unwrap();
        let anything = Tolerance::new(100).unwrap();
        parse(content.as_bytes(), Some(&Format::of(reader)), anything).map_err(|e| e.to_string())
    }

    fn read(toml: &str, content: &Value) -> Parsed {
        try_read(toml, &content.to_string()).unwrap()
    }

    fn subjects(parsed: &Parsed) -> Vec<String> {
        let entries = parsed.entries.iter();
        entries.map(|entry| entry.subject.to_string()).collect()
    }

    const NDJSON: &str = "kind = \"ndjson\"\nsource = \"/ip\"\nmetadata = { at = \"/type\", \
                          value = \"end\", records = \"/count\", made = \"/at\" }";

    #[test]
    fn sources_are_found_by_pointer() {
        let flat = json!(["192.0.2.1", "192.0.2.2"]);
        let parsed = read("kind = \"json\"\nitems = \"\"", &flat);
        assert_eq!(subjects(&parsed), ["192.0.2.1", "192.0.2.2"]);
        let deep = json!({"at": 1_787_360_429, "regions": [
            {"name": "a", "nets": [{"v4": "192.0.2.0/25"}, {"v6": "2001:db8::/32", "v4": null}]},
            {"name": "b", "nets": [{"v4": "192.0.2.128/25", "v6": "2001:db9::/32"}, {"v5": "x"}]},
        ]});
        let toml = "kind = \"json\"\nitems = \"/regions/*/nets\"\nsource = [\"/v4\", \"/v6\"]\nmade = \"/at\"";
        let parsed = read(toml, &deep);
        assert_eq!(
            subjects(&parsed),
            [
                "192.0.2.0/25",
                "2001:db8::/32",
                "192.0.2.128/25",
                "2001:db9::/32"
            ]
        );
        assert_eq!((parsed.lines, parsed.bad), (5, 1));
        assert_eq!(
            parsed.shown[0].to_string(),
            "line 5: there is nothing at /v4, /v6"
        );
        assert_eq!(parsed.made.unwrap().to_string(), "2026-08-22T01:00:29Z");
    }

    #[test]
    fn items_are_chosen_and_say_how_sure_and_when() {
        let value = json!({"data": [
            {"ip": "192.0.2.1", "score": 50, "at": "2026-08-22T01:00:29+00:00", "kind": "vpn"},
            {"ip": "192.0.2.2", "score": "100", "at": null, "kind": "TOR"},
            {"ip": "192.0.2.3", "kind": "vpn"},
            {"ip": "192.0.2.4", "score": 1, "kind": "x"},
        ]});
        let toml = "kind = \"json\"\nitems = \"/data\"\nsource = \"/ip\"\nconfidence = \"/score\"\n\
                    seen = \"/at\"\nonly = { kind = [\"vpn\", \"tor\"] }";
        let parsed = read(toml, &value);
        let entries = parsed.entries.iter();
        let said: Vec<_> = entries
            .map(|entry| (entry.confidence, entry.seen))
            .collect();
        let time = "2026-08-22T01:00:29Z".parse().unwrap();
        assert_eq!(said, [(50, Some(time)), (100, None)]);
        assert_eq!(
            parsed.shown[0].to_string(),
            "line 3: there is nothing at /score"
        );
    }

    #[test]
    fn what_is_not_the_document_that_it_should_be_is_refused() {
        let toml = "kind = \"json\"\nitems = [\"/a\", \"/b\"]";
        let refusal = |content| try_read(toml, content).unwrap_err();
        assert_eq!(
            refusal(r#"{"error": "no such list"}"#),
            "has no array at /a, /b, so it is no json"
        );
        assert!(refusal(r#"{"a": ["192.0.2.1""#).starts_with("is no JSON: EOF"));
        assert!(refusal("192.0.2.1\n").starts_with("is no JSON: "));
        assert!(refusal(&"[".repeat(100_000)).contains("recursion limit"));
        assert!(subjects(&try_read(toml, r#"{"b": []}"#).unwrap()).is_empty());
    }

    #[test]
    fn the_record_about_the_list_counts_the_others() {
        let records = "{\"ip\": \"192.0.2.1\"}\n\n{\"ip\": \"192.0.2.2\"}\r\n";
        let end = "{\"type\": \"end\", \"count\": 2, \"at\": 1787360429}\n";
        let parsed = try_read(NDJSON, &format!("{records}{end}")).unwrap();
        assert_eq!(subjects(&parsed), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(parsed.made.unwrap().to_string(), "2026-08-22T01:00:29Z");
        assert_eq!(
            try_read(NDJSON, records).unwrap_err(),
            "is cut off: the record about the list itself (/type = end) is missing"
        );
        let more = "{\"ip\": \"192.0.2.3\"}\n";
        assert_eq!(
            try_read(NDJSON, &format!("{records}{more}{end}")).unwrap_err(),
            "is cut off or damaged: it says that it has 2 records, and 3 were read"
        );
        let silent = "{\"type\": \"end\"}";
        let error = try_read(NDJSON, &format!("{records}{silent}")).unwrap_err();
        assert!(
            error.contains("it says that it has no number of records"),
            "{error}"
        );
    }

    #[test]
    fn bad_records_are_shown_by_line() {
        let records = "{\"ip\": \"192.0.2.1\"}\n{\"ip\": \"192.0\n[]\n{\"ip\": true}\n";
        let parsed = try_read("kind = \"ndjson\"\nsource = \"/ip\"", records).unwrap();
        assert_eq!((parsed.lines, parsed.bad), (4, 3));
        let lines: Vec<_> = parsed.shown.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [2, 3, 4]);
        assert!(parsed.shown[0].why.starts_with("no JSON object: "));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]{}:,\"0-9a-z.\\\\ \n]{0,200}") {
            drop(try_read("kind = \"json\"\nitems = \"/*\"\nsource = [\"\", \"/a\"]", &text));
            drop(try_read(NDJSON, &text));
        }

        #[test]
        fn what_is_listed_is_read(hosts: Vec<std::net::IpAddr>) {
            let expected: Vec<_> = hosts.iter().map(|host| {
                crate::rules::prefix::Prefix::host(*host).into()
            }).collect::<Vec<crate::rules::subject::Subject>>();
            let read_of = |parsed: Parsed| -> Vec<_> {
                parsed.entries.iter().map(|entry| entry.subject).collect()
            };
            let document = json!({"a": hosts});
            prop_assert_eq!(&read_of(read("kind = \"json\"\nitems = \"/a\"", &document)), &expected);
            let lines = hosts.iter().map(|host| format!("{}\n", json!({"ip": host}))).collect::<Vec<_>>().concat();
            let parsed = try_read("kind = \"ndjson\"\nsource = \"/ip\"", &lines).unwrap();
            prop_assert_eq!(&read_of(parsed), &expected);
        }
    }
}
