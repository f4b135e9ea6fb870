//! Layers: the files over one another, and the line of everything in them.
//!
//! A later file overrides an earlier one; lists of two files are appended to one another.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::Spanned;

use super::{
    error::{ConfigError, line_of},
    raw::{Raw, WordOr},
};

/// Where a value was set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// The places of the keys that are set, as `section.key`. Of lists, the last place.
pub type Places = BTreeMap<&'static str, Place>;

pub(super) struct Layers {
    layers: Vec<Layer>,
}

struct Layer {
    file: Arc<Path>,
    text: String,
    raw: Raw,
}

impl Layers {
    pub(super) fn parse(texts: Vec<(PathBuf, String)>) -> Result<Self, ConfigError> {
        let parse = |(file, text): (PathBuf, String)| match toml::from_str(&text) {
            Ok(raw) => Ok(Layer {
                file: file.into(),
                text,
                raw,
            }),
            Err(error) => Err(ConfigError::parse(&file, &text, &error)),
        };
        let layers = texts.into_iter().map(parse);
        Ok(Self {
            layers: layers.collect::<Result<_, _>>()?,
        })
    }

    /// The value that counts: that of the last file which has one.
    pub(super) fn value<'a, T>(
        &'a self,
        field: impl Fn(&'a Raw) -> &'a Option<Spanned<T>>,
    ) -> Option<(&'a T, Place)> {
        let set = |layer: &'a Layer| Some((layer, field(&layer.raw).as_ref()?));
        let (layer, value) = self.layers.iter().rev().find_map(set)?;
        Some((value.get_ref(), layer.place(value)))
    }

    /// The lists of all files in a row, each entry with its place; `None` if no file has one.
    pub(super) fn list<'a, T>(
        &'a self,
        field: impl Fn(&'a Raw) -> &'a Option<Spanned<Vec<Spanned<T>>>>,
    ) -> Option<Vec<(&'a T, Place)>> {
        let mut all = None;
        for layer in &self.layers {
            if let Some(list) = field(&layer.raw) {
                let entries = list.get_ref().iter();
                let entries = entries.map(|entry| (entry.get_ref(), layer.place(entry)));
                all.get_or_insert_with(Vec::new).extend(entries);
            }
        }
        all
    }

    /// A word or a list: a word overrides what came before, a list is appended to a list.
    pub(super) fn word_or<'a, T: Clone + 'a>(
        &'a self,
        field: impl Fn(&'a Raw) -> &'a Option<Spanned<WordOr<T>>>,
    ) -> Option<(WordOr<T>, Place)> {
        let mut merged: Option<(WordOr<T>, Place)> = None;
        for layer in &self.layers {
            let Some(value) = field(&layer.raw) else {
                continue;
            };
            let value_here = match (merged.take(), value.get_ref()) {
                (Some((WordOr::List(mut list), _)), WordOr::List(more)) => {
                    list.extend(more.iter().cloned());
                    WordOr::List(list)
                }
                (_, value) => value.clone(),
            };
            merged = Some((value_here, layer.place(value)));
        }
        merged
    }

    /// The entries of an array of tables in all files, each with a function that finds places.
    pub(super) fn entries<'a, T: 'a>(
        &'a self,
        field: impl Fn(&'a Raw) -> &'a Vec<Spanned<T>>,
    ) -> impl Iterator<Item = (&'a T, Place, Lines<'a>)> {
        self.layers.iter().flat_map(move |layer| {
            let entries = field(&layer.raw).iter();
            entries.map(move |entry| (entry.get_ref(), layer.place(entry), Lines(layer)))
        })
    }
}

/// Finds the places of one file's values.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a>(&'a Layer);

impl Lines<'_> {
    pub(super) fn place<T>(self, value: &Spanned<T>) -> Place {
        self.0.place(value)
    }
}

impl Layer {
    fn place<T>(&self, value: &Spanned<T>) -> Place {
        Place {
            file: Arc::clone(&self.file),
            line: line_of(&self.text, value.span().start),
        }
    }
}
