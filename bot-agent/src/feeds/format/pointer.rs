//! JSON pointers (RFC 6901), of which the segment `*` stands for every element or member.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where something is in a JSON value; empty: the value itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(String);

/// Several places; unless named, the value itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "OneOrMore", into = "OneOrMore")]
pub struct Pointers(Vec<Pointer>);

#[derive(Deserialize, Serialize)]
#[serde(
    untagged,
    expecting = "a JSON pointer begins with `/`, like \"/prefixes\""
)]
enum OneOrMore {
    One(Pointer),
    More(Vec<Pointer>),
}

impl Pointer {
    /// The pointer that `text` is, or to the member of this name.
    pub(super) fn to_member(text: &str) -> Self {
        let is_pointer = text.is_empty() || text.starts_with('/');
        let start = if is_pointer { "" } else { "/" };
        Self(format!("{start}{text}"))
    }

    /// The first thing that is there.
    pub fn get<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        let mut found = Vec::new();
        self.collect(value, &mut found);
        found.first().copied()
    }

    /// Adds what is there; whether the way leads anywhere, if only into an empty array. Nothing is
    /// where `null` is.
    pub fn collect<'v>(&self, value: &'v Value, found: &mut Vec<&'v Value>) -> bool {
        walk(self.0.strip_prefix('/'), value, found)
    }
}

impl Pointers {
    /// Adds what is there; whether any of the ways leads anywhere.
    pub fn collect<'v>(&self, value: &'v Value, found: &mut Vec<&'v Value>) -> bool {
        let mut anywhere = false;
        for way in &self.0 {
            anywhere |= way.collect(value, found);
        }
        anywhere
    }
}

impl Default for Pointers {
    fn default() -> Self {
        Self(vec![Pointer(String::new())])
    }
}

/// Follows `way`, the segments that are left; nothing: the end is reached.
fn walk<'v>(way: Option<&str>, value: &'v Value, found: &mut Vec<&'v Value>) -> bool {
    let Some(way) = way else {
        if !value.is_null() {
            found.push(value);
        }
        return !value.is_null();
    };
    let (segment, rest) = match way.split_once('/') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (way, None),
    };
    let mut each = |any, value| walk(rest, value, found) || any;
    match (segment, value) {
        ("*", Value::Array(elements)) => elements.iter().fold(elements.is_empty(), each),
        ("*", Value::Object(members)) => members.values().fold(members.is_empty(), each),
        (_, Value::Array(elements)) => {
            let element = segment.parse::<usize>().ok();
            let element = element.and_then(|index| elements.get(index));
            element.is_some_and(|element| each(false, element))
        }
        (_, Value::Object(members)) => {
            let member = members.get(&*unescaped(segment));
            member.is_some_and(|member| each(false, member))
        }
        (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => false,
    }
}

fn unescaped(segment: &str) -> Cow<'_, str> {
    if segment.contains('~') {
        Cow::Owned(segment.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(segment)
    }
}

impl TryFrom<String> for Pointer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() || text.starts_with('/') {
            Ok(Self(text))
        } else {
            Err(format!(
                "a JSON pointer begins with `/`: write \"/{text}\" for \"{text}\""
            ))
        }
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0
    }
}

impl From<OneOrMore> for Pointers {
    fn from(pointers: OneOrMore) -> Self {
        Self(match pointers {
            OneOrMore::One(pointer) => vec![pointer],
            OneOrMore::More(pointers) => pointers,
        })
    }
}

impl From<Pointers> for OneOrMore {
    fn from(pointers: Pointers) -> Self {
        Self::More(pointers.0)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl fmt::Display for Pointers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, pointer) in self.0.iter().enumerate() {
            let before = if place == 0 { "" } else { ", " };
            write!(f, "{before}{pointer}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(pointer: &str, value: &Value) -> (Vec<String>, bool) {
        let mut found = Vec::new();
        let anywhere = Pointer(pointer.into()).collect(value, &mut found);
        (found.iter().map(ToString::to_string).collect(), anywhere)
    }

    #[test]
    fn a_pointer_leads_to_one_place_and_a_star_to_all() {
        let value =
            json!({"a": [{"b": 1}, {"b": 2}, {"c": 3}], "x/y": {"~": 4}, "e": [], "n": null});
        for (pointer, expected) in [
            ("/a/0/b", &["1"][..]),
            ("/a/*/b", &["1", "2"]),
            ("/a/*/*", &["1", "2", "3"]),
            ("/x~1y/~0", &["4"]),
            ("/e", &["[]"]),
        ] {
            assert_eq!(found(pointer, &value).0, expected, "{pointer}");
        }
        assert_eq!(found("", &value).0, [value.to_string()]);
        for (pointer, anywhere) in [
            ("/e/*", true),
            ("/n", false),
            ("/a/3", false),
            ("/a/-1", false),
            ("/a/0/b/c", false),
            ("/none", false),
        ] {
            assert_eq!(found(pointer, &value), (vec![], anywhere), "{pointer}");
        }
    }
}
