//! `Retry-After`: how long a server wants to be left alone.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

/// The wait that a header field asks for, in seconds or as a date. A date counts from `date`, the
/// server's own clock, where it sent that.
pub(super) fn wait(field: &str, date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let field = field.trim();
    if !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only digits, so whatever fails to parse is too large.
        return Some(Duration::from_secs(field.parse().unwrap_or(u64::MAX)));
    }
    let until = timestamp(field)?;
    let from = date.and_then(timestamp).unwrap_or(now);
    Some(Duration::try_from(until.duration_since(from)).unwrap_or_default())
}

/// A date of HTTP: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(field: &str, date: Option<&str>) -> Option<u64> {
        let now = "1994-11-06T08:00:00Z".parse().unwrap();
        wait(field, date, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(seconds(" 120 ", None), Some(120));
        assert_eq!(seconds("99999999999999999999999", None), Some(u64::MAX));
        assert_eq!(seconds(date, None), Some(49 * 60 + 37));
        assert_eq!(
            seconds(date, Some("Sun, 06 Nov 1994 08:49:30 GMT")),
            Some(7)
        );
        assert_eq!(seconds(date, Some("nonsense")), Some(49 * 60 + 37));
        assert_eq!(seconds("Sun, 06 Nov 1994 07:00:00 GMT", None), Some(0));
        for nonsense in ["", "soon", "-5", "1.5", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(seconds(nonsense, None), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(field: String, date: String) {
            let wait = seconds(&field, Some(&date));
            prop_assert!(wait.is_none() || field.trim().parse::<u64>().is_ok());
        }

        #[test]
        fn any_number_of_seconds_is_one(number: u64) {
            prop_assert_eq!(seconds(&number.to_string(), None), Some(number));
        }
    }
}
