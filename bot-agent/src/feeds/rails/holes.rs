//! Holes: prefixes that are subtracted from others, exactly.

use crate::{feeds::span::Span, rules::prefix::Prefix};

/// Addresses that are taken out, each family sorted and disjoint.
#[derive(Debug)]
pub(super) struct Holes {
    v4: Vec<Span>,
    v6: Vec<Span>,
}

/// What is left of a prefix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Left {
    /// All of it.
    All,
    /// Nothing.
    Nothing,
    /// These, in order; the fewest that are exactly what is left.
    Parts(Vec<Prefix>),
}

impl Holes {
    /// The addresses of any of these.
    pub(super) fn new(prefixes: impl IntoIterator<Item = Prefix>) -> Self {
        let (v4, v6): (Vec<Prefix>, Vec<Prefix>) =
            prefixes.into_iter().partition(|prefix| prefix.is_v4());
        Self {
            v4: disjoint(v4),
            v6: disjoint(v6),
        }
    }

    /// What is left of a prefix without them.
    pub(super) fn subtract(&self, prefix: Prefix) -> Left {
        let spans = if prefix.is_v4() { &self.v4 } else { &self.v6 };
        let whole = Span::of(prefix);
        let start = spans.partition_point(|hole| hole.last < whole.first);
        let inside = spans.get(start..).unwrap_or_default().iter();
        let mut inside = inside
            .take_while(|hole| hole.first <= whole.last)
            .peekable();
        if inside.peek().is_none() {
            return Left::All;
        }
        let mut parts = Vec::new();
        let mut at = Some(whole.first);
        for hole in inside {
            if let (Some(first), Some(last)) = (at, hole.first.checked_sub(1))
                && first <= last
            {
                parts.extend(Span { first, last }.prefixes());
            }
            at = hole.last.checked_add(1);
        }
        if let Some(first) = at.filter(|first| *first <= whole.last) {
            let last = whole.last;
            parts.extend(Span { first, last }.prefixes());
        }
        if parts.is_empty() {
            Left::Nothing
        } else {
            Left::Parts(parts)
        }
    }
}

fn disjoint(prefixes: Vec<Prefix>) -> Vec<Span> {
    let mut spans: Vec<Span> = prefixes.into_iter().map(Span::of).collect();
    spans.sort_unstable();
    // Prefixes contain one another or are apart, and the wider one of two comes first or is alike.
    spans.dedup_by(|next, span| {
        let overlaps = next.first <= span.last;
        if overlaps {
            span.last = span.last.max(next.last);
        }
        overlaps
    });
    spans
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_prefix_with_a_hole_is_split_into_what_is_around_it() {
        let holes = Holes::new(prefixes(&["10.0.0.0/8", "10.1.0.0/16", "11.0.0.128/25"]));
        let left = |text: &str| holes.subtract(text.parse().unwrap());
        assert_eq!(left("12.0.0.0/8"), Left::All);
        assert_eq!(left("10.2.0.0/16"), Left::Nothing);
        assert_eq!(left("10.0.0.0/8"), Left::Nothing);
        assert_eq!(
            left("8.0.0.0/6"),
            Left::Parts(prefixes(&[
                "8.0.0.0/7",
                "11.0.0.0/25",
                "11.0.1.0/24",
                "11.0.2.0/23",
                "11.0.4.0/22",
                "11.0.8.0/21",
                "11.0.16.0/20",
                "11.0.32.0/19",
                "11.0.64.0/18",
                "11.0.128.0/17",
                "11.1.0.0/16",
                "11.2.0.0/15",
                "11.4.0.0/14",
                "11.8.0.0/13",
                "11.16.0.0/12",
                "11.32.0.0/11",
                "11.64.0.0/10",
                "11.128.0.0/9",
            ]))
        );
    }

    #[test]
    fn families_have_their_own_holes() {
        let holes = Holes::new(prefixes(&["::/3", "4000::/2", "8000::/1", "0.0.0.0/1"]));
        let left = |text: &str| holes.subtract(text.parse().unwrap());
        assert_eq!(left("128.0.0.0/8"), Left::All);
        assert_eq!(left("0.0.0.0/0"), Left::Parts(prefixes(&["128.0.0.0/1"])));
        assert_eq!(left("::/0"), Left::Parts(prefixes(&["2000::/3"])));
    }

    /// Few addresses, so that prefixes meet.
    fn any_prefix() -> impl Strategy<Value = Prefix> {
        (0..=255u32, 24..=32u8).prop_map(|(host, bits)| {
            let address = std::net::Ipv4Addr::from(0xffff_ff00 + host);
            Prefix::host(address.into()).shortened(96 + bits)
        })
    }

    proptest! {
        #[test]
        fn an_address_is_left_if_it_is_in_no_hole(
            holes in proptest::collection::vec(any_prefix(), 0..8),
            prefix in any_prefix(),
        ) {
            let left = match Holes::new(holes.clone()).subtract(prefix) {
                Left::All => vec![prefix],
                Left::Nothing => Vec::new(),
                Left::Parts(parts) => parts,
            };
            for host in 0xffff_ff00..=u32::MAX {
                let host = Prefix::host(std::net::Ipv4Addr::from(host).into());
                let stays = prefix.covers(host) && !holes.iter().any(|hole| hole.covers(host));
                let times = left.iter().filter(|part| part.covers(host)).count();
                prop_assert_eq!(times, usize::from(stays));
            }
        }
    }
}
