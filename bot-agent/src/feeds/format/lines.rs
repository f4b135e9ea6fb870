//! Line lists: a source a line, with comments, and other columns before or behind it.

use std::{borrow::Cow, num::NonZeroUsize};

use super::{
    error::FormatError,
    reader::{Column, Lines, Separator},
    source,
    tally::{Beside, Fault, Tally},
    time,
};

/// What comes before UTF-8 on some systems.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a line list.
pub(super) fn read(content: &[u8], lines: &Lines, tally: &mut Tally) -> Result<(), FormatError> {
    let mut without_keyword = None;
    for (number, line) in numbered(content) {
        let columns = Columns::of(line, lines.separator);
        if columns.line.is_empty() {
            tally.comment(line);
            continue;
        }
        if let Some(keyword) = &lines.keyword
            && columns.word(NonZeroUsize::MIN) != Some(keyword.as_bytes())
        {
            without_keyword = Some((number, keyword));
            continue;
        }
        let word = columns.source(lines.column).map(String::from_utf8_lossy);
        let word = word.as_deref();
        let word = word.ok_or(Fault::NoColumn(Column::Number(lines.column)));
        tally.take(number, word, lines.holds, columns.beside(lines))?;
    }
    if let Some((number, keyword)) = without_keyword
        && tally.lines() == 0
    {
        tally.count::<()>(number, Err(Fault::NoKeyword(keyword.clone())));
    }
    Ok(())
}

/// The first line that says something; nothing when there is none.
pub(super) fn first_row(content: &[u8]) -> Option<String> {
    let mut lines = numbered(content).map(|(_, line)| Columns::of(line, None).line);
    let first = lines.find(|line| !line.is_empty())?;
    Some(String::from_utf8_lossy(first).into_owned())
}

/// What names a source in each line that says anything, with the number of the line.
pub(crate) fn words(content: &[u8]) -> impl Iterator<Item = (usize, Cow<'_, str>)> {
    numbered(content).filter_map(|(number, line)| {
        let word = Columns::of(line, None).source(NonZeroUsize::MIN)?;
        Some((number, String::from_utf8_lossy(word)))
    })
}

/// The lines of a content, counted from 1.
pub(super) fn numbered(content: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    (1..).zip(content.split(|byte| *byte == b'\n'))
}

/// What a line says, in columns.
#[derive(Clone, Copy)]
struct Columns<'a> {
    line: &'a [u8],
    separator: Option<Separator>,
}

impl<'a> Columns<'a> {
    /// Without comment and white space around it.
    fn of(line: &'a [u8], separator: Option<Separator>) -> Self {
        let separates = |byte: u8| separator.is_some_and(|separator| separator.byte() == byte);
        let end = line.iter().enumerate().position(|(at, byte)| match byte {
            b'#' | b';' => !separates(*byte),
            b'/' => line.get(at + 1) == Some(byte) && !separates(*byte),
            _ => false,
        });
        Self {
            line: line
                .get(..end.unwrap_or(line.len()))
                .unwrap_or(line)
                .trim_ascii(),
            separator,
        }
    }

    /// The word of a source, which may be a range with spaces around its dash.
    fn source(self, column: NonZeroUsize) -> Option<&'a [u8]> {
        let rest = self.from(column)?;
        let word = self.first(rest);
        let Some(second) = rest
            .get(word.len()..)
            .and_then(|behind| behind.trim_ascii_start().strip_prefix(b"- "))
        else {
            return Some(word);
        };
        let last = self.first(second.trim_ascii_start());
        let end = rest.len() - second.trim_ascii_start().len() + last.len();
        rest.get(..end)
    }

    fn word(self, column: NonZeroUsize) -> Option<&'a [u8]> {
        self.from(column).map(|rest| self.first(rest))
    }

    /// What else the line says.
    fn beside(self, lines: &Lines) -> Result<Beside, Fault> {
        let mut beside = Beside::NOTHING;
        if let Some(column) = lines.confidence {
            let number = self
                .word(column)
                .ok_or(Fault::NoColumn(Column::Number(column)))?;
            beside.confidence = source::confidence(&String::from_utf8_lossy(number), lines.full)?;
        }
        let seen = lines.seen.and_then(|column| self.from(column));
        beside.seen = seen.and_then(|text| time::timestamp(&String::from_utf8_lossy(text)));
        Ok(beside)
    }

    /// The line from a column on; nothing when it has fewer.
    fn from(self, column: NonZeroUsize) -> Option<&'a [u8]> {
        let mut rest = self.line;
        for _ in 1..column.get() {
            rest = rest.get(self.end(rest)..)?;
            rest = match self.separator {
                Some(_) => rest.split_first()?.1,
                None => trim_start(rest),
            };
        }
        rest = if self.separator.is_none() {
            trim_start(rest)
        } else {
            rest.trim_ascii_start()
        };
        (!rest.is_empty()).then_some(rest)
    }

    /// The first word of `rest`.
    fn first(self, rest: &'a [u8]) -> &'a [u8] {
        rest.get(..self.end(rest)).unwrap_or(rest).trim_ascii_end()
    }

    /// Where the first word of `rest` ends.
    fn end(self, rest: &[u8]) -> usize {
        let end = match self.separator {
            Some(separator) => rest.iter().position(|byte| *byte == separator.byte()),
            None => rest.iter().position(|byte| is_between(*byte)),
        };
        end.unwrap_or(rest.len())
    }
}

/// Whether `byte` is between columns where no separator is named.
fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b',')
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_between(*byte));
    text.get(start.unwrap_or(text.len())..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::feeds::{
        entry::{Entry, Parsed},
        format::{Format, Tolerance, parse, reader::Reader},
    };

    /// What a reader, in the words of the configuration, makes of a text.
    fn read(toml: &str, text: &str) -> Parsed {
        let reader: Reader = toml::from_str(&format!("kind = \"lines\"\n{toml}")).unwrap();
        let anything = Tolerance::new(100).unwrap();
        parse(text.as_bytes(), Some(&Format::of(reader)), anything).unwrap()
    }

    fn subjects(parsed: &Parsed) -> Vec<String> {
        let entries = parsed.entries.iter();
        entries.map(|entry| entry.subject.to_string()).collect()
    }

    #[test]
    fn comments_foreign_line_ends_and_further_columns_are_passed_over() {
        let text = "\u{feff}# a list\r\n\n198.51.100.7\t12\n192.0.2.0/24 ; SBL1\r\n2001:db8::/32 // why\n\
                    203.0.113.1 - 203.0.113.2 , 000 , name\n203.0.113.4-203.0.113.5,x\n 192.0.2.9#x\n";
        let parsed = read("", text);
        assert_eq!((parsed.lines, parsed.bad), (6, 0));
        assert_eq!(
            subjects(&parsed),
            [
                "198.51.100.7",
                "192.0.2.0/24",
                "2001:db8::/32",
                "203.0.113.1",
                "203.0.113.2",
                "203.0.113.4/31",
                "192.0.2.9"
            ]
        );
        assert_eq!(parsed.format, "lines");
    }

    #[test]
    fn sources_stand_in_any_column() {
        for (toml, line) in [
            ("column = 2", "x 192.0.2.1 y"),
            ("column = 3", "x, y,\t192.0.2.1"),
            ("column = 2\nseparator = \"|\"", "an x | 192.0.2.1 | y"),
            ("column = 3\nseparator = \"|\"", "||192.0.2.1"),
            ("column = 2\nseparator = \";\"", "x;192.0.2.1 # y"),
            (
                "keyword = \"ip\"\ncolumn = 2",
                "host 192.0.2.2\nip 192.0.2.1",
            ),
        ] {
            assert_eq!(subjects(&read(toml, line)), ["192.0.2.1"], "{toml}");
        }
        let parsed = read("column = 2", "192.0.2.1");
        assert_eq!(parsed.shown[0].to_string(), "line 1: there is no column 2");
    }

    #[test]
    fn a_line_says_how_sure_and_when() {
        let toml = "confidence = 2\nfull = 8\nseen = 3";
        let parsed = read(
            toml,
            "192.0.2.1 4 2026-08-22 01:00:29\n192.0.2.2 9 soon\n192.0.2.3 x",
        );
        let entries = parsed.entries.iter();
        let said: Vec<_> = entries
            .map(|entry| (entry.confidence, entry.seen))
            .collect();
        let time = "2026-08-22T01:00:29Z".parse().unwrap();
        assert_eq!(said, [(50, Some(time)), (100, None)]);
        let why = "line 3: `x` is no confidence (a number from 0 up)";
        assert_eq!(parsed.shown[0].to_string(), why);
    }

    #[test]
    fn bad_lines_are_counted_and_the_first_shown() {
        let text = "192.0.2.1\n\n# x\n192.0.2.1/24\nAS64500\nx\n192.0.2.1 - x\n1.2.3\n2.3.4\n";
        let parsed = read("", text);
        assert_eq!((parsed.entries.len(), parsed.lines, parsed.bad), (1, 7, 6));
        let shown = parsed.shown.iter().map(|bad| bad.line);
        assert_eq!(shown.collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
        assert!(
            parsed.shown[0]
                .why
                .contains("the network would be 192.0.2.0/24")
        );
    }

    #[test]
    fn bytes_that_are_no_text_harm_their_word_only() {
        let content = b"192.0.2.1 # Soci\xe9t\xe9\n192.0.2.2 caf\xe9\n\xff\xfe\n";
        let anything = Tolerance::new(100).unwrap();
        let parsed = parse(content, Format::named("plain").as_ref(), anything).unwrap();
        assert_eq!(subjects(&parsed), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(parsed.shown[0].line, 3);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_by_any_columns(
            bytes: Vec<u8>,
            column in 1..4usize,
            separator in prop::option::of("[,;|/# -]"),
        ) {
            let separator = separator.map(|separator| format!("separator = \"{separator}\"\n"));
            let toml = format!("column = {column}\nseen = 2\n{}", separator.unwrap_or_default());
            let text = String::from_utf8_lossy(&bytes).replace(['\0', '<'], "x");
            let parsed = read(&toml, &format!("x{text}"));
            prop_assert!(parsed.bad <= parsed.lines);
        }

        #[test]
        fn what_is_listed_is_read(hosts: Vec<std::net::IpAddr>) {
            let text = hosts.iter().map(|host| format!("{host}\r\n")).collect::<Vec<_>>().concat();
            let parsed = read("", &text);
            let expected = hosts.into_iter().map(|host| Entry::sure(crate::rules::prefix::Prefix::host(host).into()));
            prop_assert_eq!(parsed.entries, expected.collect::<Vec<_>>());
        }
    }
}
