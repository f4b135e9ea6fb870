//! Networks: where ASN and country rules apply, by a database of ranges that are no prefixes.

use std::collections::HashMap;

use super::{
    candidate::Candidate,
    family::Family,
    precedence::Narrowness,
    states::{Network, States},
};
use crate::{
    asn::AsRange,
    rules::{
        rule::Rule,
        set::RuleSet,
        subject::{Asn, Country, Subject},
        time::Now,
    },
};

/// Finds the rules about what a range of the database belongs to.
pub(super) struct Networks<'a> {
    rules: &'a RuleSet,
    now: Now,
    known: HashMap<(Option<Asn>, Option<Country>), Network>,
    /// Neighbours are often alike.
    last: ((Option<Asn>, Option<Country>), Network),
}

impl<'a> Networks<'a> {
    pub(super) fn new(rules: &'a RuleSet, now: Now) -> Self {
        Self {
            rules,
            now,
            known: HashMap::new(),
            last: ((None, None), Network::NONE),
        }
    }

    /// The rules that apply in a range.
    pub(super) fn of<A>(&mut self, range: &AsRange<A>, states: &mut States) -> Network {
        let whose = (range.asn, range.country);
        if self.last.0 != whose {
            let network = if let Some(known) = self.known.get(&whose) {
                *known
            } else {
                let network = states.network(self.candidates(whose));
                self.known.insert(whose, network);
                network
            };
            self.last = (whose, network);
        }
        self.last.1
    }

    fn candidates(&self, (asn, country): (Option<Asn>, Option<Country>)) -> Vec<Candidate> {
        about(self.rules, asn, country)
            .filter(|rule| rule.is_live(self.now))
            .filter_map(|rule| {
                let narrowness = Narrowness::network(rule.subject)?;
                Some(Candidate::of_rule(rule, narrowness, self.now))
            })
            .collect()
    }
}

/// The rules about an ASN and a country.
pub(super) fn about(
    rules: &RuleSet,
    asn: Option<Asn>,
    country: Option<Country>,
) -> impl Iterator<Item = &Rule> {
    let subjects = [asn.map(Subject::Asn), country.map(Subject::Country)];
    subjects
        .into_iter()
        .flatten()
        .flat_map(|subject| rules.about(subject))
}

/// The ranges of the database from one address on.
pub(super) struct Coming<'a, A> {
    ranges: &'a [AsRange<A>],
}

impl<'a, A: Family> Coming<'a, A> {
    /// The ranges that do not end before `first`.
    pub(super) fn new(ranges: &'a [AsRange<A>], first: A) -> Self {
        let behind = ranges.partition_point(|range| range.last < first);
        Self {
            ranges: ranges.get(behind..).unwrap_or_default(),
        }
    }

    /// The first range that does not end before `at`; what ends before it is left behind.
    pub(super) fn next_from(&mut self, at: A) -> Option<&'a AsRange<A>> {
        while let [range, rest @ ..] = self.ranges {
            if range.last >= at {
                return Some(range);
            }
            self.ranges = rest;
        }
        None
    }
}
