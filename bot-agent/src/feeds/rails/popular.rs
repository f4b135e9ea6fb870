//! The popular-network guard's own table: networks that so many people share that no feed can know
//! who of them is meant.
//!
//! Published by those whom they belong to, and stable for years. Whatever changes more often (relays,
//! carriers' NAT, other CDNs) comes from feeds with the role `guard`.

use serde::Serialize;

use crate::rules::prefix::Prefix;

/// A network of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Popular {
    /// The addresses.
    pub prefix: Prefix,
    /// Whose they are.
    pub who: &'static str,
    /// What they are used for.
    pub kind: Kind,
}

/// What a popular network is used for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Public DNS resolvers.
    Resolver,
    /// Proxies before many sites, and ways out for many people.
    Cdn,
    /// Search engines.
    Crawler,
}

const ROWS: &str = include_str!("popular.csv");

/// The table. Some networks are inside of others.
pub fn popular() -> impl Iterator<Item = Popular> {
    ROWS.lines().skip(1).filter_map(row)
}

fn row(line: &'static str) -> Option<Popular> {
    let mut fields = line.split(',');
    Some(Popular {
        prefix: fields.next()?.parse().ok()?,
        who: fields.next()?,
        kind: match fields.next()? {
            "resolver" => Kind::Resolver,
            "cdn" => Kind::Cdn,
            "crawler" => Kind::Crawler,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::feeds::rails::reserved;

    #[test]
    fn every_row_is_read_and_is_there_once() {
        let prefixes: HashSet<Prefix> = popular().map(|row| row.prefix).collect();
        assert_eq!(prefixes.len(), ROWS.lines().count() - 1);
    }

    #[test]
    fn no_row_is_wider_than_a_feed_may_be_or_reserved() {
        for row in popular() {
            assert!(!row.prefix.is_too_wide(), "{row:?}");
            let meets = |other: Prefix| other.covers(row.prefix) || row.prefix.covers(other);
            assert!(
                !reserved().any(|reserved| meets(reserved.prefix)),
                "{row:?}"
            );
        }
    }

    #[test]
    fn who_answers_and_crawls_for_everybody_is_guarded() {
        for (address, kind) in [
            ("8.8.8.8", Kind::Resolver),
            ("1.1.1.1", Kind::Resolver),
            ("2620:fe::fe", Kind::Resolver),
            ("2a10:50c0::ad1:ff", Kind::Resolver),
            ("104.27.1.1", Kind::Cdn),
            ("151.101.1.1", Kind::Cdn),
            ("66.249.66.1", Kind::Crawler),
        ] {
            let ip: std::net::IpAddr = address.parse().unwrap();
            let found = popular().find(|row| row.prefix.contains(ip.into()));
            assert_eq!(found.map(|row| row.kind), Some(kind), "{address}");
        }
    }
}
