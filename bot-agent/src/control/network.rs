//! What the ASN database says, as answers show it; the same from the agent and without one.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::view::RuleView;
use crate::{
    asn::{AsInfo, Database, Reach},
    rules::{
        set::RuleSet,
        subject::{self, Asn, Country, Subject},
        time::Now,
    },
};

/// What is asked about: an address, an ASN or a country.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// Who has it?
    Address(IpAddr),
    /// What does it have?
    Network(Subject),
}

/// What is known about an address.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AddressFacts {
    /// The address.
    pub address: IpAddr,
    /// Who has it; nothing: the database does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
}

/// What is known about an ASN or a country.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NetworkFacts {
    /// What it has.
    pub network: NetworkView,
    /// Rules about it; nothing: only the agent knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<RuleView>>,
}

/// Who has an address, by the ASN database.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Announced {
    /// The first address of the range it lies in.
    pub first: IpAddr,
    /// The last address of that range.
    pub last: IpAddr,
    /// Who announces it; nothing: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<Asn>,
    /// The name of that ASN; may be empty.
    pub name: String,
    /// The country; nothing: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
}

/// An ASN or a country, and what the ASN database has of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NetworkView {
    /// A field `asn` or `country`.
    #[serde(flatten, with = "subject::field")]
    pub subject: Subject,
    /// The name of an ASN; empty where none is known.
    pub name: String,
    /// The fewest IPv4 prefixes that cover it.
    pub prefixes_v4: u64,
    /// The fewest IPv6 prefixes that cover it.
    pub prefixes_v6: u64,
    /// IPv4 addresses.
    pub addresses_v4: u128,
    /// IPv6 addresses.
    pub addresses_v6: u128,
}

/// The ASN database.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DatabaseView {
    /// IPv4 ranges.
    pub ranges_v4: usize,
    /// IPv6 ranges.
    pub ranges_v6: usize,
    /// Its files, in the order in which they are believed.
    pub files: Vec<FileView>,
}

/// A file of the ASN database.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FileView {
    /// The file.
    pub path: String,
    /// What it is: `csv`, `tsv` or `mmdb`.
    pub format: String,
    /// Ranges in it.
    pub ranges: u64,
    /// Lines or records that cannot be read.
    pub unreadable: u64,
    /// The first of them; empty when there is none.
    pub complaint: String,
}

impl DatabaseView {
    /// Shows `database`.
    pub fn of(database: &Database) -> Self {
        let files = database.sources().iter().map(|source| FileView {
            path: source.path.display().to_string(),
            format: source.format.name().into(),
            ranges: source.tally.entries,
            unreadable: source.tally.bad,
            complaint: source.tally.complaint(),
        });
        Self {
            ranges_v4: database.ranges_v4().len(),
            ranges_v6: database.ranges_v6().len(),
            files: files.collect(),
        }
    }
}

impl AddressFacts {
    /// What `database` knows.
    pub fn of(address: IpAddr, database: &Database) -> Self {
        Self {
            address,
            announced: database.lookup(address.into()).map(Announced::from),
        }
    }
}

impl NetworkFacts {
    /// What `database` and `rules` know.
    pub fn of(subject: Subject, database: &Database, rules: Option<&RuleSet>, now: Now) -> Self {
        let about = |rules: &RuleSet| {
            let live = rules.about(subject).filter(|rule| rule.is_live(now));
            live.map(|rule| RuleView::of(rule, now)).collect()
        };
        Self {
            network: NetworkView::of(subject, database),
            rules: rules.map(about),
        }
    }
}

impl NetworkView {
    /// What `database` has.
    pub fn of(subject: Subject, database: &Database) -> Self {
        let extent = database.of(subject).unwrap_or_default();
        Self::with(subject, database, extent.reach())
    }

    /// The same, of what has been counted already.
    pub fn with(subject: Subject, database: &Database, reach: Reach) -> Self {
        let name = match subject {
            Subject::Asn(asn) => database.name(asn).to_owned(),
            Subject::Prefix(_) | Subject::Country(_) => String::new(),
        };
        Self {
            subject,
            name,
            prefixes_v4: reach.prefixes_v4,
            prefixes_v6: reach.prefixes_v6,
            addresses_v4: reach.addresses_v4,
            addresses_v6: reach.addresses_v6,
        }
    }
}

impl From<AsInfo<'_>> for Announced {
    fn from(info: AsInfo<'_>) -> Self {
        Self {
            first: info.first,
            last: info.last,
            asn: info.asn,
            name: info.name.to_owned(),
            country: info.country,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Network(subject) => subject.fmt(f),
        }
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        match text.parse() {
            Ok(subject @ (Subject::Asn(_) | Subject::Country(_))) => Ok(Self::Network(subject)),
            Ok(Subject::Prefix(_)) => Err(format!("{text} is more than one address")),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_have_their_documented_form() {
        let facts = NetworkFacts {
            network: NetworkView {
                subject: "AS64500".parse().unwrap(),
                name: "Example".into(),
                prefixes_v4: 3,
                prefixes_v6: 1,
                addresses_v4: 131,
                addresses_v6: 1 << 112,
            },
            rules: None,
        };
        let line = r#"{"network":{"asn":"AS64500","name":"Example","prefixes_v4":3,"prefixes_v6":1,"addresses_v4":131,"addresses_v6":5192296858534827628530496329220096}}"#;
        assert_eq!(serde_json::to_string(&facts).unwrap(), line);
        assert_eq!(serde_json::from_str::<NetworkFacts>(line).unwrap(), facts);
    }

    #[test]
    fn what_is_asked_about_is_one_thing() {
        let wanted = |text: &str| text.parse::<Wanted>();
        assert_eq!(
            wanted("::ffff:192.0.2.1"),
            Ok(Wanted::Address("192.0.2.1".parse().unwrap()))
        );
        for text in ["AS64500", "country:DE"] {
            assert_eq!(wanted(text), Ok(Wanted::Network(text.parse().unwrap())));
        }
        assert!(wanted("10.0.0.0/8").unwrap_err().contains("more than one"));
        assert!(wanted("AS0").is_err() && wanted("x").is_err());
    }
}
