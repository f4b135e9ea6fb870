//! Front proxies that nobody declared: where most hellos come from one CDN.
//!
//! Behind a CDN every client has the CDN's addresses. Unless those are declared, a source's score,
//! limits and fingerprints are those of a crowd. The last hellos tell; so many are remembered.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    fmt,
    sync::Arc,
};

use bot_common::address::Address;

use crate::rules::prefix::Prefix;

/// Hellos that are remembered.
const HELLOS: usize = 1000;
/// With fewer nothing is said.
const ENOUGH: usize = 100;

/// Watches where hellos come from.
#[derive(Clone, Debug)]
pub struct FrontProxies {
    owners: Vec<Owner>,
    /// Whose a prefix is: an index into `owners`, or nobody's who has to be declared.
    prefixes: HashMap<Prefix, Option<usize>>,
    /// Lengths of the prefixes, the longest first.
    lengths: Vec<u8>,
    /// The last hellos, by owner.
    last: VecDeque<Option<usize>>,
}

/// Who has networks in front of others' servers.
#[derive(Clone, Debug)]
struct Owner {
    name: Arc<str>,
    hellos: usize,
}

/// What the operator should do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Advice {
    /// Whose networks most hellos come from.
    pub owner: Arc<str>,
    /// How many of the hellos, in percent.
    pub percent: usize,
    /// How many hellos were counted.
    pub hellos: usize,
}

impl FrontProxies {
    /// Watches for those who have these networks; what is `declared` is left out. Of networks inside
    /// one another the longer prefix counts.
    pub fn new(
        networks: impl IntoIterator<Item = (Prefix, Arc<str>)>,
        declared: impl IntoIterator<Item = Prefix>,
    ) -> Self {
        let declared: HashSet<Prefix> = declared.into_iter().collect();
        let wider = lengths(&declared);
        let mut owners: Vec<Owner> = Vec::new();
        let mut by_name: HashMap<Arc<str>, usize> = HashMap::new();
        let mut prefixes = HashMap::new();
        for (prefix, name) in networks {
            if covering(prefix, &wider).any(|wide| declared.contains(&wide)) {
                continue;
            }
            let owner = *by_name.entry(Arc::clone(&name)).or_insert_with(|| {
                owners.push(Owner { name, hellos: 0 });
                owners.len() - 1
            });
            prefixes.insert(prefix, Some(owner));
        }
        prefixes.extend(declared.into_iter().map(|prefix| (prefix, None)));
        Self {
            owners,
            lengths: lengths(prefixes.keys()),
            prefixes,
            last: VecDeque::with_capacity(HELLOS),
        }
    }

    /// A hello came from this source.
    pub fn hello(&mut self, source: Address) {
        if self.last.len() == HELLOS {
            let oldest = self.last.pop_front().flatten();
            if let Some(owner) = oldest.and_then(|index| self.owners.get_mut(index)) {
                owner.hellos = owner.hellos.saturating_sub(1);
            }
        }
        let owner = self.owner(source);
        if let Some(owner) = owner.and_then(|index| self.owners.get_mut(index)) {
            owner.hellos += 1;
        }
        self.last.push_back(owner);
    }

    /// What to do, if more than half of the last hellos come from one who is not declared.
    pub fn advice(&self) -> Option<Advice> {
        let hellos = self.last.len();
        let most = self.owners.iter().max_by_key(|owner| owner.hellos)?;
        let applies = hellos >= ENOUGH && most.hellos * 2 > hellos;
        applies.then(|| Advice {
            owner: Arc::clone(&most.name),
            percent: most.hellos * 100 / hellos,
            hellos,
        })
    }

    fn owner(&self, source: Address) -> Option<usize> {
        let mut wide = covering(Prefix::host(source.to_ip()), &self.lengths);
        wide.find_map(|prefix| self.prefixes.get(&prefix).copied())?
    }
}

/// The lengths of prefixes, each once, the longest first.
fn lengths<'a>(prefixes: impl IntoIterator<Item = &'a Prefix>) -> Vec<u8> {
    let lengths: BTreeSet<u8> = prefixes.into_iter().map(|prefix| prefix.bits()).collect();
    lengths.into_iter().rev().collect()
}

/// The prefixes of these lengths that cover one; itself among them if it has one of the lengths.
fn covering(prefix: Prefix, lengths: &[u8]) -> impl Iterator<Item = Prefix> {
    let lengths = lengths.iter().filter(move |bits| **bits <= prefix.bits());
    let wide = lengths.map(move |bits| prefix.shortened(*bits));
    wide.filter(move |wide| wide.covers(prefix))
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner,
            percent,
            hellos,
        } = self;
        write!(
            f,
            "{percent} % of the last {hellos} hellos come from {owner}, which is not declared as a \
             [[proxy]]: its addresses would be judged for what its clients do. Add a [[proxy]] with \
             its ranges, as `addresses` or `from` a list, to the configuration"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::target::Target;

    fn prefix(text: &str) -> Prefix {
        let target: Target = text.parse().unwrap();
        target.prefixes()[0]
    }

    fn networks() -> Vec<(Prefix, Arc<str>)> {
        [
            ("192.0.2.0/24", "One"),
            ("192.0.2.128/25", "Two"),
            ("2001:db8::/32", "One"),
            ("198.51.100.0/24", "Three"),
        ]
        .map(|(text, name)| (prefix(text), name.into()))
        .to_vec()
    }

    fn watching(declared: &[&str]) -> FrontProxies {
        FrontProxies::new(networks(), declared.iter().map(|text| prefix(text)))
    }

    fn hellos(proxies: &mut FrontProxies, source: &str, count: usize) {
        let source: std::net::IpAddr = source.parse().unwrap();
        (0..count).for_each(|_| proxies.hello(source.into()));
    }

    #[test]
    fn the_owner_of_more_than_half_is_named() {
        let mut proxies = watching(&[]);
        hellos(&mut proxies, "203.0.113.1", 280);
        hellos(&mut proxies, "192.0.2.1", 400);
        hellos(&mut proxies, "2001:db8::7", 320);
        assert_eq!(
            proxies.advice().unwrap().to_string(),
            "72 % of the last 1000 hellos come from One, which is not declared as a [[proxy]]: its \
             addresses would be judged for what its clients do. Add a [[proxy]] with its ranges, as \
             `addresses` or `from` a list, to the configuration"
        );
    }

    #[test]
    fn half_is_not_more_than_half_and_ninety_nine_are_not_enough() {
        let mut proxies = watching(&[]);
        hellos(&mut proxies, "192.0.2.1", 99);
        assert_eq!(proxies.advice(), None);
        hellos(&mut proxies, "192.0.2.1", 1);
        assert_eq!(proxies.advice().unwrap().percent, 100);
        hellos(&mut proxies, "203.0.113.1", 100);
        assert_eq!(proxies.advice(), None);
    }

    #[test]
    fn what_is_declared_is_no_news() {
        for declared in [
            &["192.0.2.0/24"][..],
            &["192.0.0.0/16"],
            &["192.0.2.1", "2001:db8::/32"],
        ] {
            let mut proxies = watching(declared);
            hellos(&mut proxies, "192.0.2.1", 500);
            assert_eq!(proxies.advice(), None, "{declared:?}");
        }
        let mut proxies = watching(&["192.0.2.0/24"]);
        hellos(&mut proxies, "192.0.2.1", 300);
        hellos(&mut proxies, "198.51.100.1", 700);
        assert_eq!(&*proxies.advice().unwrap().owner, "Three");
    }

    #[test]
    fn the_longer_prefix_counts() {
        let mut proxies = watching(&[]);
        hellos(&mut proxies, "192.0.2.200", 100);
        assert_eq!(&*proxies.advice().unwrap().owner, "Two");
    }

    #[test]
    fn old_hellos_are_forgotten() {
        let mut proxies = watching(&[]);
        hellos(&mut proxies, "192.0.2.1", 5000);
        hellos(&mut proxies, "203.0.113.1", 500);
        assert_eq!(proxies.advice(), None);
        hellos(&mut proxies, "192.0.2.1", 1);
        assert_eq!(proxies.last.len(), HELLOS);
    }

    proptest! {
        #[test]
        fn advice_is_what_counting_the_last_thousand_says(
            sources in prop::collection::vec((0..5_u8, 1..400_usize), 1..20),
        ) {
            let of = |kind: u8| match kind {
                0 => ("192.0.2.1", Some("One")),
                1 => ("192.0.2.129", Some("Two")),
                2 => ("2001:db8::1", Some("One")),
                3 => ("198.51.100.9", None),
                _ => ("203.0.113.1", None),
            };
            let mut proxies = watching(&["198.51.100.0/28"]);
            let mut all = Vec::new();
            for (kind, count) in sources {
                let (source, owner) = of(kind);
                hellos(&mut proxies, source, count);
                all.extend(std::iter::repeat_n(owner, count));
            }
            let last = all.split_off(all.len().saturating_sub(HELLOS));
            let share = |name| last.iter().filter(|owner| **owner == Some(name)).count();
            let major = ["One", "Two"].into_iter().find(|name| share(name) * 2 > last.len());
            let expected = major.filter(|_| last.len() >= ENOUGH);
            let advice = proxies.advice();
            prop_assert_eq!(advice.as_ref().map(|advice| &*advice.owner), expected);
            if let (Some(advice), Some(name)) = (advice, expected) {
                prop_assert_eq!(advice.percent, share(name) * 100 / last.len());
            }
        }
    }
}
