//! Targets: what a person names to block or allow, one word each, from the command line, a file or
//! the configuration.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::{
    prefix::{ParseError, Prefix, quoted},
    subject::{Subject, named},
};

/// An address, a CIDR or a range `a-b`, as the prefixes that cover exactly it; or an ASN
/// (`AS64500`) or a country (`country:DE`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    given: String,
    meant: Meant,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Meant {
    /// Never none.
    Addresses(Vec<Prefix>),
    /// An ASN or a country.
    Named(Subject),
}

impl Target {
    /// The word as it was given, fit for messages.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// The fewest prefixes that cover it, in order; none for an ASN or a country, of which only a
    /// database knows them.
    pub fn prefixes(&self) -> &[Prefix] {
        match &self.meant {
            Meant::Addresses(prefixes) => prefixes,
            Meant::Named(_) => &[],
        }
    }

    /// What rules about it are about; never none.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        let named = match self.meant {
            Meant::Named(subject) => Some(subject),
            Meant::Addresses(_) => None,
        };
        let prefixes = self.prefixes().iter().copied();
        prefixes.map(Subject::Prefix).chain(named)
    }

    /// The ASN or country, if it is one.
    pub fn named(&self) -> Option<Subject> {
        match self.meant {
            Meant::Named(subject) => Some(subject),
            Meant::Addresses(_) => None,
        }
    }

    /// Whether it names one address.
    pub fn is_host(&self) -> bool {
        matches!(self.prefixes(), [only] if only.is_host())
    }

    /// Refuses with [`ParseError::TooWide`] what no rule may cover unless `force` is set.
    pub fn check_width(&self, force: bool) -> Result<(), ParseError> {
        match self.prefixes().iter().find(|prefix| prefix.is_too_wide()) {
            Some(prefix) if !force => Err(ParseError::TooWide {
                given: self.given.clone(),
                prefix: *prefix,
            }),
            _ => Ok(()),
        }
    }
}

impl FromStr for Target {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let meant = match (named(text), text.split_once('-')) {
            (Some(named), _) => Meant::Named(named?),
            (None, Some((first, last))) => {
                Meant::Addresses(range(text, first.trim(), last.trim())?)
            }
            (None, None) => Meant::Addresses(vec![text.parse().map_err(of_target)?]),
        };
        Ok(Self {
            given: quoted(text),
            meant,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

/// A target may be more than a prefix.
fn of_target(error: ParseError) -> ParseError {
    if let ParseError::Syntax(given) = error {
        return ParseError::Target(given);
    }
    error
}

impl From<Subject> for Target {
    fn from(subject: Subject) -> Self {
        Self {
            given: subject.to_string(),
            meant: match subject {
                Subject::Prefix(prefix) => Meant::Addresses(vec![prefix]),
                Subject::Asn(_) | Subject::Country(_) => Meant::Named(subject),
            },
        }
    }
}

fn range(given: &str, first: &str, last: &str) -> Result<Vec<Prefix>, ParseError> {
    let (first, last) = (end(given, first)?, end(given, last)?);
    if first > last && first.is_ipv4() == last.is_ipv4() {
        return Err(ParseError::RangeReversed {
            given: quoted(given),
            first,
            last,
        });
    }
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Ok(Ipv4Subnets::new(first, last, 0)
            .map(|net| Prefix::from_net(IpNet::V4(net)))
            .collect()),
        (IpAddr::V6(first), IpAddr::V6(last)) => Ok(Ipv6Subnets::new(first, last, 0)
            .map(|net| Prefix::from_net(IpNet::V6(net)))
            // A range across `::ffff:0:0/96` is no statement about IPv4.
            .filter(|prefix| !prefix.is_v4())
            .collect()),
        _ => Err(ParseError::RangeFamilies(quoted(given))),
    }
}

/// One end of a range; mapped addresses are IPv4.
fn end(given: &str, text: &str) -> Result<IpAddr, ParseError> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_canonical());
    }
    match text.parse::<Prefix>() {
        Err(error @ ParseError::Zone { .. }) => Err(error),
        _ => Err(ParseError::Target(quoted(given))),
    }
}

/// Targets of a file, with the line of each, counted from 1.
pub type Listed = Vec<(usize, Target)>;

/// The lines of a file that name no target.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct ListError {
    /// Line, counted from 1, and what is wrong there; never empty.
    pub bad: Vec<(usize, ParseError)>,
}

impl ListError {
    fn summary(&self) -> String {
        const SHOWN: usize = 10;
        let mut lines: Vec<String> = self
            .bad
            .iter()
            .take(SHOWN)
            .map(|(line, error)| format!("line {line}: {error}"))
            .collect();
        if let Some(more) = self.bad.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            lines.push(format!("and {more} more bad lines"));
        }
        lines.join("\n")
    }
}

/// Reads a file of one target a line. `#` and `;` begin a comment anywhere in a line; empty lines,
/// surrounding white space, CR line ends and a byte order mark are skipped. Width is not judged.
pub fn parse_list(text: &str) -> Result<Listed, ListError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut listed, mut bad) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let word = line.split(['#', ';']).next().unwrap_or_default().trim();
        if word.is_empty() {
            continue;
        }
        match word.parse() {
            Ok(target) => listed.push((index + 1, target)),
            Err(error) => bad.push((index + 1, error)),
        }
    }
    if bad.is_empty() {
        Ok(listed)
    } else {
        Err(ListError { bad })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn prefixes(text: &str) -> Vec<String> {
        let target: Target = text.parse().unwrap();
        target.prefixes().iter().map(Prefix::to_string).collect()
    }

    fn refusal(text: &str) -> String {
        text.parse::<Target>().unwrap_err().to_string()
    }

    #[test]
    fn ranges_become_the_fewest_prefixes() {
        assert_eq!(prefixes("192.0.2.7-192.0.2.7"), ["192.0.2.7"]);
        assert_eq!(prefixes("10.0.0.0 - 10.255.255.255"), ["10.0.0.0/8"]);
        assert_eq!(
            prefixes("192.0.2.7-192.0.2.16"),
            ["192.0.2.7", "192.0.2.8/29", "192.0.2.16"]
        );
        assert_eq!(prefixes("0.0.0.0-255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(prefixes("2001:db8::-2001:db8::ffff"), ["2001:db8::/112"]);
        assert_eq!(
            prefixes("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ["::/0"]
        );
        assert_eq!(
            prefixes("::ffff:192.0.2.0-::ffff:192.0.2.255"),
            ["192.0.2.0/24"]
        );
    }

    #[test]
    fn an_ipv6_range_across_the_mapped_addresses_says_nothing_of_ipv4() {
        let target: Target = "::fffe:0:1-::1:0:0:0".parse().unwrap();
        assert!(target.prefixes().iter().all(|prefix| !prefix.is_v4()));
    }

    #[test]
    fn asns_and_countries_are_targets() {
        for (text, subject) in [(" as64500", "AS64500"), ("country:de\r\n", "country:DE")] {
            let target: Target = text.parse().unwrap();
            let subjects: Vec<String> = target.subjects().map(|s| s.to_string()).collect();
            assert_eq!(subjects, [subject]);
            assert!(target.prefixes().is_empty() && !target.is_host());
            assert_eq!(target.named(), target.subjects().next());
            assert_eq!(target.check_width(false), Ok(()));
        }
        assert!(refusal("AS0").contains("is no AS number"));
        assert!(refusal("AS1-AS9").contains("is no AS number"));
        assert!(refusal("DE").contains("nor an AS number"));
    }

    #[test]
    fn bad_ranges_are_refused() {
        assert_eq!(
            refusal("192.0.2.9-192.0.2.1"),
            "range `192.0.2.9-192.0.2.1` ends before it begins; write 192.0.2.1-192.0.2.9"
        );
        assert_eq!(
            refusal("192.0.2.9-2001:db8::1"),
            "range `192.0.2.9-2001:db8::1` mixes IPv4 and IPv6; both ends must be of one family"
        );
        assert!(refusal("fe80::1%eth0-fe80::2").contains("zone id"));
        for text in [
            "192.0.2.1-",
            "-192.0.2.1",
            "192.0.2.1-9",
            "192.0.2.0/24-192.0.2.9",
            "1-2-3",
            "-",
        ] {
            assert!(
                refusal(text).contains("is neither an address nor a CIDR"),
                "{text}"
            );
        }
    }

    #[test]
    fn garbage_is_refused_on_one_line() {
        for text in [
            "10.0.0",
            "10.0.0.0/-1",
            "300.1.1.1",
            "010.1.1.1",
            "example.org",
            "10.0.0.0/8/8",
            "10.0.0.0 /8",
            "\u{0}",
            "::ffff:1.2.3.4/16x",
            "'; drop",
        ] {
            assert!(
                refusal(text).contains("is neither an address nor a CIDR"),
                "{text}"
            );
        }
        let long = refusal(&"9\n".repeat(100_000));
        assert!(long.len() < 400 && !long.contains('\n'));
    }

    #[test]
    fn width_needs_force() {
        let check = |text: &str, force| text.parse::<Target>().unwrap().check_width(force);
        for text in [
            "10.0.0.0/8",
            "2001::/19",
            "10.0.0.0-10.255.255.255",
            "0.0.0.1-1.0.0.0",
        ] {
            assert_eq!(check(text, false), Ok(()), "{text}");
        }
        for text in [
            "0.0.0.0/0",
            "::/0",
            "10.0.0.0/7",
            "2000::/18",
            "0.0.0.0-127.0.0.0",
            "::ffff:0:0/96",
        ] {
            assert!(check(text, false).is_err(), "{text}");
            assert_eq!(check(text, true), Ok(()), "{text}");
        }
        assert_eq!(
            check("8.0.0.0-12.0.0.0", false).unwrap_err().to_string(),
            "`8.0.0.0-12.0.0.0` covers 8.0.0.0/6, wider than /8"
        );
        assert!(
            check("2000::/3", false)
                .unwrap_err()
                .to_string()
                .contains("wider than /19")
        );
    }

    #[test]
    fn lists_have_comments_and_foreign_line_ends() {
        let text = "\u{feff}# head\r\n192.0.2.7\r\n\r\n  198.51.100.0/24 ; SBL1\n2001:db8::/32# x\n; y\n192.0.2.1 - 192.0.2.2";
        let listed: Vec<_> = parse_list(text)
            .unwrap()
            .into_iter()
            .map(|(line, target)| (line, target.to_string()))
            .collect();
        let expected = [
            (2, "192.0.2.7"),
            (4, "198.51.100.0/24"),
            (5, "2001:db8::/32"),
            (7, "192.0.2.1 - 192.0.2.2"),
        ];
        assert_eq!(listed, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn every_bad_line_of_a_list_is_named() {
        let error = parse_list("192.0.2.7\nnonsense\n10.0.0.1/8\n").unwrap_err();
        let text = error.to_string();
        assert_eq!(error.bad.len(), 2);
        assert!(text.starts_with("line 2: `nonsense` is neither"));
        assert!(
            text.ends_with(
                "line 3: `10.0.0.1/8` has host bits set; the network would be 10.0.0.0/8"
            )
        );
        let many = parse_list(&"x\n".repeat(25)).unwrap_err();
        assert!(many.to_string().ends_with("and 15 more bad lines"));
    }

    proptest! {
        #[test]
        fn a_range_is_covered_exactly(a: u32, b: u32, probe: u32) {
            let (a, b) = (a.min(b), a.max(b));
            let text = format!("{}-{}", Ipv4Addr::from(a), Ipv4Addr::from(b));
            let target: Target = text.parse().unwrap();
            let size: u128 = target.prefixes().iter().map(|prefix| prefix.size()).sum();
            prop_assert_eq!(size, u128::from(b - a) + 1);
            let probe_in = target.prefixes().iter().any(|p| p.contains(Ipv4Addr::from(probe).into()));
            prop_assert_eq!(probe_in, (a..=b).contains(&probe));
            prop_assert!(target.prefixes().len() <= 62);
        }

        #[test]
        fn an_ipv6_range_is_covered_exactly(a: u128, b: u128, probe: u128) {
            let (a, b) = (a.min(b), a.max(b));
            let text = format!("{}-{}", Ipv6Addr::from(a), Ipv6Addr::from(b));
            let target: Target = text.parse().unwrap();
            let probe_in = target.prefixes().iter().any(|p| p.contains(Ipv6Addr::from(probe).into()));
            prop_assert_eq!(probe_in, (a..=b).contains(&probe));
        }

        #[test]
        fn nothing_panics(text in "\\PC*|[0-9a-f:./% -]{0,60}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert!(target.subjects().next().is_some());
            }
            if let Err(error) = parse_list(&text) {
                prop_assert!(!error.bad.is_empty());
            }
        }
    }
}
