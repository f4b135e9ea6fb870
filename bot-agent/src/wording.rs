//! Numbers with their nouns, the same everywhere.

/// A whole number with its thousands apart.
pub fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same for what is counted in memory.
pub fn grouped_of(number: usize) -> String {
    grouped(u128::try_from(number).unwrap_or(u128::MAX))
}

/// `1 packet`, `0 packets`, `2,000 addresses`.
pub fn many(count: u128, noun: &str) -> String {
    let (stem, ending) = match (count, noun.strip_suffix('y')) {
        (1, _) => (noun, ""),
        (_, Some(stem)) => (stem, "ies"),
        (_, None) if noun.ends_with(['s', 'x']) => (noun, "es"),
        (_, None) => (noun, "s"),
    };
    format!("{} {stem}{ending}", grouped(count))
}

/// The same for what is counted in memory.
pub fn many_of(count: usize, noun: &str) -> String {
    many(u128::try_from(count).unwrap_or(u128::MAX), noun)
}

/// The verb's form: `stays` for one, `stay` for all others.
pub fn verb(count: u128, one: &'static str, others: &'static str) -> &'static str {
    if count == 1 { one } else { others }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (16_777_216, "16,777,216"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(many(1, "packet"), "1 packet");
        assert_eq!(many(0, "packet"), "0 packets");
        assert_eq!(many(1, "address"), "1 address");
        assert_eq!(many(65_536, "address"), "65,536 addresses");
        assert_eq!(many(2, "entry"), "2 entries");
    }
}
