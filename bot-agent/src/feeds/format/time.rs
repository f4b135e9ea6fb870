//! Times as publishers write them. Those without a zone are in UTC.

use jiff::{Timestamp, civil::DateTime, fmt::rfc2822, tz::TimeZone};
use serde_json::Value;

/// From here on a number counts milliseconds; as seconds it would be the year 5138.
const MILLISECONDS: i64 = 100_000_000_000;

/// What is tried after the standards: `date`'s and asctime's, those of Spamhaus and of AWS.
const PATTERNS: [&str; 4] = [
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S UTC %Y",
    "%Y/%m/%d",
    "%Y-%m-%d-%H-%M-%S",
];

/// What stands in a comment before the time at which a list was made, in lower case.
const MARKS: [&str; 7] = [
    "last update",
    "last updated",
    "last-modified",
    "updated",
    "this file date",
    "generated",
    "date",
];

/// A time in one of the ways in which publishers write it.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return of_number(number);
    }
    let bare = text.strip_suffix("UTC").unwrap_or(text).trim_end();
    let standard = text.parse().ok().or_else(|| {
        let mail = rfc2822::DateTimeParser::new();
        mail.parse_timestamp(text).ok()
    });
    let civil = || {
        let patterns = PATTERNS.iter();
        let mut parsed = patterns.filter_map(|pattern| {
            let time = jiff::fmt::strtime::parse(pattern, bare).ok()?;
            let date = time.to_date().ok()?;
            Some(time.to_datetime().unwrap_or_else(|_| date.into()))
        });
        bare.parse().ok().or_else(|| parsed.next())
    };
    standard.or_else(|| in_utc(civil()?))
}

/// The same of a JSON value.
pub(super) fn of_value(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => timestamp(text),
        Value::Number(number) => of_number(number.as_i64()?),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The time that a comment gives for the making of the list: `# Last update: …`.
pub(super) fn of_comment(line: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(line).ok()?;
    let (mark, time) = text.split_once(':')?;
    let is_frame = |c: char| c.is_whitespace() || matches!(c, '#' | ';' | '/');
    let mark = mark.trim_matches(is_frame);
    MARKS
        .iter()
        .any(|known| mark.eq_ignore_ascii_case(known))
        .then(|| timestamp(time.trim_matches(is_frame)))?
}

fn of_number(number: i64) -> Option<Timestamp> {
    if number >= MILLISECONDS {
        Timestamp::from_millisecond(number).ok()
    } else {
        Timestamp::from_second(number).ok()
    }
}

fn in_utc(time: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_as_publishers_write_them() {
        for text in [
            "2026-08-22T01:00:29Z",
            "2026-08-22T03:00:29+02:00",
            "2026-08-22T01:00:29",
            "2026-08-22T01:00:29.000000",
            "2026-08-22 01:00:29",
            "2026-08-22 01:00:29 UTC",
            "Sat, 22 Aug 2026 03:00:29 +0200",
            "Sat, 22 Aug 2026 01:00:29 GMT",
            "Sat Aug 22 01:00:29 UTC 2026",
            "Sat Aug 22 01:00:29 2026 UTC",
            "Sat Aug 22 01:00:29 2026",
            "2026-08-22-01-00-29",
            " 1787360429 ",
            "1787360429000",
        ] {
            let time = timestamp(text).map(|time| time.to_string());
            assert_eq!(time.as_deref(), Some("2026-08-22T01:00:29Z"), "{text}");
        }
        let midnight = timestamp("2026-08-22").unwrap();
        assert_eq!(midnight.to_string(), "2026-08-22T00:00:00Z");
        assert_eq!(timestamp("2026/08/22"), Some(midnight));
        for text in ["", "yesterday", "2026-13-01", "1.5", "99999999999999999999"] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn comments_say_when_a_list_was_made() {
        for comment in [
            "# Last update: Sat, 22 Aug 2026 03:00:29 +0200",
            "# Last updated: 2026-08-22 01:00:29 UTC                  #",
            "; Last-Modified: Sat, 22 Aug 2026 01:00:29 GMT",
            "#    updated: Sat Aug 22 01:00:29 2026 UTC",
            "# This File Date  : Sat Aug 22 01:00:29 UTC 2026\r",
        ] {
            let made = of_comment(comment.as_bytes()).map(|time| time.to_string());
            assert_eq!(made.as_deref(), Some("2026-08-22T01:00:29Z"), "{comment}");
        }
        for comment in [
            "# Source File Date: Sat Aug 22 01:00:29 UTC 2026",
            "; Expires: Sat, 22 Aug 2026 01:00:29 GMT",
            "# 2001:db8::1",
        ] {
            assert_eq!(of_comment(comment.as_bytes()), None, "{comment}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[0-9:TZ +-]{0,30}") {
            let made = of_comment(format!("# updated: {text}").as_bytes());
            prop_assert!(made.is_none() || made == timestamp(text.trim_matches(['#', ';', '/', ' '])));
        }
    }
}
