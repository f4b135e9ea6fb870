//! Explanations: every rule that covers an address, and why which one decides.

use bot_common::address::Address;

use super::{
    compile::{Chain, chain},
    precedence::{Candidate, Precedence},
};
use crate::rules::{
    rule::{Rule, RuleId},
    set::RuleSet,
    time::Now,
};

/// A rule that covers the address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Covering {
    /// The rule.
    pub rule: Rule,
    /// Its class.
    pub class: Precedence,
}

/// What the rules say about one address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// The address.
    pub address: Address,
    /// Every live rule that covers it, in order of precedence.
    pub covering: Vec<Covering>,
    /// What the table should say: the verdict now, and what lies beneath.
    pub chain: Chain,
}

impl Explanation {
    /// The rule that decides now.
    pub fn winner(&self) -> Option<RuleId> {
        self.chain.first().map(|link| link.rule)
    }
}

/// Explains `address` at `now`.
pub fn explain(rules: &RuleSet, address: Address, now: Now) -> Explanation {
    let live = rules
        .covering_address(address)
        .filter(|rule| rule.is_live(now));
    let mut ranked: Vec<(Candidate, &Rule)> = live
        .filter_map(|rule| Some((Candidate::new(rule, rule.subject.prefix()?, now), rule)))
        .collect();
    ranked.sort_unstable_by_key(|(candidate, _)| *candidate);
    let candidates: Vec<Candidate> = ranked.iter().map(|(candidate, _)| *candidate).collect();
    let covering = ranked.into_iter().map(|(candidate, rule)| Covering {
        rule: rule.clone(),
        class: candidate.class,
    });
    Explanation {
        address,
        covering: covering.collect(),
        chain: chain(&candidates, now.boot_ns),
    }
}
