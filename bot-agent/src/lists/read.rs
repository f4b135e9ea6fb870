//! One list: a line names an address, a CIDR or a range `a-b`.

use std::net::IpAddr;

use crate::{
    feeds::{
        entry::{BadEntry, Parsed},
        format::{Fault, FormatError, Tally, Tolerance, refuse_no_list, words},
    },
    rules::{
        prefix::{ParseError, Prefix},
        target::Target,
    },
};

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
    pub shown: Vec<BadEntry>,
}

/// Reads a file. `#`, `;` and `//` begin a comment; what follows the first word of a line is ignored, as
/// are empty lines, CR line ends and a byte order mark. Lines wider than a rule may be without
/// `--force` are bad.
pub fn read(bytes: &[u8]) -> Result<Entries, FormatError> {
    refuse_no_list(bytes)?;
    let mut prefixes = Vec::new();
    let mut tally = Tally::default();
    for (line, word) in words(bytes) {
        tally.count(line, add(&word, &mut prefixes).map_err(Fault::from));
    }
    let Parsed {
        lines, bad, shown, ..
    } = tally.finish("a list", Tolerance::DEFAULT)?;
    prefixes.sort_unstable();
    prefixes.dedup();
    Ok(Entries {
        prefixes,
        lines,
        bad,
        shown,
    })
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
