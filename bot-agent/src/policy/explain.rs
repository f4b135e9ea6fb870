//! Explanations: everything that covers an address, and why which one decides.

use std::sync::Arc;

use bot_common::{abi::ports::Groups, address::Address};

use super::{
    candidate::{Act, By, Candidate},
    chain::Chain,
    decision::{Decision, decision},
    inputs::Inputs,
    list::{ListId, Score},
    networks::about,
    precedence::{Narrowness, Precedence},
};
use crate::{
    asn::AsInfo,
    rules::{
        prefix::Prefix,
        rule::{Rule, RuleId},
        time::Now,
    },
};

/// Something that covers the address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Covering {
    /// What it is.
    pub source: Source,
    /// Its class.
    pub class: Precedence,
}

/// A rule or an entry of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// A rule, with its own deadline.
    Rule(Rule),
    /// An entry of a list.
    Entry {
        /// The list.
        list: ListId,
        /// Its name.
        name: Arc<str>,
        /// The entry.
        prefix: Prefix,
        /// Its score.
        score: Score,
    },
}

/// What rules and lists say about one address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// The address.
    pub address: Address,
    /// What decides now about packets to any port, then everything else that is alive and covers the
    /// address, in order of precedence.
    pub covering: Vec<Covering>,
    /// What the table should say: for packets to some ports and for all others the verdict now, and what
    /// lies beneath. Deadlines are rounded up here; rules have their own.
    pub decision: Decision,
}

impl Explanation {
    /// The verdict of packets to any port now, and what lies beneath.
    pub fn chain(&self) -> &Chain {
        &self.decision.rest
    }

    /// The verdicts of packets to some ports, and of all others.
    pub fn chains(&self) -> impl Iterator<Item = &Chain> {
        self.decision.chains()
    }

    /// Who decides now, about packets to any port.
    pub fn winner(&self) -> Option<By> {
        self.winner_at(Groups::NONE)
    }

    /// Who decides now about packets to a port in these groups.
    pub fn winner_at(&self, groups: Groups) -> Option<By> {
        self.decision.of(groups).first().map(|link| link.by)
    }

    /// The rules that decide now: first about packets to some ports, then about all others.
    pub fn winning_rules(&self) -> impl Iterator<Item = RuleId> {
        let winners = self.decision.chains().filter_map(|chain| chain.first());
        winners.filter_map(|link| match link.by {
            By::Rule(rule) => Some(rule),
            By::List(_) => None,
        })
    }

    /// The rules that cover the address.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.covering
            .iter()
            .filter_map(|covering| match &covering.source {
                Source::Rule(rule) => Some(rule),
                Source::Entry { .. } => None,
            })
    }
}

/// Explains `address` at `now`.
pub fn explain(inputs: &Inputs<'_>, address: Address, now: Now) -> Explanation {
    explain_by(inputs, address, |_| true, now)
}

/// The same, as if there were only what `counts`.
pub fn explain_by(
    inputs: &Inputs<'_>,
    address: Address,
    counts: impl Fn(&Source) -> bool,
    now: Now,
) -> Explanation {
    let mut found: Vec<(Candidate, Source)> = Vec::new();
    for rule in inputs.rules.covering_address(address) {
        let prefix = rule.subject.prefix().filter(|_| rule.is_live(now));
        if let Some(prefix) = prefix {
            let narrowness = Narrowness::of(prefix);
            let candidate = Candidate::of_rule(rule, narrowness, now);
            found.push((candidate, Source::Rule(rule.clone())));
        }
    }
    let network = inputs
        .database
        .and_then(|database| database.lookup(address));
    if let Some(AsInfo { asn, country, .. }) = network {
        let live = about(inputs.rules, asn, country).filter(|rule| rule.is_live(now));
        found.extend(live.filter_map(|rule| {
            let narrowness = Narrowness::network(rule.subject)?;
            let candidate = Candidate::of_rule(rule, narrowness, now);
            Some((candidate, Source::Rule(rule.clone())))
        }));
    }
    for list in inputs.lists {
        for (prefix, score) in list.covering(address) {
            let act = Act::of(list.kind(), inputs.tiers.action(score));
            if let Some(candidate) = Candidate::of_list(list, act, inputs.ports) {
                let source = Source::Entry {
                    list: list.id(),
                    name: Arc::clone(list.name()),
                    prefix,
                    score,
                };
                found.push((candidate.at(Narrowness::of(prefix)), source));
            }
        }
    }
    found.retain(|(_, source)| counts(source));
    found.sort_unstable_by_key(|(candidate, _)| candidate.rank());
    let candidates: Vec<Candidate> = found.iter().map(|(candidate, _)| *candidate).collect();
    let decision = decision(&candidates, &inputs.ports.signatures(), now.boot_ns);
    let winner = decision.rest.first().map(|link| link.by);
    if let Some(place) = candidates
        .iter()
        .position(|candidate| Some(candidate.by) == winner)
        && let Some(up_to) = found.get_mut(..=place)
    {
        up_to.rotate_right(1);
    }
    let covering = found.into_iter().map(|(candidate, source)| Covering {
        source,
        class: candidate.class,
    });
    Explanation {
        address,
        covering: covering.collect(),
        decision,
    }
}
