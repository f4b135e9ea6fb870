//! One line of a text database.
//!
//! CSV: `first,last,asn,name` or `first,last,country`. TSV: `first`, `last`, `asn`, `country`,
//! `description`. Fields may be quoted, badly too: what is behind the third comma is the name,
//! whatever is in it.

use std::{borrow::Cow, net::IpAddr};

use super::range::AsRange;
use crate::rules::{
    prefix::quoted,
    subject::{Asn, Country},
};

/// What separates the fields of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Separator {
    Comma,
    Tab,
}

/// What a line says.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Line<'a> {
    V4(AsRange<u32>, Cow<'a, str>),
    V6(AsRange<u128>, Cow<'a, str>),
    /// Nobody announces the addresses, and no country is given.
    NotRouted,
    /// Empty, or a comment.
    Nothing,
}

/// Why a line cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Too few fields.
    #[error("fewer than 3 fields")]
    Fields,
    /// Not an address.
    #[error("`{0}` is no address")]
    Address(String),
    /// First and last address are of different families.
    #[error("`{0}` mixes IPv4 and IPv6")]
    Families(String),
    /// The last address is before the first.
    #[error("`{0}` ends before it begins")]
    Reversed(String),
    /// Neither an ASN nor a country.
    #[error("`{0}` is neither an AS number nor a country")]
    Asn(String),
    /// A record of a MaxMind DB, with its network.
    #[error("the record of {0} is damaged")]
    Record(String),
    /// Longer than any line of a database.
    #[error("the line is too long")]
    TooLong,
}

/// The separator of a file that begins with `start`.
pub(super) fn separator(start: &[u8]) -> Separator {
    let mut lines = start.split(|byte| *byte == b'\n');
    let telling = lines.find(|line| !is_nothing(line));
    if telling.is_some_and(|line| line.contains(&b'\t')) {
        Separator::Tab
    } else {
        Separator::Comma
    }
}

/// Whether a first line names columns: three fields at least, and no digit in the first, as every
/// address but `::` has one.
pub(super) fn is_heading(line: &[u8], separator: Separator) -> bool {
    let mut fields = line.split(|byte| *byte == separator.byte());
    let names = |field: &[u8]| {
        let addresses = |byte: &u8| byte.is_ascii_digit() || *byte == b':';
        !field.iter().any(addresses)
    };
    fields.next().is_some_and(names) && fields.nth(1).is_some()
}

/// Reads a line without its end.
pub(super) fn parse(line: &[u8], separator: Separator) -> Result<Line<'_>, Fault> {
    if is_nothing(line) {
        return Ok(Line::Nothing);
    }
    let mut fields = line.splitn(4, |byte| *byte == separator.byte());
    let fields = [(); 4].map(|()| fields.next());
    let [Some(first), Some(last), Some(third), fourth] = fields else {
        return Err(Fault::Fields);
    };
    let (asn, country, name) = match (separator, fourth) {
        (Separator::Comma, Some(name)) => (asn(third)?, None, name),
        (Separator::Tab, Some(rest)) => {
            let mut rest = rest.splitn(2, |byte| *byte == b'\t');
            let country = rest.next().and_then(country);
            (asn(third)?, country, rest.next().unwrap_or_default())
        }
        (_, None) => match country(third) {
            Some(country) => (None, Some(country), &b""[..]),
            None => (asn(third)?, None, &b""[..]),
        },
    };
    let ends = (address(first)?, address(last)?);
    let given = || format!("{}-{}", text(first), text(last));
    if asn.is_none() && country.is_none() {
        return Ok(Line::NotRouted);
    }
    match ends {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => Ok(Line::V4(
            AsRange {
                first: first.into(),
                last: last.into(),
                asn,
                country,
            },
            unquoted(name),
        )),
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => Ok(Line::V6(
            AsRange {
                first: first.into(),
                last: last.into(),
                asn,
                country,
            },
            unquoted(name),
        )),
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            Err(Fault::Reversed(given()))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            Err(Fault::Families(given()))
        }
    }
}

impl Separator {
    fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Tab => b'\t',
        }
    }
}

fn is_nothing(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"#")
}

/// An address; mapped ones are IPv4.
fn address(field: &[u8]) -> Result<IpAddr, Fault> {
    let bare = bare(field);
    let text_of = std::str::from_utf8(bare).ok();
    text_of
        .and_then(|text| text.parse::<IpAddr>().ok())
        .map(|ip| ip.to_canonical())
        .ok_or_else(|| Fault::Address(text(field)))
}

/// An ASN, with or without `AS` before it; nothing for 0.
fn asn(field: &[u8]) -> Result<Option<Asn>, Fault> {
    let bare = bare(field);
    let digits = match bare.split_first_chunk() {
        Some((start @ [_, _], digits)) if start.eq_ignore_ascii_case(b"AS") => digits,
        Some(_) | None => bare,
    };
    let number = Some(digits)
        .filter(|digits| digits.iter().all(u8::is_ascii_digit))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok());
    number.map(Asn::new).ok_or_else(|| Fault::Asn(text(field)))
}

/// A country; nothing for the words that stand for none (`None`, `Unknown`, `-`, `ZZ`).
fn country(field: &[u8]) -> Option<Country> {
    let letters: [u8; 2] = bare(field).try_into().ok()?;
    Country::new(letters).filter(|country| country.letters() != *b"ZZ")
}

/// Without white space and quotes around it.
fn bare(field: &[u8]) -> &[u8] {
    let field = field.trim_ascii();
    let inside = field.strip_prefix(b"\"").unwrap_or(field);
    inside.strip_suffix(b"\"").unwrap_or(inside)
}

/// A name: quotes around it are removed and doubled ones inside made single, if it is quoted.
fn unquoted(field: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(field.trim_ascii());
    let inside = text
        .strip_prefix('"')
        .map(|inside| inside.strip_suffix('"').unwrap_or(inside));
    match inside {
        Some(inside) => Cow::Owned(inside.replace("\"\"", "\"")),
        None => text,
    }
}

/// A field as it may stand in a message.
fn text(field: &[u8]) -> String {
    quoted(&String::from_utf8_lossy(field.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(line: &str) -> Result<Line<'_>, Fault> {
        parse(line.as_bytes(), Separator::Comma)
    }

    fn tsv(line: &str) -> Result<Line<'_>, Fault> {
        parse(line.as_bytes(), Separator::Tab)
    }

    fn v4(first: [u8; 4], last: [u8; 4], asn: u32, country: Option<&str>) -> AsRange<u32> {
        AsRange {
            first: u32::from_be_bytes(first),
            last: u32::from_be_bytes(last),
            asn: Asn::new(asn),
            country: country.map(|country| country.parse().unwrap()),
        }
    }

    #[track_caller]
    fn named(line: &str, expected: &str) {
        let line = format!("192.0.2.0,192.0.2.9,64500,{line}");
        let Ok(Line::V4(_, name)) = csv(&line) else {
            panic!("{line} is not read");
        };
        assert_eq!(name, expected);
    }

    #[test]
    fn ranges_of_a_csv() {
        let range = v4([192, 0, 2, 0], [192, 0, 2, 9], 64_500, None);
        for line in [
            "192.0.2.0,192.0.2.9,64500,Example",
            "192.0.2.0,192.0.2.9,AS64500,\"Example\"\r",
            "\"192.0.2.0\",\"192.0.2.9\",\"64500\",\"Example\"",
            " 192.0.2.0 , ::ffff:192.0.2.9 ,as64500, Example ",
        ] {
            assert_eq!(csv(line), Ok(Line::V4(range, "Example".into())), "{line}");
        }
        assert_eq!(
            csv("192.0.2.0,192.0.2.9,64500"),
            Ok(Line::V4(range, "".into()))
        );
        let Ok(Line::V6(range, _)) = csv("2001:db8::,2001:db8::ffff,64500,x") else {
            panic!("IPv6 is not read");
        };
        assert_eq!(range.last - range.first, 0xffff);
    }

    /// Each is in the table of the whole Internet.
    #[test]
    fn names_keep_their_commas_and_quotes() {
        named("\"Cloudflare, Inc.\"", "Cloudflare, Inc.");
        named("\"LLC \"\"SPUTNIK\"\"\"", "LLC \"SPUTNIK\"");
        named("\"\"\"Domain names\"\", Ltd\"", "\"Domain names\", Ltd");
        named("\"accompio SmarTec GmbH\"\"\"", "accompio SmarTec GmbH\"");
        named("Zuev & Sons, unquoted", "Zuev & Sons, unquoted");
        named("\"never closed, Ltd", "never closed, Ltd");
        named("half \"quoted\", Ltd", "half \"quoted\", Ltd");
        named("", "");
    }

    #[test]
    fn ranges_of_a_tsv() {
        assert_eq!(
            tsv("192.0.2.0\t192.0.2.9\t64500\tDE\tEXAMPLE-AS - Example, Inc."),
            Ok(Line::V4(
                v4([192, 0, 2, 0], [192, 0, 2, 9], 64_500, Some("DE")),
                "EXAMPLE-AS - Example, Inc.".into()
            ))
        );
        assert_eq!(
            tsv("192.0.2.0\t192.0.2.9\t0\tNone\tNot routed"),
            Ok(Line::NotRouted)
        );
        assert_eq!(
            tsv("192.0.2.0\t192.0.2.9\t64500\tUnknown\tx"),
            Ok(Line::V4(
                v4([192, 0, 2, 0], [192, 0, 2, 9], 64_500, None),
                "x".into()
            ))
        );
    }

    #[test]
    fn ranges_of_countries() {
        assert_eq!(
            csv("192.0.2.0,192.0.2.9,de"),
            Ok(Line::V4(
                v4([192, 0, 2, 0], [192, 0, 2, 9], 0, Some("DE")),
                "".into()
            ))
        );
    }

    #[test]
    fn what_is_wrong_with_a_line_is_named() {
        let fault = |line: &str| csv(line).unwrap_err().to_string();
        assert_eq!(fault("nonsense"), "fewer than 3 fields");
        assert_eq!(fault("192.0.2.0,x,1,n"), "`x` is no address");
        assert_eq!(
            fault("192.0.2.0,::1,1,n"),
            "`192.0.2.0-::1` mixes IPv4 and IPv6"
        );
        assert_eq!(
            fault("192.0.2.9,192.0.2.0,1,n"),
            "`192.0.2.9-192.0.2.0` ends before it begins"
        );
        for asn in ["x", "", "-1", "4294967296", "1.5", "+1"] {
            assert_eq!(
                fault(&format!("192.0.2.0,192.0.2.9,{asn},n")),
                format!("`{asn}` is neither an AS number nor a country")
            );
        }
    }

    #[test]
    fn what_is_no_entry_is_passed_over() {
        for line in ["", "  ", "\r", "# comment", " # comment, too"] {
            assert_eq!(csv(line), Ok(Line::Nothing));
        }
        assert!(is_heading(b"start,end,asn,name", Separator::Comma));
        assert!(!is_heading(b"nonsense", Separator::Comma));
        assert!(!is_heading(b"::,::1,1,x", Separator::Comma));
        assert!(!is_heading(b"1.0.0.0,1.0.0.1,1,x", Separator::Comma));
        assert_eq!(separator(b"# head\tx\n\n1.0.0.0,1,2"), Separator::Comma);
        assert_eq!(separator(b"1.0.0.0\t1.0.0.1\t3"), Separator::Tab);
    }
}
