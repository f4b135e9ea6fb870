//! Selections: the entries of a list that meet conditions on addresses, in order, from any place on.
//!
//! Nothing is scanned: entries are sorted, so those inside of a network stand together, and those
//! around one are few and known to each other.

use super::{
    column::{Column, Entry},
    family::Family,
    list::{List, Score},
};
use crate::rules::prefix::Prefix;

/// Conditions on the addresses of entries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Selection {
    /// IPv4 is among them.
    pub v4: bool,
    /// IPv6 is among them.
    pub v6: bool,
    /// Only entries all of whose addresses are in this.
    pub within: Option<Prefix>,
    /// Only entries that overlap this.
    pub overlaps: Option<Prefix>,
}

impl List {
    /// The selected entries behind `after`, which need not be an entry (any more), in the order of
    /// [`List::entries`].
    pub fn select(
        &self,
        selection: Selection,
        after: Option<Prefix>,
    ) -> impl Iterator<Item = (Prefix, Score)> {
        // Behind a prefix of IPv6 nothing of IPv4 follows.
        let v4 = selection.v4 && after.is_none_or(Prefix::is_v4);
        let v4 = v4.then(|| self.v4().select(selection, after));
        let v6 = selection.v6.then(|| {
            self.v6()
                .select(selection, after.filter(|after| !after.is_v4()))
        });
        let v4 = v4.into_iter().flatten().map(Entry::prefix);
        v4.chain(v6.into_iter().flatten().map(Entry::prefix))
    }
}

impl<A: Family> Column<A> {
    fn select(
        &self,
        selection: Selection,
        after: Option<Prefix>,
    ) -> impl Iterator<Item = Entry<A>> {
        let mut around = Vec::new();
        let mut places = 0..self.len();
        if let Some(within) = selection.within {
            let inside = A::of(within).map(|(first, bits)| self.in_all_of(first, bits));
            places = inside.unwrap_or_default();
        }
        if let Some(overlaps) = selection.overlaps {
            let inside = A::of(overlaps).map(|(first, bits)| {
                around.extend(self.covering(first, bits));
                self.within(first, bits)
            });
            let inside = inside.unwrap_or_default();
            places = places.start.max(inside.start)..places.end.min(inside.end);
        }
        // Found narrowest first; and all of them stand before what is inside.
        around.reverse();
        if let Some(within) = selection.within {
            around.retain(|entry| within.covers(entry.prefix().0));
        }
        if let Some((first, bits)) = after.and_then(A::of) {
            around.retain(|entry| (entry.first, entry.bits) > (first, bits));
            places.start = places.start.max(self.after(first, bits));
        }
        places.start = places.start.min(places.end);
        around.into_iter().chain(self.entries(places))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{ListId, ListKind};

    const ALL: Selection = Selection {
        v4: true,
        v6: true,
        within: None,
        overlaps: None,
    };

    fn list(prefixes: &[Prefix]) -> List {
        let entries = prefixes.iter().map(|prefix| (*prefix, Score::MAX));
        List::new(ListId(1), "test".into(), ListKind::Allow, entries)
    }

    fn selected(list: &List, selection: &Selection, after: Option<Prefix>) -> Vec<Prefix> {
        let entries = list.select(*selection, after);
        entries.map(|(prefix, _)| prefix).collect()
    }

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_within_and_what_overlaps_is_told_apart() {
        let list = list(&prefixes(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.0/24",
            "10.1.2.3",
            "10.2.0.0/16",
            "::/0",
        ]));
        let net = |text: &str| Some(text.parse().unwrap());
        let within = Selection {
            within: net("10.1.0.0/16"),
            ..ALL
        };
        let three = ["10.1.0.0/16", "10.1.2.0/24", "10.1.2.3"];
        assert_eq!(selected(&list, &within, None), prefixes(&three));
        let overlaps = Selection {
            overlaps: net("10.1.2.0/24"),
            ..ALL
        };
        let four = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3"];
        assert_eq!(selected(&list, &overlaps, None), prefixes(&four));
        let everything_of_v6 = Selection {
            overlaps: net("2001:db8::1"),
            ..ALL
        };
        assert_eq!(
            selected(&list, &everything_of_v6, None),
            prefixes(&["::/0"])
        );
    }

    /// Few addresses, so that prefixes meet and nest.
    fn any_prefix() -> impl Strategy<Value = Prefix> {
        let v4 = (0..=255u32, 24..=32u8).prop_map(|(host, bits)| {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + host);
            Prefix::host(address.into()).shortened(96 + bits)
        });
        let v6 = (0..=255u128, 120..=128u8).prop_map(|(host, bits)| {
            let address = std::net::Ipv6Addr::from((0x2001_0db8 << 96) + host);
            Prefix::host(address.into()).shortened(bits)
        });
        prop_oneof![3 => v4, 1 => v6, 1 => Just("::/0".parse().unwrap())]
    }

    proptest! {
        #[test]
        fn a_selection_is_what_looking_at_every_entry_finds(
            entries in proptest::collection::vec(any_prefix(), 0..60),
            (v4, v6) in any::<(bool, bool)>(),
            within in proptest::option::of(any_prefix()),
            overlaps in proptest::option::of(any_prefix()),
            after in proptest::option::of(any_prefix()),
        ) {
            let list = list(&entries);
            let order = |prefix: Prefix| (!prefix.is_v4(), prefix);
            let expected: Vec<Prefix> = list
                .entries()
                .map(|(prefix, _)| prefix)
                .filter(|prefix| if prefix.is_v4() { v4 } else { v6 })
                .filter(|prefix| within.is_none_or(|within| within.covers(*prefix)))
                .filter(|prefix| overlaps.is_none_or(|overlaps| {
                    overlaps.covers(*prefix) || prefix.covers(overlaps)
                }))
                .filter(|prefix| after.is_none_or(|after| order(*prefix) > order(after)))
                .collect();
            let selection = Selection { v4, v6, within, overlaps };
            prop_assert_eq!(selected(&list, &selection, after), expected);
        }
    }
}
