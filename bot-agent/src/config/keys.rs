//! Keys: reads one value each out of the layers, checks it, and notes where it was set.

use std::{
    collections::BTreeSet,
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use toml::Spanned;

use super::{
    Ports,
    error::ConfigError,
    layers::{Layers, Place, Places},
    raw::{Raw, WordOr},
};
use crate::rules::{prefix::Prefix, target::Target};

type Field<T> = Option<Spanned<T>>;

/// Reads keys, and notes where they were set.
pub(super) struct Keys<'a> {
    pub(super) layers: &'a Layers,
    pub(super) places: Places,
}

impl<'a> Keys<'a> {
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<T>,
    ) -> Option<(&'a T, Place)> {
        let (value, place) = self.layers.value(field)?;
        self.places.insert(key, place.clone());
        Some((value, place))
    }

    pub(super) fn plain<T: Copy + 'a>(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<T>,
        into: &mut T,
    ) {
        if let Some((value, _)) = self.take(key, field) {
            *into = *value;
        }
    }

    pub(super) fn name(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<String>,
        into: &mut String,
    ) -> Result<(), ConfigError> {
        if let Some((value, place)) = self.take(key, field) {
            if value.is_empty() {
                return Err(wrong(key, &place, "must not be empty"));
            }
            into.clone_from(value);
        }
        Ok(())
    }

    pub(super) fn path(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<String>,
        into: &mut PathBuf,
    ) -> Result<(), ConfigError> {
        if let Some((value, place)) = self.take(key, field) {
            // Only a path without a default can be unset.
            let unset = value.is_empty() && into.as_os_str().is_empty();
            if !Path::new(value).is_absolute() && !unset {
                return Err(wrong(key, &place, format!("`{value}` is no absolute path")));
            }
            *into = PathBuf::from(value);
        }
        Ok(())
    }

    /// One file, or a list of them; a list is appended to those of earlier layers.
    pub(super) fn files(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<WordOr<Spanned<String>>>,
        into: &mut Vec<PathBuf>,
    ) -> Result<(), ConfigError> {
        let Some((value, place)) = self.layers.word_or(field) else {
            return Ok(());
        };
        let files = match value {
            WordOr::Word(file) => vec![file],
            WordOr::List(files) => files.into_iter().map(Spanned::into_inner).collect(),
        };
        for file in files {
            let path = PathBuf::from(&file);
            if !path.is_absolute() {
                return Err(wrong(key, &place, format!("`{file}` is no absolute path")));
            }
            if !into.contains(&path) {
                into.push(path);
            }
        }
        self.places.insert(key, place);
        Ok(())
    }

    pub(super) fn number<N: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<u64>,
        range: RangeInclusive<u64>,
        into: &mut N,
    ) -> Result<(), ConfigError> {
        if let Some((value, place)) = self.take(key, field) {
            let number = N::try_from(*value).ok().filter(|_| range.contains(value));
            let (least, most) = (range.start(), range.end());
            let refusal = || {
                wrong(
                    key,
                    &place,
                    format!("{value} is not within {least} to {most}"),
                )
            };
            *into = number.ok_or_else(refusal)?;
        }
        Ok(())
    }

    pub(super) fn power(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<u64>,
        range: RangeInclusive<u64>,
        into: &mut u32,
    ) -> Result<(), ConfigError> {
        self.number(key, field, range, into)?;
        match self.places.get(key) {
            Some(place) if !into.is_power_of_two() => {
                let next = into.checked_next_power_of_two().unwrap_or(1 << 31);
                let near = format!("{into} is no power of two; {} and {next} are", next / 2);
                Err(wrong(key, place, near))
            }
            _ => Ok(()),
        }
    }

    /// The ports of a key, or `None` for the word that stands for them; outside of that, `None`
    /// when the key is not set.
    #[expect(clippy::option_option, reason = "set or not, word or ports")]
    pub(super) fn words(
        &mut self,
        key: &'static str,
        word: &str,
        field: impl Fn(&'a Raw) -> &'a Field<WordOr<u16>>,
    ) -> Result<Option<Option<BTreeSet<u16>>>, ConfigError> {
        let Some((value, place)) = self.layers.word_or(field) else {
            return Ok(None);
        };
        self.places.insert(key, place.clone());
        match value {
            WordOr::Word(given) if given == word => Ok(Some(None)),
            WordOr::Word(given) => {
                let message = format!("`{given}` is neither \"{word}\" nor a list of ports");
                Err(wrong(key, &place, message))
            }
            WordOr::List(ports) if ports.contains(&0) => {
                Err(wrong(key, &place, "0 is no port; ports are 1 to 65535"))
            }
            WordOr::List(ports) => Ok(Some(Some(ports.into_iter().collect()))),
        }
    }

    pub(super) fn ports(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<WordOr<u16>>,
        into: &mut Ports,
    ) -> Result<(), ConfigError> {
        if let Some(ports) = self.words(key, "auto", field)? {
            *into = ports.map_or(Ports::Auto, Ports::Only);
        }
        Ok(())
    }

    pub(super) fn interfaces(&mut self, into: &mut Vec<String>) -> Result<(), ConfigError> {
        let names = self.layers.list(|raw| &raw.agent.interfaces);
        for (name, place) in names.into_iter().flatten() {
            // IFNAMSIZ is 16 with the terminating zero; dev_valid_name() in net/core/dev.c.
            let fits = (1..16).contains(&name.len()) && name != "." && name != "..";
            if !fits || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
                return Err(wrong(
                    "interfaces",
                    &place,
                    format!("`{name}` is no interface name"),
                ));
            }
            if !into.contains(name) {
                into.push(name.clone());
            }
            self.places.insert("agent.interfaces", place);
        }
        Ok(())
    }

    pub(super) fn addresses(&mut self, into: &mut Vec<Prefix>) -> Result<(), ConfigError> {
        let words = self.layers.list(|raw| &raw.protect.addresses);
        for (word, place) in words.into_iter().flatten() {
            let target: Target = word
                .parse()
                .map_err(|error| wrong("addresses", &place, error))?;
            if let Some(named) = target.named() {
                let message = format!("`{named}` is no address; only addresses can be protected");
                return Err(wrong("addresses", &place, message));
            }
            into.extend(target.prefixes());
            self.places.insert("protect.addresses", place);
        }
        Ok(())
    }
}

/// An error about a key, given as `key` or `section.key`.
pub(super) fn wrong(key: &str, place: &Place, what: impl fmt::Display) -> ConfigError {
    let key = key.rsplit('.').next().unwrap_or(key);
    ConfigError {
        line: Some(place.line),
        key: Some(key.to_owned()),
        ..ConfigError::file(&place.file, format!("{key}: {what}"))
    }
}
