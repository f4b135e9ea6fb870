//! All rules, by identity, by subject and by deadline.
//!
//! Invariants: no two rules share subject, action and origin (the newer replaces the older), and
//! every deadline is on the running boot's clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use bot_common::address::Address;

use super::{
    index::Index,
    prefix::Prefix,
    rule::{Draft, Origin, Rule, RuleAction, RuleId},
    subject::{Asn, Country, Subject},
    time::Now,
};

/// Every rule there is, expired ones included until [`RuleSet::expire`] takes them out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleSet {
    by_id: BTreeMap<RuleId, Arc<Rule>>,
    all: Index,
    /// Those of `all` that allow: few, as a rule, and asked for with each block.
    allows: Index,
    /// `CLOCK_BOOTTIME` nanoseconds.
    by_deadline: BTreeSet<(u64, RuleId)>,
    /// How many of `all` are protection: counted along, so that nobody has to look at all rules.
    protected: usize,
    next: RuleId,
}

/// What became of an insertion.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Inserted {
    /// The rule is new.
    Added,
    /// The rule took the place of this one.
    Replaced(Rule),
}

/// What [`RuleSet::sync`] changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Synced {
    /// Rules that were not there before, or not like this.
    pub added: Vec<RuleId>,
    /// Rules that are no longer, replaced ones included.
    pub removed: Vec<Rule>,
}

impl Default for RuleSet {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            all: Index::default(),
            allows: Index::default(),
            by_deadline: BTreeSet::new(),
            protected: 0,
            next: RuleId(1),
        }
    }
}

impl RuleSet {
    /// The set of stored `rules`, the next new one to be `next` or above all of them. Returns the
    /// rules whose deadlines had to be moved to the running boot's clock, for the store.
    pub fn load(rules: Vec<Rule>, next: RuleId, now: Now) -> (Self, Vec<Arc<Rule>>) {
        let mut rebased = Vec::new();
        let rules = rules.into_iter().map(|rule| {
            let moves = rule.deadline.is_some_and(|ends| ends.boot != now.boot);
            let rule = Arc::new(rule.rebased(now));
            if moves {
                rebased.push(Arc::clone(&rule));
            }
            rule
        });
        let rules: Vec<Arc<Rule>> = rules.collect();
        (Self::of(&rules, next), rebased)
    }

    /// The set of all these, of which the newer replaces the older.
    fn of(rules: &[Arc<Rule>], next: RuleId) -> Self {
        // The keys stand beside the rules: sorting does not look behind a million pointers.
        let keyed = rules.iter().map(|rule| (rule.subject, rule.id, rule));
        let mut sorted: Vec<(Subject, RuleId, &Arc<Rule>)> = keyed.collect();
        sorted.sort_unstable_by_key(|(subject, id, _)| (*subject, *id));
        let mut gone: BTreeSet<RuleId> = BTreeSet::new();
        for same in sorted.chunk_by(|a, b| a.0 == b.0) {
            for (place, (_, id, rule)) in same.iter().enumerate() {
                let mut newer = same.iter().skip(place + 1);
                if newer.any(|(_, _, newer)| newer.replaces(rule)) {
                    gone.insert(*id);
                }
            }
        }
        let stays = |rule: &&Arc<Rule>| !gone.contains(&rule.id);
        let sorted = sorted.into_iter().map(|(_, _, rule)| rule).filter(stays);
        let all = Index::of_sorted(sorted.clone().cloned());
        let allows = Index::of_sorted(sorted.filter(|rule| allows(rule)).cloned());
        let kept = || rules.iter().filter(stays);
        let ends = |rule: &Arc<Rule>| Some((rule.deadline?.boot_ns, rule.id));
        let last = rules.iter().map(|rule| rule.id.0).max();
        Self {
            all,
            allows,
            by_deadline: kept().filter_map(ends).collect(),
            protected: kept().filter(|rule| rule.origin.is_protection()).count(),
            by_id: kept().map(|rule| (rule.id, Arc::clone(rule))).collect(),
            next: next.max(RuleId(last.map_or(1, |last| last.saturating_add(1)))),
        }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many of them protect addresses; what the host has, nobody asked for.
    pub fn protected(&self) -> usize {
        self.protected
    }

    /// The rule of an identity.
    pub fn get(&self, id: RuleId) -> Option<&Rule> {
        self.by_id.get(&id).map(|rule| &**rule)
    }

    /// All rules, oldest identity first.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.by_id.values().map(|rule| &**rule)
    }

    /// All rules with an identity above that of `last`, oldest first; nothing: all of them.
    pub fn after(&self, last: Option<RuleId>) -> impl Iterator<Item = &Rule> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_id
            .range((from, Bound::Unbounded))
            .map(|(_, rule)| &**rule)
    }

    /// Prefixes with their rules; a prefix comes before all that it covers.
    pub fn by_prefix(&self) -> impl Iterator<Item = (Prefix, impl Iterator<Item = &Rule>)> {
        let all = self.all.prefixes();
        all.map(|(prefix, rules)| (prefix, each(rules)))
    }

    /// ASNs with their rules, in order of number.
    pub fn by_asn(&self) -> impl Iterator<Item = (Asn, impl Iterator<Item = &Rule>)> {
        self.all.asns().map(|(asn, rules)| (asn, each(rules)))
    }

    /// Countries with their rules, in order of letters.
    pub fn by_country(&self) -> impl Iterator<Item = (Country, impl Iterator<Item = &Rule>)> {
        let all = self.all.countries();
        all.map(|(country, rules)| (country, each(rules)))
    }

    /// The rules of exactly this prefix.
    pub fn at(&self, prefix: Prefix) -> impl Iterator<Item = &Rule> {
        self.about(Subject::Prefix(prefix))
    }

    /// The rules of exactly this subject.
    pub fn about(&self, subject: Subject) -> impl Iterator<Item = &Rule> {
        each(self.all.about(subject))
    }

    /// The rules that cover all of `prefix`, widest first.
    pub fn covering(&self, prefix: Prefix) -> impl Iterator<Item = &Rule> {
        self.all.covering(prefix).flat_map(each)
    }

    /// Of those, the ones that allow.
    pub fn allows_covering(&self, prefix: Prefix) -> impl Iterator<Item = &Rule> {
        self.allows.covering(prefix).flat_map(each)
    }

    /// The rules that cover `address`, widest first.
    pub fn covering_address(&self, address: Address) -> impl Iterator<Item = &Rule> {
        self.covering(Prefix::host(address.to_ip()))
    }

    /// The rules of `prefix` and of what it covers, in order of prefix.
    pub fn within(&self, prefix: Prefix) -> impl Iterator<Item = &Rule> {
        self.all.within(prefix).flat_map(each)
    }

    /// Of those, the ones that allow.
    pub fn allows_within(&self, prefix: Prefix) -> impl Iterator<Item = &Rule> {
        self.allows.within(prefix).flat_map(each)
    }

    /// The identity that the next rule gets; what the store keeps.
    pub fn next_id(&self) -> RuleId {
        self.next
    }

    pub(super) fn set_next_id(&mut self, next: RuleId) {
        self.next = next;
    }

    /// The identities that the next rules get, in order.
    pub fn next_ids(&self) -> impl Iterator<Item = RuleId> + use<> {
        (self.next.0..).map(RuleId)
    }

    /// Takes an identity for a new rule.
    pub fn reserve_id(&mut self) -> RuleId {
        let id = self.next;
        self.next = RuleId(id.0.saturating_add(1));
        id
    }

    /// The rule that [`Self::insert`] of `rule` would replace.
    pub fn rival(&self, rule: &Rule) -> Option<&Rule> {
        self.about(rule.subject).find(|other| rule.replaces(other))
    }

    /// Adds `rule`, in place of one with the same identity or the same subject, action and origin.
    pub fn insert(&mut self, rule: Rule, now: Now) -> Inserted {
        let replaced = self.place(Arc::new(rule.rebased(now))).pop();
        replaced.map_or(Inserted::Added, |rule| {
            Inserted::Replaced(Arc::unwrap_or_clone(rule))
        })
    }

    /// Adds a rule whose deadline is on the running boot's clock. Returns those that it takes the
    /// place of: the one with its identity, then the one with its subject, action and origin.
    pub(super) fn place(&mut self, rule: Arc<Rule>) -> Vec<Arc<Rule>> {
        let rival = self.rival(&rule).map(|rival| rival.id);
        let mut replaced: Vec<Arc<Rule>> = self.take(rule.id).into_iter().collect();
        replaced.extend(rival.and_then(|rival| self.take(rival)));
        self.next = self.next.max(RuleId(rule.id.0.saturating_add(1)));
        if let Some(deadline) = rule.deadline {
            self.by_deadline.insert((deadline.boot_ns, rule.id));
        }
        if allows(&rule) {
            self.allows.insert(Arc::clone(&rule));
        }
        self.protected += usize::from(rule.origin.is_protection());
        self.all.insert(Arc::clone(&rule));
        self.by_id.insert(rule.id, rule);
        replaced
    }

    /// Takes the rule out.
    pub fn remove(&mut self, id: RuleId) -> Option<Rule> {
        self.take(id).map(Arc::unwrap_or_clone)
    }

    /// The same, for those who share it.
    pub(super) fn take(&mut self, id: RuleId) -> Option<Arc<Rule>> {
        let rule = self.by_id.remove(&id)?;
        self.all.remove(rule.subject, id);
        if allows(&rule) {
            self.allows.remove(rule.subject, id);
        }
        if let Some(deadline) = rule.deadline {
            self.by_deadline.remove(&(deadline.boot_ns, id));
        }
        self.protected -= usize::from(rule.origin.is_protection());
        Some(rule)
    }

    /// When the next rule ends, `CLOCK_BOOTTIME` nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.by_deadline.first().map(|(boot_ns, _)| *boot_ns)
    }

    /// Takes out the rules whose deadline has passed, earliest first.
    pub fn expire(&mut self, now: Now) -> Vec<Rule> {
        let past = |deadline: &u64| *deadline <= now.boot_ns;
        let mut ended = Vec::new();
        while let Some((_, id)) = self.by_deadline.first().filter(|(at, _)| past(at)).copied() {
            ended.extend(self.remove(id));
        }
        ended
    }

    /// Makes the rules of the origins that `ours` selects exactly `wanted`. Rules that stay as they
    /// are keep their identity, so nothing about them changes in the kernel.
    pub fn sync(&mut self, ours: impl Fn(&Origin) -> bool, wanted: Vec<Draft>, now: Now) -> Synced {
        let mut stale: BTreeSet<RuleId> = self
            .iter()
            .filter(|rule| ours(&rule.origin))
            .map(|rule| rule.id)
            .collect();
        let mut synced = Synced::default();
        for draft in wanted {
            if let Some(same) = self.about(draft.subject).find(|rule| draft.says(rule)) {
                stale.remove(&same.id);
                continue;
            }
            let rule = draft.into_rule(self.reserve_id(), now);
            synced.added.push(rule.id);
            if let Inserted::Replaced(old) = self.insert(rule, now) {
                // One that was added just now is no longer new; any other one was stale.
                if !stale.remove(&old.id) {
                    synced.added.retain(|id| *id != old.id);
                }
                synced.removed.push(old);
            }
        }
        let stale = stale.into_iter().filter_map(|id| self.remove(id));
        synced.removed.extend(stale);
        synced
    }
}

fn allows(rule: &Rule) -> bool {
    rule.action == RuleAction::Allow
}

fn each(rules: &[Arc<Rule>]) -> impl Iterator<Item = &Rule> {
    rules.iter().map(|rule| &**rule)
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
