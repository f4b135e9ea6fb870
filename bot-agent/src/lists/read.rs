//! One list: a line names an address, a CIDR or a range `a-b`.

use std::net::IpAddr;

use crate::rules::{
    prefix::{ParseError, Prefix},
    target::Target,
};

/// Bad lines that are shown.
const SHOWN: usize = 5;
/// Of so many lines, one may be bad (5 %).
const LINES_FOR_ONE_BAD: usize = 20;

/// What a file says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entries {
    /// In order, each once; a prefix before those that it covers.
    pub prefixes: Vec<Prefix>,
    /// Lines that say something.
    pub lines: usize,
    /// Lines that could not be read.
    pub bad: usize,
    /// The first of those.
    pub shown: Vec<BadLine>,
}

/// A line that names no source.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// Why.
    pub error: ParseError,
}

/// A file that is no list.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{} of {} lines cannot be read, more than 5 %: the list is not used ({})",
    .0.bad,
    .0.lines,
    .0.shown.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
)]
pub struct ReadError(Entries);

/// Reads a file. `#`, `;` and `//` begin a comment; what follows the first word of a line is ignored, as
/// are empty lines, CR line ends and a byte order mark. Lines wider than a rule may be without
/// `--force` are bad.
pub fn read(bytes: &[u8]) -> Result<Entries, ReadError> {
    let mut entries = Entries::default();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line);
        let Some(word) = word(&text) else { continue };
        entries.lines += 1;
        if let Err(error) = add(word, &mut entries.prefixes) {
            entries.bad += 1;
            if entries.shown.len() < SHOWN {
                entries.shown.push(BadLine {
                    line: index + 1,
                    error,
                });
            }
        }
    }
    if entries.bad * LINES_FOR_ONE_BAD > entries.lines {
        return Err(ReadError(entries));
    }
    entries.prefixes.sort_unstable();
    entries.prefixes.dedup();
    Ok(entries)
}

/// The first word before any comment.
fn word(line: &str) -> Option<&str> {
    let line = line.split(['#', ';']).next()?;
    let line = line.split("//").next()?.trim();
    // A range may have spaces around its dash.
    if line.contains(" - ") {
        return Some(line);
    }
    line.split([' ', '\t', ','])
        .next()
        .filter(|word| !word.is_empty())
}

fn add(word: &str, into: &mut Vec<Prefix>) -> Result<(), ParseError> {
    if let Ok(address) = word.parse::<IpAddr>() {
        into.push(Prefix::host(address));
        return Ok(());
    }
    let target: Target = word.parse()?;
    target.check_width(false)?;
    into.extend(target.prefixes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(entries: &Entries) -> Vec<String> {
        entries.prefixes.iter().map(Prefix::to_string).collect()
    }

    #[test]
    fn lists_of_several_kinds_are_read() {
        let text = "\u{feff}# a list\r\n\n198.51.100.7\t12\n192.0.2.0/24 ; SBL1\r\n2001:db8::/32 // why\n\
                    203.0.113.1 - 203.0.113.2\n203.0.113.4-203.0.113.5,x\n192.0.2.0/24\n";
        let entries = read(text.as_bytes()).unwrap();
        assert_eq!((entries.lines, entries.bad), (6, 0));
        let mut expected = [
            "192.0.2.0/24",
            "198.51.100.7",
            "2001:db8::/32",
            "203.0.113.1",
            "203.0.113.2",
            "203.0.113.4/31",
        ];
        let mut found = texts(&entries);
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn few_bad_lines_are_shown_and_many_are_refused() {
        let good = (0..200)
            .map(|n| format!("192.0.2.{n}\n"))
            .collect::<Vec<_>>()
            .concat();
        let bad = "10.0.0.0/4\nnonsense\n192.0.2.1/33\n\u{fffd}\n1.2.3\n2.3.4\n";
        let entries = read(format!("{good}{bad}").as_bytes()).unwrap();
        assert_eq!((entries.prefixes.len(), entries.bad), (200, 6));
        assert_eq!(entries.shown.len(), 5);
        assert_eq!(entries.shown[0].line, 201);
        let refused = read(bad.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains("6 of 6 lines"), "{refused}");
        assert!(refused.contains("line 2: "), "{refused}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            drop(read(&bytes));
        }

        #[test]
        fn what_is_listed_is_found_in_order_and_once(hosts in proptest::collection::vec(any::<[u8; 4]>(), 0..50)) {
            let text = hosts.iter().map(|h| format!("{}\n", std::net::Ipv4Addr::from(*h))).collect::<Vec<_>>().concat();
            let entries = read(text.as_bytes()).unwrap();
            prop_assert!(entries.prefixes.is_sorted_by(|a, b| a < b));
            for host in hosts {
                let prefix = Prefix::host(std::net::Ipv4Addr::from(host).into());
                prop_assert!(entries.prefixes.binary_search(&prefix).is_ok());
            }
        }
    }
}
