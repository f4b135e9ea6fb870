//! Errors of the configuration: file, line, key, and what was probably meant.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::show;

/// What is wrong, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The key, where it is about one.
    pub key: Option<String>,
    /// The valid key that an unknown one is nearest to.
    pub nearest: Option<String>,
    /// One line on what is wrong and what to do.
    pub message: String,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

impl ConfigError {
    /// An error about a file as a whole.
    pub(super) fn file(file: &Path, message: String) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            key: None,
            nearest: None,
            message,
        }
    }

    /// An error of the parser, in the text that it read.
    pub(super) fn parse(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map(|span| span.start);
        let line = at.map(|at| line_of(text, at));
        // Of a message over several lines, the first says what is wrong.
        let message = error.message().lines().next().unwrap_or_default();
        let base = Self {
            line,
            ..Self::file(file, message.to_owned())
        };
        if let Some(words) = message.strip_prefix("unknown field ") {
            let mut words = words.split('`').skip(1).step_by(2);
            let key = words.next().unwrap_or_default();
            let section = at
                .and_then(|at| section_of(text, at))
                .filter(|name| *name != key);
            return base.unknown_key(key, section, &words.collect::<Vec<_>>());
        }
        match line.and_then(|line| key_of(text, line)) {
            Some(key) => Self {
                message: format!("{key}: {message}"),
                key: Some(key.to_owned()),
                ..base
            },
            None => base,
        }
    }

    fn unknown_key(self, key: &str, section: Option<&str>, valid: &[&str]) -> Self {
        let nearest = nearest(key, valid);
        let unknown = match section {
            Some(section) => format!("unknown key `{key}` in [{section}]"),
            None => format!("unknown key or table `{key}`"),
        };
        let elsewhere = show::KEYS.iter().find(|(_, other)| *other == key);
        let hint = match (nearest, elsewhere) {
            (Some(nearest), _) => format!("did you mean `{nearest}`?"),
            (None, Some((section, _))) => format!("it belongs into [{section}]"),
            (None, None) => format!("valid are {}", valid.join(", ")),
        };
        Self {
            key: Some(key.to_owned()),
            nearest: nearest.map(str::to_owned),
            message: format!("{unknown}; {hint}"),
            ..self
        }
    }
}

/// The line of a byte, counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    1 + before
        .split(|byte| *byte == b'\n')
        .count()
        .saturating_sub(1)
}

/// The valid key that `key` is a likely slip of the fingers of.
fn nearest<'a>(key: &str, valid: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &&str| strsim::damerau_levenshtein(key, other);
    let best = valid.iter().copied().min_by_key(distance)?;
    (distance(&best) <= (key.chars().count() / 3).max(2)).then_some(best)
}

/// The table that a byte lies in, by the last header before it.
fn section_of(text: &str, at: usize) -> Option<&str> {
    let lines = text.lines().take(line_of(text, at));
    let headers = lines.filter_map(|line| line.trim_start().strip_prefix('['));
    let header = headers.last()?.trim_start_matches('[');
    header.split(']').next().map(str::trim)
}

/// The key that is given a value on a line.
fn key_of(text: &str, line: usize) -> Option<&str> {
    let (key, _) = text.lines().nth(line.checked_sub(1)?)?.split_once('=')?;
    let key = key.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}
