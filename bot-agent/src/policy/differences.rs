//! Differences: which prefixes two sets of lists say different things about.
//!
//! A feed's update often changes a few entries of many; then only these are compiled again.

use std::{cmp::Ordering, iter::Peekable};

use super::list::{List, Score};
use crate::rules::prefix::Prefix;

/// The prefixes of entries that are in one of the sets only, or are there good for something else; `None`
/// where there are more than `most` of them.
pub fn differences(before: &[List], after: &[List], most: usize) -> Option<Vec<Prefix>> {
    let mut found = Vec::new();
    for list in after {
        match before.iter().find(|old| is_same(old, list)) {
            Some(old) => collect(merged(old.entries(), list.entries()), most, &mut found)?,
            None => collect(list.entries().map(first), most, &mut found)?,
        }
    }
    let is_gone = |old: &&List| !after.iter().any(|list| is_same(old, list));
    for list in before.iter().filter(is_gone) {
        collect(list.entries().map(first), most, &mut found)?;
    }
    Some(found)
}

/// Whether both are the same list, good for the same. What a lock lets in has the identity of the list that
/// it is from.
fn is_same(one: &List, other: &List) -> bool {
    let good_for = |list: &List| (list.id(), list.kind(), list.is_past_guard());
    good_for(one) == good_for(other) && one.ports() == other.ports()
}

fn collect(
    differing: impl Iterator<Item = Prefix>,
    most: usize,
    found: &mut Vec<Prefix>,
) -> Option<()> {
    for prefix in differing {
        if found.len() == most {
            return None;
        }
        found.push(prefix);
    }
    Some(())
}

fn first((prefix, _): (Prefix, Score)) -> Prefix {
    prefix
}

/// The prefixes that are not in both of two sorted columns with one score.
fn merged(
    before: impl Iterator<Item = (Prefix, Score)>,
    after: impl Iterator<Item = (Prefix, Score)>,
) -> impl Iterator<Item = Prefix> {
    Merged {
        before: before.peekable(),
        after: after.peekable(),
    }
}

struct Merged<B: Iterator, A: Iterator> {
    before: Peekable<B>,
    after: Peekable<A>,
}

impl<B, A> Iterator for Merged<B, A>
where
    B: Iterator<Item = (Prefix, Score)>,
    A: Iterator<Item = (Prefix, Score)>,
{
    type Item = Prefix;

    fn next(&mut self) -> Option<Prefix> {
        loop {
            let order = match (self.before.peek(), self.after.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => key(*old).cmp(&key(*new)),
            };
            match order {
                Ordering::Less => return self.before.next().map(first),
                Ordering::Greater => return self.after.next().map(first),
                Ordering::Equal => {
                    let (old, new) = (self.before.next()?, self.after.next()?);
                    if old.1 != new.1 {
                        return Some(new.0);
                    }
                }
            }
        }
    }
}

/// The order of [`List::entries`].
fn key(prefix: Prefix) -> (bool, Prefix) {
    (!prefix.is_v4(), prefix)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::{ListId, ListKind};

    type Entries = BTreeMap<(u8, bool), u8>;

    fn prefix((host, v6): (u8, bool)) -> Prefix {
        let text = if v6 {
            format!("2001:db8::{host:x}")
        } else {
            format!("192.0.2.{host}")
        };
        text.parse().unwrap()
    }

    fn list(id: u32, entries: &Entries) -> List {
        let entries = entries
            .iter()
            .map(|(at, score)| (prefix(*at), Score::new(*score).unwrap()));
        List::new(ListId(id), "a".into(), ListKind::Allow, entries)
    }

    fn entries() -> impl Strategy<Value = Entries> {
        proptest::collection::btree_map((0..20u8, any::<bool>()), 0..3u8, 0..20)
    }

    proptest! {
        #[test]
        fn they_are_what_comparing_every_prefix_finds(
            before in proptest::collection::vec(entries(), 0..3),
            after in proptest::collection::vec(entries(), 0..3),
            most in 0..40usize,
        ) {
            let lists = |all: &[Entries]| -> Vec<List> {
                all.iter().zip(0..).map(|(entries, id)| list(id, entries)).collect()
            };
            let mut expected = Vec::new();
            for index in 0..before.len().max(after.len()) {
                let empty = Entries::new();
                let (old, new) = (before.get(index).unwrap_or(&empty), after.get(index).unwrap_or(&empty));
                let all = old.keys().chain(new.keys());
                let all: std::collections::BTreeSet<_> = all.copied().collect();
                expected.extend(all.into_iter().filter(|at| old.get(at) != new.get(at)).map(prefix));
            }
            let mut found = differences(&lists(&before), &lists(&after), most);
            if let Some(found) = &mut found {
                found.sort_unstable();
            }
            expected.sort_unstable();
            prop_assert_eq!(found, (expected.len() <= most).then_some(expected));
        }
    }

    #[test]
    fn a_list_of_another_kind_says_something_else_everywhere() {
        let entries = Entries::from([((1, false), 1)]);
        let allow = list(1, &entries);
        let guard = allow.with(allow.id(), "a".into(), ListKind::Popular);
        let both = [prefix((1, false)), prefix((1, false))];
        let found = differences(std::slice::from_ref(&allow), &[guard], 9);
        assert_eq!(found, Some(both.into()));
        assert_eq!(
            differences(
                std::slice::from_ref(&allow),
                std::slice::from_ref(&allow),
                9
            ),
            Some(Vec::new())
        );
    }
}
