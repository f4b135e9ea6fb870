//! The text of a snapshot on disk: a line of JSON about it, a line an entry, a line with their number.
//!
//! An entry is a subject, its confidence, when the publisher saw it and when it was last in the feed,
//! in seconds since 1970. At the end of a line `100`, `0` and `0` may be left out. The last line is
//! there so that half a file is not taken for a whole one.

use std::io::{self, BufRead, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Snapshot,
    row::{Columns, Key, Row, Stamp},
};
use crate::{feeds::entry::SURE, rules::subject::Subject};

/// The format that is written, and the only one that is read.
const VERSION: u32 = 1;

/// Why a snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read, or is no text.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The first line is no such line.
    #[error("line 1 does not describe a snapshot: {0}")]
    Header(serde_json::Error),
    /// Another agent wrote it.
    #[error("written in format {0}, and this agent reads {VERSION}")]
    Version(u32),
    /// A line that is no entry.
    #[error("line {0} is no entry")]
    Line(usize),
    /// The last line is missing, or counts other entries.
    #[error("{0} entries and no end after them: only part of it was written")]
    Truncated(usize),
}

#[derive(Deserialize, Serialize)]
struct Header {
    version: u32,
    fetched: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    extra: Value,
}

impl Snapshot {
    /// Writes it, with something of the writer's own.
    pub fn write(&self, extra: &Value, mut out: impl Write) -> io::Result<()> {
        let header = Header {
            version: VERSION,
            fetched: self.fetched,
            made: self.made,
            extra: extra.clone(),
        };
        serde_json::to_writer(&mut out, &header)?;
        out.write_all(b"\n")?;
        write_rows(&self.columns.v4, &mut out)?;
        write_rows(&self.columns.v6, &mut out)?;
        write_rows(&self.columns.asns, &mut out)?;
        write_rows(&self.columns.countries, &mut out)?;
        writeln!(out, "end {}", self.len())
    }

    /// Reads it, and what the writer added.
    pub fn read(mut input: impl BufRead) -> Result<(Self, Value), ReadError> {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let header: Header = serde_json::from_str(&line).map_err(ReadError::Header)?;
        if header.version != VERSION {
            return Err(ReadError::Version(header.version));
        }
        let mut columns = Columns::default();
        for count in 0.. {
            line.clear();
            input.read_line(&mut line)?;
            // A line that is cut short could be another entry.
            let text = line.strip_suffix('\n').ok_or(ReadError::Truncated(count))?;
            if let Some(counted) = text.strip_prefix("end ") {
                if counted.parse() != Ok(count) {
                    return Err(ReadError::Truncated(count));
                }
                break;
            }
            add(text, &mut columns).ok_or(ReadError::Line(count + 2))?;
        }
        columns.sort();
        let snapshot = Self {
            fetched: header.fetched,
            made: header.made,
            columns,
        };
        Ok((snapshot, header.extra))
    }
}

fn write_rows<K: Key>(rows: &[Row<K>], out: &mut impl Write) -> io::Result<()> {
    let number = |stamp: Option<Stamp>| stamp.map_or(0, |stamp| stamp.seconds().get());
    for row in rows {
        let subject = row.key.subject(row.bits);
        match (row.confidence, number(row.stamp), number(row.gone)) {
            (SURE, 0, 0) => writeln!(out, "{subject}")?,
            (confidence, 0, 0) => writeln!(out, "{subject} {confidence}")?,
            (confidence, stamp, 0) => writeln!(out, "{subject} {confidence} {stamp}")?,
            (confidence, stamp, gone) => {
                writeln!(out, "{subject} {confidence} {stamp} {gone}")?;
            }
        }
    }
    Ok(())
}

fn add(line: &str, columns: &mut Columns) -> Option<()> {
    let mut words = line.split(' ');
    let subject: Subject = words.next()?.parse().ok()?;
    let mut number = |default: u32| words.next().map_or(Some(default), |word| word.parse().ok());
    let confidence = u8::try_from(number(SURE.into())?).ok()?;
    let (stamp, gone) = (Stamp::new(number(0)?), Stamp::new(number(0)?));
    if confidence > SURE || words.next().is_some() {
        return None;
    }
    columns.add(subject, confidence, stamp, gone);
    Some(())
}
