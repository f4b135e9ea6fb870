//! What policy is made from.

use super::{
    list::{List, Tiers},
    ports::PortGroups,
};
use crate::{asn::Database, rules::set::RuleSet};

/// Everything that says something about addresses.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Rules of operators, of the configuration, of protection, and what was learned.
    pub rules: &'a RuleSet,
    /// Lists, in any order.
    pub lists: &'a [List],
    /// What the scores of [`super::ListKind::Score`] lists lead to.
    pub tiers: Tiers,
    /// The numbers of the sets of ports that lists are about; a list whose set has none says nothing.
    pub ports: &'a PortGroups,
    /// What ASN and country rules mean; without one they mean nothing.
    pub database: Option<&'a Database>,
}

impl<'a> Inputs<'a> {
    /// Rules, and nothing else.
    pub fn of_rules(rules: &'a RuleSet) -> Self {
        Self {
            rules,
            lists: &[],
            tiers: Tiers::default(),
            ports: const { &PortGroups::NONE },
            database: None,
        }
    }

    /// How many prefixes they name at most, protection aside: those that several name are counted for
    /// each. [`super::named()`] counts exactly, but has to look at all of them.
    pub fn named_at_most(&self) -> usize {
        let lists: usize = self.lists.iter().map(List::len).sum();
        let rules = self.rules.len().saturating_sub(self.rules.protected());
        lists.saturating_add(rules)
    }
}
