//! Reads MaxMind DB files: those of MaxMind (`GeoLite2-ASN`, `GeoLite2-Country`), and those of others
//! with the same or similar records.

use std::{collections::HashMap, fmt, net::IpAddr};

use maxminddb::{Reader, WithinOptions};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::{database::Pile, line::Fault, names, open::Tally, range::AsRange};
use crate::rules::subject::{Asn, Country};

/// Networks that are read of one file, those without a record included. A table of the whole
/// Internet has about a million; a damaged one may describe as many as there are addresses.
const MOST: u64 = 32_000_000;

/// What a record may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record<'a> {
    autonomous_system_number: Option<Number>,
    asn: Option<Number>,
    #[serde(borrow)]
    autonomous_system_organization: Option<&'a str>,
    as_name: Option<&'a str>,
    country_code: Option<Code>,
    country: Option<Code>,
    registered_country: Option<Code>,
}

/// An ASN: a number, or a text like `AS64500`. Nothing for 0 and what is none.
#[derive(Clone, Copy, Debug)]
struct Number(Option<Asn>);

/// A country: two letters, or a map with two letters as its `iso_code`. Nothing for a longer name.
#[derive(Clone, Copy, Debug)]
struct Code(Option<Country>);

/// What a record means.
#[derive(Clone, Copy, Debug, Default)]
struct Meaning {
    asn: Option<Asn>,
    country: Option<Country>,
}

/// Adds what the file says to `pile`. The error says why it is no MaxMind DB.
pub(super) fn read(
    bytes: &[u8],
    pile: &mut Pile,
    names: &mut names::Builder,
) -> Result<Tally, String> {
    let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
    let mut tally = Tally::default();
    // Many networks share a record.
    let mut known: HashMap<usize, Result<Meaning, ()>> = HashMap::new();
    // Those without a record are visited too, so that they count.
    let options = WithinOptions::default().include_networks_without_data();
    let networks = reader
        .networks(options)
        .map_err(|error| error.to_string())?;
    for (network, number) in networks.zip(1..) {
        if number > MOST {
            return Err(format!("it describes more than {MOST} networks"));
        }
        // What is wrong with the tree is wrong with all that comes after.
        let network = network.map_err(|error| error.to_string())?;
        let Some(offset) = network.offset() else {
            continue;
        };
        let meaning = *known.entry(offset).or_insert_with(|| {
            let record: Record<'_> = network.decode().map_err(|_| ())?.unwrap_or_default();
            Ok(record.meaning(names))
        });
        let place = network.network().map_err(|error| error.to_string())?;
        match meaning {
            Ok(Meaning {
                asn: None,
                country: None,
            }) => tally.unrouted += 1,
            Ok(meaning) => {
                meaning.add((place.ip(), place.prefix()), pile);
                tally.entries += 1;
            }
            Err(()) => tally.bad(number, Fault::Record(place.to_string())),
        }
    }
    Ok(tally)
}

impl Record<'_> {
    fn meaning(&self, names: &mut names::Builder) -> Meaning {
        let number = |field: &Option<Number>| field.and_then(|number| number.0);
        let code = |field: &Option<Code>| field.and_then(|code| code.0);
        let asn = number(&self.autonomous_system_number).or(number(&self.asn));
        let name = self.autonomous_system_organization.or(self.as_name);
        if let (Some(asn), Some(name)) = (asn, name) {
            names.add(asn, name);
        }
        let country = code(&self.country_code).or(code(&self.country));
        Meaning {
            asn,
            country: country.or(code(&self.registered_country)),
        }
    }
}

impl Meaning {
    fn add(self, (ip, bits): (IpAddr, u8), pile: &mut Pile) {
        let Self { asn, country } = self;
        match ip {
            IpAddr::V4(ip) => {
                let first = u32::from(ip);
                let rest = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
                pile.v4.push(AsRange {
                    first,
                    last: first | rest,
                    asn,
                    country,
                });
            }
            IpAddr::V6(ip) => {
                let first = u128::from(ip);
                let rest = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
                pile.v6.push(AsRange {
                    first,
                    last: first | rest,
                    asn,
                    country,
                });
            }
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl Visitor<'_> for Read {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an AS number")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(u32::try_from(number).ok().and_then(Asn::new)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                let bare = text.parse().ok().and_then(Asn::new);
                Ok(Number(bare.or_else(|| text.parse().ok())))
            }
        }

        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Code;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a country")
            }

            fn visit_str<E>(self, text: &str) -> Result<Code, E> {
                Ok(Code(text.parse().ok()))
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Code, M::Error> {
                let mut country = None;
                while let Some(key) = map.next_key::<&str>()? {
                    if key == "iso_code" {
                        country = map.next_value::<&str>()?.parse().ok();
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Code(country))
            }
        }

        deserializer.deserialize_any(Read)
    }
}
