//! Opens database files: what format they have, how much is read, what is refused.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;

use super::{
    database::{Builder, Database, Pile},
    line::Fault,
    mmdb, text,
};
use crate::wording::{grouped, many};

/// Longest content of a file, unpacked. A table of the whole Internet has 35 MB; with cities 150.
pub(super) const LONGEST: u64 = if cfg!(test) { 1 << 26 } else { 1 << 30 };
/// One line in so many may be unreadable: 5 %.
const BAD_ONE_IN: u64 = 20;
/// Unreadable lines that are named.
const SHOWN: usize = 5;
/// Bytes by which a format is recognised.
const START: usize = 64 << 10;

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// `first,last,asn,name` or `first,last,country`.
    Csv,
    /// `first`, `last`, `asn`, `country`, `description` between tabs.
    Tsv,
    /// MaxMind DB.
    Mmdb,
}

/// What a file gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub format: Format,
    /// How much of it was read.
    pub tally: Tally,
}

/// How much of a file was read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Ranges.
    pub entries: u64,
    /// Ranges that nobody announces.
    pub unrouted: u64,
    /// Lines or records that cannot be read.
    pub bad: u64,
    /// The first of them: line, counted from 1, and what is wrong there.
    pub faults: Vec<(u64, Fault)>,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, a device or a pipe.
    #[error("{}: is no file", .0.display())]
    NoFile(PathBuf),
    /// Longer than any database.
    #[error("{}: is longer than {} bytes", .0.display(), grouped(LONGEST.into()))]
    TooLong(PathBuf),
    /// Neither text nor MaxMind DB.
    #[error(
        "{}: is neither text (range CSV, or iptoasn.com's TSV) nor a MaxMind DB: {what}",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Why it is no MaxMind DB.
        what: String,
    },
    /// Too much of it cannot be read.
    #[error(
        "{}: {} of {} lines cannot be read, so this is no range CSV and no iptoasn.com TSV: {}",
        path.display(), grouped(tally.bad.into()), grouped(tally.lines().into()), tally.complaint()
    )]
    Garbled {
        /// The file.
        path: PathBuf,
        /// How much was read.
        tally: Tally,
    },
    /// There is nothing in it.
    #[error("{}: has no entry", .0.display())]
    Empty(PathBuf),
}

impl Format {
    /// Stable name, as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Mmdb => "mmdb",
        }
    }
}

impl Tally {
    /// Everything that was an entry or should have been one.
    pub fn lines(&self) -> u64 {
        self.entries + self.unrouted + self.bad
    }

    /// The unreadable lines in words; empty when there is none.
    pub fn complaint(&self) -> String {
        let faults = self.faults.iter();
        let faults = faults.map(|(line, fault)| format!("line {line}: {fault}"));
        let mut texts: Vec<String> = faults.collect();
        let shown = u64::try_from(texts.len()).unwrap_or(u64::MAX);
        if let Some(more) = self.bad.checked_sub(shown).filter(|more| *more > 0) {
            texts.push(format!("and {} more", grouped(more.into())));
        }
        texts.join("; ")
    }

    pub(super) fn bad(&mut self, line: u64, fault: Fault) {
        self.bad += 1;
        if self.faults.len() < SHOWN {
            self.faults.push((line, fault));
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            format,
            tally,
        } = self;
        let ranges = many(tally.entries.into(), "range");
        write!(f, "{}: {format}, {ranges}", path.display())?;
        if tally.bad > 0 {
            let bad = many(tally.bad.into(), "line");
            write!(f, ", {bad} cannot be read: {}", tally.complaint())?;
        }
        Ok(())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "range CSV",
            Self::Tsv => "iptoasn TSV",
            Self::Mmdb => "MaxMind DB",
        })
    }
}

impl Database {
    /// Reads files; where they disagree about an address, an earlier one is believed. Each is a
    /// range CSV, an iptoasn TSV or a MaxMind DB, found out by its content, plain or gzipped.
    ///
    /// Up to 5 % unreadable lines are passed over and counted ([`Source::tally`]); a file with
    /// more is refused, and so is one without any entry.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, Error> {
        let mut builder = Builder::default();
        for path in paths {
            let path = path.as_ref();
            let mut pile = Pile::default();
            let (format, tally) = read(path, &mut pile, &mut builder)?;
            let path = path.to_owned();
            if tally.bad * BAD_ONE_IN > tally.lines() {
                return Err(Error::Garbled { path, tally });
            }
            if tally.entries == 0 {
                return Err(Error::Empty(path));
            }
            let source = Source {
                path,
                format,
                tally,
            };
            builder.add(pile, source);
        }
        Ok(builder.finish())
    }
}

fn read(path: &Path, pile: &mut Pile, builder: &mut Builder) -> Result<(Format, Tally), Error> {
    let lift = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    // A pipe would keep the agent waiting.
    let kind = std::fs::metadata(path).map_err(lift)?;
    if !kind.is_file() {
        return Err(Error::NoFile(path.to_owned()));
    }
    let file = BufReader::with_capacity(START, File::open(path).map_err(lift)?);
    read_packed(file, pile, builder).map_err(|error| match error {
        Refusal::Io(source) => lift(source),
        Refusal::TooLong => Error::TooLong(path.to_owned()),
        Refusal::Unknown(what) => Error::Unknown {
            path: path.to_owned(),
            what,
        },
    })
}

/// Why a content cannot be read.
pub(super) enum Refusal {
    Io(io::Error),
    TooLong,
    Unknown(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a content that may be packed.
pub(super) fn read_packed(
    mut content: impl BufRead,
    pile: &mut Pile,
    builder: &mut Builder,
) -> Result<(Format, Tally), Refusal> {
    if content.fill_buf()?.starts_with(b"\x1f\x8b") {
        let unpacked = BufReader::with_capacity(START, MultiGzDecoder::new(content));
        return read_plain(unpacked, pile, builder);
    }
    read_plain(content, pile, builder)
}

fn read_plain(
    content: impl BufRead,
    pile: &mut Pile,
    builder: &mut Builder,
) -> Result<(Format, Tally), Refusal> {
    // One byte more than may be there tells what is too long.
    let mut content = content.take(LONGEST + 1);
    let result = if is_text(content.fill_buf()?) {
        text::read(&mut content, pile, &mut builder.names)?
    } else {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        if content.limit() == 0 {
            return Err(Refusal::TooLong);
        }
        let tally = mmdb::read(&bytes, pile, &mut builder.names).map_err(Refusal::Unknown)?;
        (Format::Mmdb, tally)
    };
    if content.limit() == 0 {
        return Err(Refusal::TooLong);
    }
    Ok(result)
}

/// A MaxMind DB begins with a search tree, in which there are zeros from the start.
fn is_text(start: &[u8]) -> bool {
    !start.iter().take(4096).any(|byte| *byte == 0)
}
