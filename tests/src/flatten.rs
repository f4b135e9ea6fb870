//! Prefixes that overlap, made into the disjoint ranges that a table says: the longest prefix wins.

use std::collections::BTreeMap;

use bot_agent::{
    rules::prefix::Prefix,
    table::{Range, Ranges},
};
use bot_common::{abi::verdict::VerdictId, address::MAPPED_BITS};

/// The prefix that `text` says.
pub fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

/// The ranges of `prefixes`. IPv6 prefixes say nothing about mapped IPv4 addresses.
pub fn flatten(prefixes: &BTreeMap<Prefix, VerdictId>) -> Ranges {
    let family = |v4: bool| {
        let ours = prefixes
            .iter()
            .filter(move |(prefix, _)| prefix.is_v4() == v4);
        sweep(ours.map(|(prefix, id)| {
            let first = u128::from_be_bytes(prefix.address().octets());
            let last = first | u128::MAX.checked_shr(u32::from(prefix.bits())).unwrap_or(0);
            Range {
                first,
                last,
                id: *id,
            }
        }))
    };
    let narrow = |range: Range<u128>| Range {
        first: range.first as u32,
        last: range.last as u32,
        id: range.id,
    };
    debug_assert_eq!(MAPPED_BITS, 96);
    Ranges {
        v4: family(true).into_iter().map(narrow).collect(),
        v6: family(false),
    }
}

/// Nested ranges in order of their first address, the outer before the inner, made disjoint.
fn sweep(nested: impl Iterator<Item = Range<u128>>) -> Vec<Range<u128>> {
    let mut flat = Vec::new();
    let mut open: Vec<Range<u128>> = Vec::new();
    for range in nested {
        while let Some(top) = open.pop_if(|top| top.last < range.first) {
            close(&mut flat, &mut open, top);
        }
        if let Some(top) = open.last_mut()
            && top.first < range.first
        {
            push(
                &mut flat,
                Range {
                    last: range.first - 1,
                    ..*top
                },
            );
            top.first = range.first;
        }
        open.push(range);
    }
    while let Some(top) = open.pop() {
        close(&mut flat, &mut open, top);
    }
    flat
}

/// What is left of the innermost range; the one around it goes on behind.
fn close(flat: &mut Vec<Range<u128>>, open: &mut [Range<u128>], top: Range<u128>) {
    if top.first <= top.last {
        push(flat, top);
    }
    if let (Some(outer), Some(next)) = (open.last_mut(), top.last.checked_add(1)) {
        outer.first = outer.first.max(next);
    } else if let Some(outer) = open.last_mut() {
        // Nothing lies behind the last address.
        outer.first = u128::MAX;
        outer.last = 0;
    }
}

fn push(flat: &mut Vec<Range<u128>>, range: Range<u128>) {
    if range.id == VerdictId::NONE {
        return;
    }
    match flat.last_mut() {
        Some(before)
            if before.id == range.id && before.last.checked_add(1) == Some(range.first) =>
        {
            before.last = range.last;
        }
        _ => flat.push(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let id = |id| VerdictId::new(id).unwrap();
        let prefixes = [
            ("0.0.0.0/0", 1),
            ("10.0.0.0/8", 2),
            ("10.0.0.0/32", 3),
            ("10.255.255.255/32", 4),
            ("255.255.255.255/32", 5),
            ("11.0.0.0/8", 0),
            ("ffff::/16", 6),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 7),
        ];
        let prefixes = prefixes.map(|(prefix, number)| (prefix.parse().unwrap(), id(number)));
        let ranges = flatten(&prefixes.into_iter().collect());
        let v4: Vec<_> = ranges
            .v4
            .iter()
            .map(|r| (r.first, r.last, r.id.get()))
            .collect();
        assert_eq!(
            v4,
            [
                (0, 0x09ff_ffff, 1),
                (0x0a00_0000, 0x0a00_0000, 3),
                (0x0a00_0001, 0x0aff_fffe, 2),
                (0x0aff_ffff, 0x0aff_ffff, 4),
                (0x0c00_0000, 0xffff_fffe, 1),
                (0xffff_ffff, 0xffff_ffff, 5),
            ]
        );
        let v6: Vec<_> = ranges
            .v6
            .iter()
            .map(|r| (r.first >> 112, r.last, r.id.get()))
            .collect();
        assert_eq!(v6, [(0xffff, u128::MAX - 1, 6), (0xffff, u128::MAX, 7)]);
    }
}
