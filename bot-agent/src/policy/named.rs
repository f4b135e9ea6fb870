//! How many prefixes a policy names, for comparison with [`super::Limits::prefixes`].
//!
//! A prefix that several name counts once, and one that only protection names does not count: how
//! many addresses, gateways and servers a host has is not the operator's doing, and must not take the
//! last places of a list that fits exactly.

use super::{
    candidate::Candidate,
    family::Family,
    inputs::Inputs,
    merge::{Named, Part, Rules, Says, Voices, merge},
    precedence::{Narrowness, Place},
};
use crate::rules::{rule::Rule, time::Now};

/// How many different prefixes rules and lists name `now`, protection aside. Looks at all of them.
pub fn named(inputs: &Inputs<'_>, now: Now) -> usize {
    in_family::<u32>(inputs, now) + in_family::<u128>(inputs, now)
}

fn in_family<A: Family>(inputs: &Inputs<'_>, now: Now) -> usize {
    let rules = Rules::new(rules_of::<A>(inputs.rules.iter(), now));
    let silent = Voices::Same(None);
    let lists = inputs.lists.iter().map(|list| {
        let column = A::column(list);
        Part {
            column,
            places: 0..column.len(),
            voices: &silent,
        }
    });
    let lists: Vec<_> = lists.collect();
    let mut tally = Tally::default();
    merge(&rules, &lists, |next| tally.add(&next));
    tally.prefixes()
}

/// The rules about prefixes of a family that are alive.
pub(super) fn rules_of<'a, A: Family>(
    rules: impl Iterator<Item = &'a Rule>,
    now: Now,
) -> impl Iterator<Item = (A, u8, Candidate)> {
    rules.filter_map(move |rule| {
        let (first, bits) = rule.subject.prefix().and_then(A::of)?;
        let candidate = || Candidate::of_rule(rule, Narrowness::prefix(bits), now);
        rule.is_live(now).then(|| (first, bits, candidate()))
    })
}

/// Counts what comes in order of prefix.
#[derive(Debug)]
pub(super) struct Tally<A> {
    prefixes: usize,
    last: Option<(A, u8)>,
}

impl<A> Default for Tally<A> {
    fn default() -> Self {
        Self {
            prefixes: 0,
            last: None,
        }
    }
}

impl<A: Family> Tally<A> {
    pub(super) fn add(&mut self, next: &Named<'_, A>) {
        let prefix = Some((next.first, next.bits));
        if counts(next.says) && self.last != prefix {
            self.prefixes += 1;
            self.last = prefix;
        }
    }

    pub(super) fn prefixes(&self) -> usize {
        self.prefixes
    }
}

fn counts(says: Says<'_>) -> bool {
    match says {
        Says::Rules(rules) => rules
            .iter()
            .any(|rule| rule.class.place != Place::Protected),
        Says::Entry(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::simulation::{at, bad, block, rule_set},
        rules::rule::{Draft, Origin, RuleAction},
    };

    fn protected(text: &str) -> (Draft, Option<u64>) {
        let (draft, ends) = block(text, None);
        let draft = Draft {
            action: RuleAction::Allow,
            origin: Origin::Protected("gateway".into()),
            ..draft
        };
        (draft, ends)
    }

    #[test]
    fn what_only_protection_names_does_not_count_and_what_several_name_counts_once() {
        let drafts = [
            protected("10.0.0.1"),
            protected("10.0.0.2"),
            protected("10.0.0.3"),
            protected("fe80::1"),
            block("10.0.0.2", None),
            block("10.0.0.9", Some(5)),
            block("2001:db8::/32", None),
        ];
        let rules = rule_set(&drafts, at(0));
        let lists = [bad(1, &["10.0.0.3", "10.0.0.9", "10.0.0.0/24"])];
        let inputs = Inputs {
            lists: &lists,
            ..Inputs::of_rules(&rules)
        };
        // 10.0.0.0/24, .2, .3, .9 and the IPv6 network.
        assert_eq!(named(&inputs, at(0)), 5);
        assert_eq!(inputs.named_at_most(), 6);
        let only_rules = Inputs::of_rules(&rules);
        assert_eq!(named(&only_rules, at(0)), 3);
        assert_eq!(named(&only_rules, at(6)), 2, "one is over");
    }
}
