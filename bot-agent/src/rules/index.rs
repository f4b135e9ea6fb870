//! Rules by what they are about.
//!
//! Rules about the same are few, and most subjects have one: it takes no memory of its own. Which
//! prefix lengths there are is kept beside, so that asking for all that covers an address looks up
//! those alone.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use super::{
    prefix::Prefix,
    rule::{Rule, RuleId},
    subject::{Asn, Country, Subject},
};

/// Lengths of a prefix, 0 to 128.
const LENGTHS: usize = 129;

/// Rules by subject.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Index {
    /// Prefixes first, as [`Subject`] orders them.
    by_subject: BTreeMap<Subject, About>,
    /// How many prefixes of each length there are: of IPv6, of IPv4.
    lengths: [[u32; LENGTHS]; 2],
}

/// Rules about the same in order of identity, at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
enum About {
    One(Arc<Rule>),
    Many(Box<[Arc<Rule>]>),
}

impl About {
    fn as_slice(&self) -> &[Arc<Rule>] {
        match self {
            Self::One(rule) => std::slice::from_ref(rule),
            Self::Many(rules) => rules,
        }
    }

    fn insert(&mut self, rule: Arc<Rule>) {
        let mut rules = self.as_slice().to_vec();
        let place = rules.partition_point(|other| other.id < rule.id);
        rules.insert(place, rule);
        *self = Self::Many(rules.into());
    }

    /// `None`: that was the last.
    fn without(&self, id: RuleId) -> Option<Self> {
        let others = self.as_slice().iter().filter(|other| other.id != id);
        let others: Vec<Arc<Rule>> = others.cloned().collect();
        Self::of(&others)
    }

    fn of(rules: &[Arc<Rule>]) -> Option<Self> {
        match rules {
            [] => None,
            [only] => Some(Self::One(Arc::clone(only))),
            _ => Some(Self::Many(rules.into())),
        }
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            by_subject: BTreeMap::new(),
            lengths: [[0; LENGTHS]; 2],
        }
    }
}

impl Index {
    /// The index of rules that come in order of subject, then of identity; quicker than one by one.
    pub(super) fn of_sorted(rules: impl Iterator<Item = Arc<Rule>>) -> Self {
        let mut index = Self::default();
        let mut entries: Vec<(Subject, About)> = Vec::new();
        for rule in rules {
            match entries.last_mut() {
                Some((subject, about)) if *subject == rule.subject => about.insert(rule),
                _ => {
                    let subject = rule.subject;
                    count(&mut index.lengths, subject, |count| count.saturating_add(1));
                    entries.push((subject, About::One(rule)));
                }
            }
        }
        index.by_subject = entries.into_iter().collect();
        index
    }

    pub(super) fn insert(&mut self, rule: Arc<Rule>) {
        let subject = rule.subject;
        match self.by_subject.entry(subject) {
            Entry::Occupied(mut about) => about.get_mut().insert(rule),
            Entry::Vacant(place) => {
                place.insert(About::One(rule));
                count(&mut self.lengths, subject, |count| count.saturating_add(1));
            }
        }
    }

    pub(super) fn remove(&mut self, subject: Subject, id: RuleId) {
        let Entry::Occupied(mut about) = self.by_subject.entry(subject) else {
            return;
        };
        if let Some(others) = about.get().without(id) {
            about.insert(others);
        } else {
            about.remove();
            count(&mut self.lengths, subject, |count| count.saturating_sub(1));
        }
    }

    /// Those of exactly this subject.
    pub(super) fn about(&self, subject: Subject) -> &[Arc<Rule>] {
        self.by_subject.get(&subject).map_or(&[], About::as_slice)
    }

    /// Those of every prefix that covers all of this one, widest first.
    pub(super) fn covering(&self, prefix: Prefix) -> impl Iterator<Item = &[Arc<Rule>]> {
        let lengths = lengths_of(&self.lengths, prefix);
        (0..=prefix.bits())
            .zip(lengths)
            .filter(|(_, count)| **count > 0)
            .map(move |(bits, _)| prefix.shortened(bits))
            .filter(move |wider| wider.covers(prefix))
            .map(|wider| self.about(Subject::Prefix(wider)))
    }

    /// Those of the prefix and of what it covers, in order of prefix.
    pub(super) fn within(&self, prefix: Prefix) -> impl Iterator<Item = &[Arc<Rule>]> {
        self.by_subject
            .range(Subject::Prefix(prefix)..)
            .map_while(|(subject, about)| Some((subject.prefix()?, about)))
            .take_while(move |(inner, _)| prefix.encloses(inner.address()))
            .filter(move |(inner, _)| prefix.covers(*inner))
            .map(|(_, about)| about.as_slice())
    }

    pub(super) fn prefixes(&self) -> impl Iterator<Item = (Prefix, &[Arc<Rule>])> {
        let all = self.by_subject.iter();
        all.map_while(|(subject, about)| Some((subject.prefix()?, about.as_slice())))
    }

    pub(super) fn asns(&self) -> impl Iterator<Item = (Asn, &[Arc<Rule>])> {
        let asns = self.by_subject.range(Subject::Asn(Asn::MIN)..);
        asns.map_while(|(subject, about)| match *subject {
            Subject::Asn(asn) => Some((asn, about.as_slice())),
            Subject::Prefix(_) | Subject::Country(_) => None,
        })
    }

    pub(super) fn countries(&self) -> impl Iterator<Item = (Country, &[Arc<Rule>])> {
        // Whatever comes behind the last ASN.
        let countries = self.by_subject.range(Subject::Asn(Asn::MAX)..);
        countries.filter_map(|(subject, about)| match *subject {
            Subject::Country(country) => Some((country, about.as_slice())),
            Subject::Prefix(_) | Subject::Asn(_) => None,
        })
    }
}

fn lengths_of(lengths: &[[u32; LENGTHS]; 2], prefix: Prefix) -> &[u32; LENGTHS] {
    let [v6, v4] = lengths;
    if prefix.is_v4() { v4 } else { v6 }
}

fn count(lengths: &mut [[u32; LENGTHS]; 2], subject: Subject, change: fn(u32) -> u32) {
    let Some(prefix) = subject.prefix() else {
        return;
    };
    let [v6, v4] = lengths;
    let family = if prefix.is_v4() { v4 } else { v6 };
    if let Some(count) = family.get_mut(usize::from(prefix.bits())) {
        *count = change(*count);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::rules::rule::{Origin, RuleAction, Scope};

    const SUBJECTS: [&str; 9] = [
        "::/0",
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3",
        "2001:db8::/32",
        "2001:db8::1",
        "AS64500",
        "country:DE",
    ];

    fn rule(subject: &str, id: u64) -> Arc<Rule> {
        Arc::new(Rule {
            id: RuleId(id),
            subject: subject.parse().unwrap(),
            action: RuleAction::Block,
            scope: Scope::All,
            monitor: false,
            forced: false,
            deadline: None,
            reason: String::new(),
            origin: Origin::Operator,
            created: jiff::Timestamp::UNIX_EPOCH,
        })
    }

    fn rules(entries: &BTreeSet<(usize, u64)>) -> Vec<Arc<Rule>> {
        let rules = entries.iter();
        let mut rules: Vec<Arc<Rule>> = rules
            .map(|(subject, id)| rule(SUBJECTS[*subject], *id))
            .collect();
        rules.sort_by_key(|rule| (rule.subject, rule.id));
        rules
    }

    fn entries() -> impl Strategy<Value = BTreeSet<(usize, u64)>> {
        proptest::collection::btree_set((0..SUBJECTS.len(), 1..5u64), 0..30)
    }

    proptest! {
        #[test]
        fn made_at_once_or_one_by_one_it_is_the_same(kept in entries(), gone in entries()) {
            let mut index = Index::default();
            for rule in rules(&kept.union(&gone).copied().collect()) {
                index.insert(rule);
            }
            for rule in rules(&gone.difference(&kept).copied().collect()) {
                index.remove(rule.subject, rule.id);
            }
            prop_assert_eq!(index, Index::of_sorted(rules(&kept).into_iter()));
        }

        #[test]
        fn what_covers_and_what_lies_within_is_found(entries in entries()) {
            let all = rules(&entries);
            let index = Index::of_sorted(all.iter().cloned());
            for text in SUBJECTS {
                let Subject::Prefix(prefix) = text.parse().unwrap() else {
                    continue;
                };
                let fitting = |fits: &dyn Fn(Prefix) -> bool| {
                    let mut fitting = all.clone();
                    fitting.retain(|rule| rule.subject.prefix().is_some_and(fits));
                    fitting
                };
                let covering: Vec<_> = index.covering(prefix).flatten().cloned().collect();
                prop_assert_eq!(covering, fitting(&|other| other.covers(prefix)));
                let within: Vec<_> = index.within(prefix).flatten().cloned().collect();
                prop_assert_eq!(within, fitting(&|other| prefix.covers(other)));
            }
        }
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<About>(), 16);
    }
}
