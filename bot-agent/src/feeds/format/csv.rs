//! CSV: rows of columns, usually with a heading.
//!
//! Invariant: the end of a line ends a row, whatever its quotes say, so that a stray quote spoils one
//! row and does not swallow those behind it.

use std::borrow::Cow;

use super::{
    error::FormatError,
    lines::numbered,
    reader::{Column, Csv, To, is_one_of},
    row::{Row, Splitter},
    source,
    tally::{Beside, Fault, Tally},
    time,
};
use crate::rules::prefix::quoted;

/// Reads a CSV.
pub(super) fn read(
    content: &[u8],
    csv: &Csv,
    format: &'static str,
    tally: &mut Tally,
) -> Result<(), FormatError> {
    let mut splitter = Splitter::new(csv.separator);
    let mut places = None;
    let mut unnamed_heading = None;
    let mut word = String::new();
    for (number, line) in numbered(content) {
        if is_nothing(line) {
            tally.comment(line);
            continue;
        }
        let Some(row) = splitter.split(line) else {
            tally.count::<()>(number, Err(Fault::TooLong));
            continue;
        };
        let Some(places) = &places else {
            let found = Places::find(csv, row).map_err(|column| FormatError::NoColumn {
                format,
                column,
                heading: quoted(&String::from_utf8_lossy(line.trim_ascii())),
            })?;
            let found = places.insert(found);
            if found.is_heading(row) {
                unnamed_heading = Some(number);
            } else if !found.by_name {
                found.read(row, number, &mut word, tally)?;
            }
            continue;
        };
        places.read(row, number, &mut word, tally)?;
    }
    // A text with nothing behind what was taken for a heading is no list.
    if let Some(number) = unnamed_heading
        && tally.lines() == 0
    {
        tally.count::<()>(number, Err(Fault::OnlyHeading));
    }
    Ok(())
}

/// The first row of a content, its fields between commas; nothing when there is none.
pub(super) fn first_row(content: &[u8], csv: &Csv) -> Option<String> {
    let (_, line) = numbered(content).find(|(_, line)| !is_nothing(line))?;
    let mut splitter = Splitter::new(csv.separator);
    let row = splitter.split(line)?;
    let texts: Vec<_> = row.fields().map(String::from_utf8_lossy).collect();
    Some(texts.join(","))
}

fn is_nothing(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    line.is_empty() || line.starts_with(b"#")
}

/// A column that was found.
struct Place<'c> {
    index: usize,
    column: &'c Column,
}

/// Where everything is in a row.
struct Places<'c> {
    csv: &'c Csv,
    source: Place<'c>,
    to: Option<Place<'c>>,
    confidence: Option<Place<'c>>,
    seen: Option<Place<'c>>,
    only: Vec<(usize, &'c [String])>,
    /// Whether the first row named any of them.
    by_name: bool,
}

impl<'c> Places<'c> {
    /// Finds the columns by the first row; names the one that is not in it.
    fn find(csv: &'c Csv, first: Row<'_>) -> Result<Self, String> {
        let mut by_name = !csv.only.is_all();
        let named = |name: &str| {
            let index = first.find(name.as_bytes());
            index.ok_or_else(|| name.to_owned())
        };
        let mut place = |column: &'c Column| {
            let index = match column {
                Column::Number(number) => number.get() - 1,
                Column::Name(name) => {
                    by_name = true;
                    named(name)?
                }
            };
            Ok::<_, String>(Place { index, column })
        };
        let to = csv.to.as_ref().map(|to| match to {
            To::Last(column) | To::Length(column) => column,
        });
        let only = csv.only.places();
        Ok(Self {
            csv,
            source: place(&csv.column)?,
            to: to.map(&mut place).transpose()?,
            confidence: csv.confidence.as_ref().map(&mut place).transpose()?,
            seen: csv.seen.as_ref().map(&mut place).transpose()?,
            only: only
                .map(|(column, values)| Ok((named(column)?, values)))
                .collect::<Result<_, String>>()?,
            by_name,
        })
    }

    /// Whether a first row names columns that are known by number: no source has no digit but `::`.
    fn is_heading(&self, row: Row<'_>) -> bool {
        let says = |byte: &u8| byte.is_ascii_digit() || *byte == b':';
        let source = row.get(self.source.index);
        !self.by_name && source.is_some_and(|field| !field.iter().any(says))
    }

    /// Reads a row into `tally`; `word` is memory for it.
    fn read(
        &self,
        row: Row<'_>,
        number: usize,
        word: &mut String,
        tally: &mut Tally,
    ) -> Result<(), FormatError> {
        let is_chosen = self.only.iter().all(|(index, values)| {
            let field = row.get(*index).map(String::from_utf8_lossy);
            field.is_some_and(|field| is_one_of(&field, values))
        });
        if !is_chosen {
            return Ok(());
        }
        let source = self.source(row, word).map(|()| word.as_str());
        tally.take(number, source, self.csv.holds, self.beside(row))
    }

    /// Writes what the row names as one word.
    fn source(&self, row: Row<'_>, word: &mut String) -> Result<(), Fault> {
        word.clear();
        word.push_str(&field(row, &self.source)?);
        let joint = match &self.csv.to {
            None => return Ok(()),
            Some(To::Last(_)) => '-',
            Some(To::Length(_)) => '/',
        };
        if let Some(to) = &self.to {
            word.push(joint);
            word.push_str(&field(row, to)?);
        }
        Ok(())
    }

    /// What else the row says.
    fn beside(&self, row: Row<'_>) -> Result<Beside, Fault> {
        let mut beside = Beside::NOTHING;
        if let Some(place) = &self.confidence {
            beside.confidence = source::confidence(&field(row, place)?, self.csv.full)?;
        }
        let seen = self.seen.as_ref().and_then(|place| field(row, place).ok());
        beside.seen = seen.and_then(|seen| time::timestamp(&seen));
        Ok(beside)
    }
}

fn field<'r>(row: Row<'r>, place: &Place<'_>) -> Result<Cow<'r, str>, Fault> {
    let field = row.get(place.index).map(String::from_utf8_lossy);
    field.ok_or_else(|| Fault::NoColumn(place.column.clone()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::feeds::{
        entry::Parsed,
        format::{Format, Tolerance, parse, reader::Reader, row::LONGEST_LINE},
    };

    /// What a reader, in the words of the configuration, makes of a text.
    fn try_read(toml: &str, text: &str) -> Result<Parsed, FormatError> {
        let reader: Reader = toml::from_str(&format!("kind = \"csv\"\n{toml}")).unwrap();
        let anything = Tolerance::new(100).unwrap();
        parse(text.as_bytes(), Some(&Format::of(reader)), anything)
    }

    fn read(toml: &str, text: &str) -> Parsed {
        try_read(toml, text).unwrap()
    }

    fn subjects(parsed: &Parsed) -> Vec<String> {
        let entries = parsed.entries.iter();
        entries.map(|entry| entry.subject.to_string()).collect()
    }

    #[test]
    fn columns_are_found_by_name_and_by_number() {
        let text =
            "\u{feff}# a comment\r\nName,IP\r\n\"x, y\",192.0.2.1\r\n\r\nz, \"192.0.2.2\" \r\n";
        for toml in ["column = \"ip\"", "column = 2"] {
            let parsed = read(toml, text);
            assert_eq!((parsed.lines, parsed.bad), (2, 1), "{toml}");
        }
        let parsed = read("column = 2", "192.0.2.1,192.0.2.2\n192.0.2.3\n");
        assert_eq!(subjects(&parsed), ["192.0.2.2"]);
        assert_eq!(parsed.shown[0].to_string(), "line 2: there is no column 2");
    }

    #[test]
    fn a_column_that_is_missing_is_named_with_the_heading() {
        let error = try_read("column = \"ip\"", "Address,Name\n192.0.2.1,x\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "has no column `ip`, so it is no csv: its heading is `Address,Name`"
        );
    }

    #[test]
    fn a_stray_quote_spoils_one_row() {
        let text = "ASN,Entity\n1,\"A, B\"\n2, \"C, D\"\n3,\"E \"\"F\"\"\"\n4,\"G\n\"5\",H\n6,I\"\n\"7,J\n8,K\n";
        let parsed = read("column = \"ASN\"\nholds = \"asns\"", text);
        assert_eq!(
            subjects(&parsed),
            ["AS1", "AS2", "AS3", "AS4", "AS5", "AS6", "AS8"]
        );
        assert_eq!(parsed.shown[0].line, 8);
    }

    #[test]
    fn another_column_says_how_far_it_goes() {
        let last = "separator = \"\t\"\ncolumn = 1\nto = { last = 2 }";
        let parsed = read(
            last,
            "Start\tEnd\n192.0.2.0\t192.0.2.9\n192.0.2.9\t192.0.2.0\n",
        );
        assert_eq!(subjects(&parsed), ["192.0.2.0/29", "192.0.2.8/31"]);
        assert!(parsed.shown[0].why.contains("ends before it begins"));
        let length = "column = \"net\"\nto = { length = \"bits\" }";
        let parsed = read(
            length,
            "net,bits\n192.0.2.0,24\n2001:db8::,32\n192.0.2.1,24\n192.0.2.1\n",
        );
        assert_eq!(subjects(&parsed), ["192.0.2.0/24", "2001:db8::/32"]);
        assert_eq!(
            parsed.shown[1].to_string(),
            "line 5: there is no column `bits`"
        );
    }

    #[test]
    fn rows_are_chosen_by_their_columns() {
        let text = "prefix,provider,kind\n192.0.2.0/25,A,hosting\n192.0.2.128/25,B,cdn\n\
                    198.51.100.0/24,A,vpn\nnonsense,C,tor\n203.0.113.0/24\n";
        for (only, expected) in [
            ("provider = \"a\"", &["192.0.2.0/25", "198.51.100.0/24"][..]),
            (
                "kind = [\"VPN\", \"cdn\"]",
                &["192.0.2.128/25", "198.51.100.0/24"],
            ),
            ("provider = \"A\", kind = \"vpn\"", &["198.51.100.0/24"]),
            ("provider = \"D\"", &[]),
        ] {
            let parsed = read(&format!("column = \"prefix\"\nonly = {{ {only} }}"), text);
            assert_eq!(subjects(&parsed), expected, "{only}");
            assert_eq!((parsed.lines, parsed.bad), (expected.len(), 0));
        }
        let error = try_read("column = 1\nonly = { colour = \"x\" }", text).unwrap_err();
        assert!(error.to_string().contains("has no column `colour`"));
    }

    #[test]
    fn a_row_says_how_sure_and_when() {
        let toml = "column = \"ip\"\nconfidence = \"score\"\nseen = \"at\"";
        let text = "ip,score,at\n192.0.2.1,50,2026-08-22 01:00:29\n192.0.2.2,100,\n192.0.2.3,,\n";
        let parsed = read(toml, text);
        let entries = parsed.entries.iter();
        let said: Vec<_> = entries
            .map(|entry| (entry.confidence, entry.seen))
            .collect();
        let time = "2026-08-22T01:00:29Z".parse().unwrap();
        assert_eq!(said, [(50, Some(time)), (100, None)]);
        assert!(
            parsed.shown[0]
                .to_string()
                .contains("line 4: `` is no confidence")
        );
    }

    #[test]
    fn lines_longer_than_any_row_are_bad() {
        let long = "x,".repeat(LONGEST_LINE);
        let parsed = read("column = 1", &format!("192.0.2.1\n{long}\n192.0.2.2\n"));
        assert_eq!(subjects(&parsed), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(parsed.shown[0].to_string(), "line 2: the line is too long");
        let longest = &long[..LONGEST_LINE];
        let parsed = read("column = 1", &format!("192.0.2.1\n{longest}\n"));
        assert!(parsed.shown[0].why.contains("`x` is neither"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-z.:/\"',;\t\n# -]{0,200}", column in 1..4usize) {
            let by_number = read(&format!("column = {column}\nto = {{ last = 2 }}\nseen = 1"), &text);
            prop_assert!(by_number.bad <= by_number.lines);
            drop(try_read("column = \"a\"", &text));
        }

        #[test]
        fn what_is_listed_is_read(networks: Vec<(u32, u8)>, name in "[ -~]{0,20}") {
            let networks: Vec<_> = networks.into_iter().map(|(address, bits)| {
                ipnet::Ipv4Net::new(address.into(), bits % 33).unwrap().trunc()
            }).collect();
            let quoted = name.replace('"', "\"\"");
            let rows = networks.iter().map(|net| format!("\"{quoted}\",{net}\n"));
            let text = format!("name,net\n{}", rows.collect::<String>());
            let parsed = read("column = \"net\"", &text);
            let expected: Vec<_> = networks.into_iter().map(|net| crate::rules::prefix::Prefix::from_net(net.into())).collect();
            let found: Vec<_> = parsed.entries.iter().filter_map(|entry| entry.subject.prefix()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
