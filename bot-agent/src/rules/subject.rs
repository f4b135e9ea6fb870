//! Subjects: what a rule is about. Addresses by prefix, or everything that a network operator
//! announces, or everything that is registered in a country.
//!
//! Prefixes say by themselves which addresses they mean. ASNs and countries do so only through a
//! database ([`crate::asn`]), which changes without the rule changing.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

use super::{
    prefix::{ParseError, Prefix, quoted},
    rule::Scope,
};

/// What a rule is about. Orders prefixes first, each before all that it covers.
///
/// As a text, and in JSON lists: `198.51.100.0/24`, `AS64500`, `country:DE`; each is a
/// [`super::target::Target`] too. In JSON objects [`mod@field`] makes one field of it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Subject {
    /// These addresses.
    Prefix(Prefix),
    /// The addresses that an autonomous system announces.
    Asn(Asn),
    /// The addresses that the database has in a country.
    Country(Country),
}

/// Number of an autonomous system, 1 to 4,294,967,295 (RFC 6793). 0 is nobody's (RFC 7607).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Asn(u32);

/// Two upper-case letters of ISO 3166-1, or what a database uses in their place (`EU`).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Country([u8; 2]);

/// What stands before a country in a target.
const COUNTRY: &str = "country:";

impl Subject {
    /// The prefix, if it is one.
    pub fn prefix(self) -> Option<Prefix> {
        match self {
            Self::Prefix(prefix) => Some(prefix),
            Self::Asn(_) | Self::Country(_) => None,
        }
    }

    /// Whether a database has to say which addresses it means.
    pub fn needs_database(self) -> bool {
        self.prefix().is_none()
    }

    /// What a block of it covers unless somebody says otherwise. A whole network also holds what
    /// this host asks things of (resolvers, mirrors, interfaces of others), whose answers must come in.
    pub fn default_scope(self) -> Scope {
        match self {
            Self::Prefix(_) => Scope::All,
            Self::Asn(_) | Self::Country(_) => Scope::Services,
        }
    }
}

impl Asn {
    /// The least there is.
    pub const MIN: Self = Self(1);
    /// The greatest there is.
    pub const MAX: Self = Self(u32::MAX);

    /// The ASN of a number; nothing for 0.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 {
            None
        } else {
            Some(Self(number))
        }
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl Country {
    /// The country of two letters of either case; nothing for anything else.
    pub const fn new(letters: [u8; 2]) -> Option<Self> {
        let [a, b] = letters;
        if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() {
            Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
        } else {
            None
        }
    }

    /// The two letters.
    pub const fn letters(self) -> [u8; 2] {
        self.0
    }
}

impl From<Prefix> for Subject {
    fn from(prefix: Prefix) -> Self {
        Self::Prefix(prefix)
    }
}

impl From<Asn> for Subject {
    fn from(asn: Asn) -> Self {
        Self::Asn(asn)
    }
}

impl From<Country> for Subject {
    fn from(country: Country) -> Self {
        Self::Country(country)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Asn(asn) => asn.fmt(f),
            Self::Country(country) => write!(f, "{COUNTRY}{country}"),
        }
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.0)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = self.0.map(char::from);
        write!(f, "{a}{b}")
    }
}

impl FromStr for Subject {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(named) = named(text) {
            return named;
        }
        text.parse().map(Self::Prefix)
    }
}

/// The ASN or country that `text` names, or what is wrong with it; nothing when it looks like
/// neither.
pub(super) fn named(text: &str) -> Option<Result<Subject, ParseError>> {
    let start = text.get(..2).unwrap_or_default();
    let digits = text.get(2..).unwrap_or_default();
    if start.eq_ignore_ascii_case("as") && digits.chars().next()?.is_ascii_digit() {
        return Some(text.parse().map(Subject::Asn));
    }
    let start = text.get(..COUNTRY.len()).unwrap_or_default();
    let letters = text.get(COUNTRY.len()..).unwrap_or_default();
    start
        .eq_ignore_ascii_case(COUNTRY)
        .then(|| letters.parse().map(Subject::Country))
}

impl FromStr for Asn {
    type Err = ParseError;

    /// `AS64500` in letters of either case.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = text
            .get(..2)
            .filter(|start| start.eq_ignore_ascii_case("as"))
            .and_then(|_| text.get(2..))
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok());
        number
            .and_then(Self::new)
            .ok_or_else(|| ParseError::Asn(quoted(text)))
    }
}

impl FromStr for Country {
    type Err = ParseError;

    /// Two letters of either case.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let letters: Result<[u8; 2], _> = text.as_bytes().try_into();
        letters
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| ParseError::Country(quoted(text)))
    }
}

/// Reads a text by `FromStr`, without a copy of it.
pub(super) struct Text<T>(pub(super) PhantomData<T>);

impl<T: FromStr<Err = ParseError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Serializes by `Display` and reads by `FromStr`.
macro_rules! as_text {
    ($($name:ty),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }
    )+};
}
as_text!(Subject, Asn, Country);

/// For `#[serde(flatten, with = "...")]`: the subject as one field of the object around it,
/// `"prefix"`, `"asn"` or `"country"`. Rules stored before there were ASNs read the same.
pub mod field {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Asn, Country, Prefix, Subject};

    #[derive(Deserialize, Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Field {
        Prefix(Prefix),
        Asn(Asn),
        Country(Country),
    }

    /// Writes the field.
    pub fn serialize<S: Serializer>(subject: &Subject, serializer: S) -> Result<S::Ok, S::Error> {
        match *subject {
            Subject::Prefix(prefix) => Field::Prefix(prefix),
            Subject::Asn(asn) => Field::Asn(asn),
            Subject::Country(country) => Field::Country(country),
        }
        .serialize(serializer)
    }

    /// Reads the field.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Subject, D::Error> {
        Ok(match Field::deserialize(deserializer)? {
            Field::Prefix(prefix) => Subject::Prefix(prefix),
            Field::Asn(asn) => Subject::Asn(asn),
            Field::Country(country) => Subject::Country(country),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subject(text: &str) -> Subject {
        text.parse().unwrap()
    }

    fn refusal(text: &str) -> String {
        text.parse::<Subject>().unwrap_err().to_string()
    }

    #[test]
    fn texts_come_back() {
        for text in [
            "198.51.100.0/24",
            "2001:db8::1",
            "AS1",
            "AS64500",
            "AS4294967295",
            "country:DE",
        ] {
            assert_eq!(subject(text).to_string(), text);
        }
        assert_eq!(subject("as64500").to_string(), "AS64500");
        assert_eq!(subject("Country:de").to_string(), "country:DE");
        assert_eq!(Country::new(*b"de").unwrap().to_string(), "DE");
    }

    #[test]
    fn what_is_no_number_of_an_as_is_named() {
        for text in [
            "AS0",
            "AS4294967296",
            "AS99999999999999999999",
            "AS12x",
            "AS1.10",
        ] {
            assert_eq!(
                refusal(text),
                format!("`{text}` is no AS number (AS1 to AS4294967295, like AS64500)")
            );
        }
    }

    #[test]
    fn what_is_no_country_is_named() {
        for text in ["country:", "country:DEU", "country:D1", "country:ÄÖ"] {
            assert!(
                refusal(text).contains("is no country code (two letters of ISO 3166"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_word_that_only_begins_like_one_is_no_address_either() {
        for text in ["AS", "ASx", "DE", "countr", "64500"] {
            assert!(refusal(text).contains("is neither an address"), "{text}");
        }
    }

    #[test]
    fn prefixes_come_first_and_before_what_they_cover() {
        let mut subjects = ["country:AA", "AS1", "10.0.0.0/8", "::/0", "10.0.0.0"].map(subject);
        subjects.sort_unstable();
        let texts = subjects.map(|subject| subject.to_string());
        assert_eq!(
            texts,
            ["::/0", "10.0.0.0/8", "10.0.0.0", "AS1", "country:AA"]
        );
    }

    #[test]
    fn each_kind_is_a_field_of_its_own() {
        #[derive(Debug, Deserialize, PartialEq, Serialize)]
        struct Around {
            rule: u128,
            #[serde(flatten, with = "field")]
            subject: Subject,
        }
        for (text, json) in [
            ("10.0.0.0/8", r#"{"rule":1,"prefix":"10.0.0.0/8"}"#),
            ("AS64500", r#"{"rule":1,"asn":"AS64500"}"#),
            ("country:DE", r#"{"rule":1,"country":"DE"}"#),
        ] {
            let around = Around {
                rule: 1,
                subject: subject(text),
            };
            assert_eq!(serde_json::to_string(&around).unwrap(), json);
            assert_eq!(serde_json::from_str::<Around>(json).unwrap(), around);
        }
        assert!(serde_json::from_str::<Around>(r#"{"rule":1}"#).is_err());
        assert!(serde_json::from_str::<Around>(r#"{"rule":1,"asn":"AS0"}"#).is_err());
    }

    proptest! {
        #[test]
        fn every_asn_comes_back(number in 1u32..) {
            let asn = Asn::new(number).unwrap();
            prop_assert_eq!(asn.to_string().parse(), Ok(asn));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "\\PC{0,12}|[aA][sS][0-9]{0,12}|country:\\PC{0,3}") {
            if let Ok(subject) = text.parse::<Subject>() {
                prop_assert_eq!(subject.to_string().parse(), Ok(subject));
            }
        }
    }
}
