//! What still decides about a target when rules about it have gone. Pure.

use std::collections::BTreeSet;

use bot_common::address::Address;

use crate::{
    asn::Database,
    control::view::{ListedView, RuleView, Still},
    policy::{self, Covering, Inputs, Source, Strength},
    rules::{
        prefix::Prefix,
        rule::{RuleAction, RuleId},
        subject::Subject,
        time::Now,
    },
};

/// What makes `action` of all of `prefix` when the rules that are `gone` are gone: a rule about
/// addresses, an ASN or a country, or an entry of a list. What is about a part of it does not count.
pub(super) fn still(
    inputs: &Inputs<'_>,
    prefix: Prefix,
    action: RuleAction,
    gone: &BTreeSet<RuleId>,
    now: Now,
) -> Option<Still> {
    let covers = |source: &Source| match source {
        Source::Rule(rule) if gone.contains(&rule.id) => false,
        Source::Rule(rule) => match rule.subject {
            Subject::Prefix(wider) => wider.covers(prefix),
            network @ (Subject::Asn(_) | Subject::Country(_)) => inputs
                .database
                .is_some_and(|database| has_all(database, network, prefix)),
        },
        Source::Entry { prefix: wider, .. } => wider.covers(prefix),
    };
    let explanation = policy::explain_by(inputs, prefix.address(), covers, now);
    explanation.winner()?;
    let decides = explanation.covering.first();
    let (by, list) = match &decides.filter(|decides| makes(decides, action))?.source {
        Source::Rule(rule) => (Some(RuleView::of(rule, now)), None),
        Source::Entry { name, prefix, .. } => {
            let entry = ListedView {
                list: name.to_string(),
                prefix: *prefix,
                decides: true,
            };
            (None, Some(entry))
        }
    };
    Some(Still {
        subject: prefix.into(),
        by,
        list,
    })
}

fn makes(covering: &Covering, action: RuleAction) -> bool {
    let exempts = covering.class.strength == Strength::Exempt;
    exempts == (action == RuleAction::Allow)
}

/// Whether an ASN or a country has every address of `prefix`, in however many ranges.
fn has_all(database: &Database, network: Subject, prefix: Prefix) -> bool {
    let number = |address: Address| u128::from_be_bytes(address.octets());
    let mut next = number(prefix.address());
    let last = next.saturating_add(prefix.size().saturating_sub(1));
    loop {
        let Some(info) = database.lookup(Address::from_v6(next.to_be_bytes())) else {
            return false;
        };
        let is_of_it = match network {
            Subject::Asn(asn) => info.asn == Some(asn),
            Subject::Country(country) => info.country == Some(country),
            Subject::Prefix(_) => false,
        };
        if !is_of_it {
            return false;
        }
        let end = number(info.last.into());
        if end >= last {
            return true;
        }
        next = end.saturating_add(1);
    }
}
