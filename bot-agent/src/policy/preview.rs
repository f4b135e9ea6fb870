//! Previews: what a block of addresses would reach before it is made.
//!
//! Allow lists are no part of it: they stand below an operator's block of addresses, and take nothing
//! off it. What they take off blocks of ASNs and countries is counted with those.

use std::collections::BTreeMap;

use super::precedence::{Place, Precedence};
use crate::rules::{
    prefix::Prefix,
    rule::{Rule, RuleAction},
    set::RuleSet,
    time::Now,
};

/// The reach of a block that is not made yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Impact<'a> {
    /// Addresses that the block covers; saturates.
    pub addresses: u128,
    /// Of these, addresses that allow rules and (unless the block is forced) protection exempt.
    pub exempt: u128,
    /// The rules that exempt, in order of prefix; a rule that covers the whole block included.
    pub exemptions: Vec<&'a Rule>,
}

/// What a block of `prefixes` would reach, among the rules alive `now`. Prefixes must not overlap,
/// as those of a [`crate::rules::target::Target`] do not.
pub fn impact<'a>(rules: &'a RuleSet, prefixes: &[Prefix], forced: bool, now: Now) -> Impact<'a> {
    let exempts = |rule: &&Rule| {
        let protected = Precedence::of(rule).place == Place::Protected;
        rule.action == RuleAction::Allow && rule.is_live(now) && !(forced && protected)
    };
    let mut found: BTreeMap<_, &Rule> = BTreeMap::new();
    let (mut addresses, mut exempt) = (0u128, 0u128);
    for prefix in prefixes {
        addresses = addresses.saturating_add(prefix.size());
        let above: Vec<&Rule> = rules.allows_covering(*prefix).filter(exempts).collect();
        let within: Vec<&Rule> = rules.allows_within(*prefix).filter(exempts).collect();
        if above.is_empty() {
            // In order, so what the last counted prefix covers is counted already.
            let mut counted: Option<Prefix> = None;
            for inner in within.iter().filter_map(|rule| rule.subject.prefix()) {
                if counted.is_none_or(|wider| !wider.covers(inner)) {
                    exempt = exempt.saturating_add(inner.size());
                    counted = Some(inner);
                }
            }
        } else {
            exempt = exempt.saturating_add(prefix.size());
        }
        let both = above.into_iter().chain(within);
        found.extend(both.map(|rule| ((rule.subject, rule.id), rule)));
    }
    Impact {
        addresses,
        exempt,
        exemptions: found.into_values().collect(),
    }
}
