//! Durations as people write them: `90s`, `4h`, `7d`, `2w`, `1h30m`.

use std::time::Duration;

use super::prefix::quoted;

/// The longest duration there is: 10 years of 365 days. Longer wishes are `--permanent`.
pub const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// Why a text is no duration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DurationError {
    /// Not numbers with units.
    #[error("`{0}` is not a duration (like 90s, 30m, 4h, 7d, 2w or 1h30m)")]
    Syntax(String),
    /// A number without a unit.
    #[error("`{0}` has no unit: write {0}s, {0}m, {0}h, {0}d or {0}w")]
    Unit(String),
    /// Nothing.
    #[error("`{0}` is no time at all; the shortest duration is 1s")]
    Zero(String),
    /// Beyond [`LONGEST`].
    #[error("`{0}` is longer than 10 years (3650d)")]
    TooLong(String),
}

const UNITS: [(char, u64); 5] = [
    ('w', 7 * 86_400),
    ('d', 86_400),
    ('h', 3_600),
    ('m', 60),
    ('s', 1),
];

/// The duration that `text` names: one or more numbers with a unit of `w`, `d`, `h`, `m` or `s`
/// each, larger units first, no unit twice. From one second to [`LONGEST`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        return Err(DurationError::Unit(quoted(text)));
    }
    let syntax = || DurationError::Syntax(quoted(text));
    let too_long = || DurationError::TooLong(quoted(text));
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut seconds = 0u64;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(syntax)?;
        let (number, unit) = rest.split_at(digits);
        let mut unit = unit.chars();
        let letter = unit.next().ok_or_else(syntax)?;
        // Each unit is searched behind the last one, which keeps them in order and apart.
        let (_, size) = units.find(|(name, _)| *name == letter).ok_or_else(syntax)?;
        if number.is_empty() {
            return Err(syntax());
        }
        // Only digits, so whatever fails to parse is too large.
        let number: u64 = number.parse().map_err(|_| too_long())?;
        seconds = number
            .checked_mul(*size)
            .and_then(|part| part.checked_add(seconds))
            .ok_or_else(too_long)?;
        rest = unit.as_str();
    }
    if text.is_empty() {
        return Err(syntax());
    }
    match Duration::from_secs(seconds) {
        Duration::ZERO => Err(DurationError::Zero(quoted(text))),
        duration if duration > LONGEST => Err(DurationError::TooLong(quoted(text))),
        duration => Ok(duration),
    }
}

/// The text that [`parse`] reads as `duration`, parts of a second cut off: `1h30m`, `0s`.
pub fn format(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut text = String::new();
    for (unit, size) in UNITS.iter().skip(1) {
        if seconds >= *size {
            text.push_str(&(seconds / size).to_string());
            text.push(*unit);
            seconds %= size;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_add_up() {
        for (text, seconds) in [
            ("1s", 1),
            ("90s", 90),
            ("30m", 1_800),
            ("4h", 14_400),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1h30m", 5_400),
            (" 1w2d3h4m5s\r\n", 788_645),
            ("3650d", 315_360_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "h", "4x", "-4h", "4 h", "1.5h", "1m1h", "1h1h", "1hh", "4H", "1h30", "\u{663}h",
        ] {
            assert_eq!(
                parse(text),
                Err(DurationError::Syntax(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!(
            parse("90").unwrap_err().to_string(),
            "`90` has no unit: write 90s, 90m, 90h, 90d or 90w"
        );
        assert_eq!(
            parse("0h").unwrap_err().to_string(),
            "`0h` is no time at all; the shortest duration is 1s"
        );
    }

    #[test]
    fn what_overflows_is_refused() {
        for text in [
            "3651d",
            "18446744073709551615w",
            "99999999999999999999s",
            "18446744073709551615s1s",
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                matches!(error, DurationError::TooLong(_) | DurationError::Syntax(_)),
                "{text}: {error}"
            );
        }
        assert_eq!(
            parse("99999999999999999999s").unwrap_err().to_string(),
            "`99999999999999999999s` is longer than 10 years (3650d)"
        );
    }

    proptest! {
        #[test]
        fn texts_come_back(seconds in 1u64..=315_360_000) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn nothing_panics(text in "\\PC*|[0-9wdhms]{0,40}") {
            if let Ok(duration) = parse(&text) {
                prop_assert!(duration <= LONGEST && !duration.is_zero());
            }
        }
    }
}
