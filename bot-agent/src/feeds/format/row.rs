//! One line of a CSV in fields.

use csv_core::{Reader, ReaderBuilder};

use super::reader::Separator;

/// Longest line, bytes. Rows of real lists have some hundreds.
pub(super) const LONGEST_LINE: usize = 64 << 10;

/// Splits lines into fields.
pub(super) struct Splitter {
    reader: Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

/// The fields of a line.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    fields: &'a [u8],
    /// Where each of them ends.
    ends: &'a [usize],
}

impl Splitter {
    pub(super) fn new(separator: Separator) -> Self {
        let reader = ReaderBuilder::new().delimiter(separator.byte()).build();
        Self {
            reader,
            fields: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Nothing for a line that is too long.
    pub(super) fn split(&mut self, line: &[u8]) -> Option<Row<'_>> {
        let line = line.trim_ascii();
        if line.len() > LONGEST_LINE {
            return None;
        }
        self.reader.reset();
        let Self { fields, ends, .. } = self;
        if fields.len() < line.len() {
            // No field is longer than it is written, and each but the last has a separator.
            fields.resize(line.len(), 0);
            ends.resize(line.len() + 1, 0);
        }
        let (_, _, written, ended) = self.reader.read_record(line, fields, ends);
        // Without input, it takes what it has for the end.
        let (rest, rest_ends) = (fields.get_mut(written..)?, ends.get_mut(ended..)?);
        let (_, _, more, more_ends) = self.reader.read_record(b"", rest, rest_ends);
        Some(Row {
            fields: self.fields.get(..written + more)?,
            ends: self.ends.get(..ended + more_ends)?,
        })
    }
}

impl<'a> Row<'a> {
    /// A field without white space around it; counted from 0.
    pub(super) fn get(self, index: usize) -> Option<&'a [u8]> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.fields.get(start..end).map(<[u8]>::trim_ascii)
    }

    /// All of them.
    pub(super) fn fields(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.ends.len()).filter_map(move |index| self.get(index))
    }

    /// The place of the field that is `text`, in letters of either case.
    pub(super) fn find(self, text: &[u8]) -> Option<usize> {
        (0..self.ends.len()).find(|index| {
            let field = self.get(*index);
            field.is_some_and(|field| field.eq_ignore_ascii_case(text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_separators_and_end_with_the_line() {
        let mut splitter = Splitter::new(Separator::default());
        for (line, expected) in [
            ("1,A, B ,", &["1", "A", "B", ""][..]),
            ("1,\"A, B\"", &["1", "A, B"]),
            ("1, \"A, B\"", &["1", "\"A", "B\""]),
            ("\"A \"\"B\"\"\",2", &["A \"B\"", "2"]),
            ("1,\"A, B", &["1", "A, B"]),
            ("1", &["1"]),
            ("1,A\r", &["1", "A"]),
        ] {
            let row = splitter.split(line.as_bytes()).unwrap();
            let fields: Vec<_> = row.fields().map(String::from_utf8_lossy).collect();
            assert_eq!(fields, expected, "{line}");
            assert_eq!(row.find(b"a"), fields.iter().position(|field| field == "A"));
            assert_eq!(row.get(expected.len()), None);
        }
        assert!(splitter.split(&vec![b'x'; LONGEST_LINE + 1]).is_none());
    }
}
