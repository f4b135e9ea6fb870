//! Rules as they lie in the file: in bundles of those that were made together.
//!
//! Rules of one command or list differ in identity and subject and in nothing else, so the rest is
//! kept once for many. A bundle has the rules of consecutive identities, its key is the first of
//! them, and no two bundles have the same: whose key is the last one not above an identity has that
//! rule, or nobody has.

use std::sync::Arc;

use jiff::Timestamp;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{Change, json};
use crate::rules::{
    rule::{Origin, Rule, RuleAction, RuleId, Scope},
    subject::Subject,
    time::Deadline,
};

/// By the first [`RuleId`]: a [`Bundle`].
pub(super) const BUNDLES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bundles");
/// By [`RuleId`]: a [`Rule`], as schemas 1 and 2 had them. Read, and written no more.
pub(super) const RULES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rules");

/// Most rules of a bundle: whoever changes one of them writes all.
const LARGEST: usize = 256;

/// Rules of consecutive identities that say the same about each subject.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Bundle {
    action: RuleAction,
    scope: Scope,
    monitor: bool,
    forced: bool,
    deadline: Option<Deadline>,
    reason: String,
    origin: Origin,
    created: Timestamp,
    /// Never none.
    subjects: Vec<Subject>,
}

impl Bundle {
    fn of(rule: &Rule) -> Self {
        Self {
            action: rule.action,
            scope: rule.scope,
            monitor: rule.monitor,
            forced: rule.forced,
            deadline: rule.deadline,
            reason: rule.reason.clone(),
            origin: rule.origin.clone(),
            created: rule.created,
            subjects: vec![rule.subject],
        }
    }

    fn has_room_for(&self, rule: &Rule) -> bool {
        self.subjects.len() < LARGEST
            && self.deadline == rule.deadline
            && self.created == rule.created
            && self.action == rule.action
            && self.scope == rule.scope
            && self.monitor == rule.monitor
            && self.forced == rule.forced
            && self.origin == rule.origin
            && self.reason == rule.reason
    }

    /// The rules, the first of them with identity `first`.
    pub(super) fn rules(self, first: u64) -> impl Iterator<Item = Rule> {
        let ids = (first..).map(RuleId);
        ids.zip(self.subjects).map(move |(id, subject)| Rule {
            id,
            subject,
            action: self.action,
            scope: self.scope,
            monitor: self.monitor,
            forced: self.forced,
            deadline: self.deadline,
            reason: self.reason.clone(),
            origin: self.origin.clone(),
            created: self.created,
        })
    }

    /// Without the rules of `gone`: what is left, each run of consecutive identities with its first.
    fn without(self, first: u64, gone: &[u64]) -> Vec<(u64, Self)> {
        let mut left: Vec<(u64, Self)> = Vec::new();
        let mut next = None;
        for rule in self.rules(first) {
            let id = rule.id.0;
            if gone.binary_search(&id).is_ok() {
                continue;
            }
            match left.last_mut() {
                Some((_, run)) if next == Some(id) => run.subjects.push(rule.subject),
                _ => left.push((id, Self::of(&rule))),
            }
            next = id.checked_add(1);
        }
        left
    }
}

/// Makes those of the changes that are about rules. Of several of one rule the last counts.
pub(super) fn change(
    transaction: &WriteTransaction,
    changes: &[Change],
) -> Result<(), redb::Error> {
    let changes = last_of_each(changes);
    if changes.is_empty() {
        return Ok(());
    }
    let mut bundles = transaction.open_table(BUNDLES)?;
    let mut single = transaction.open_table(RULES)?;
    let ids: Vec<u64> = changes.iter().map(|(id, _)| *id).collect();
    forget(&mut bundles, &ids)?;
    if single.first()?.is_some() {
        for id in &ids {
            single.remove(id)?;
        }
    }
    let puts = changes
        .into_iter()
        .filter_map(|(id, rule)| Some((id, rule?)));
    add(&mut bundles, puts)
}

/// By identity: the rule that is to be there, or none.
fn last_of_each(changes: &[Change]) -> Vec<(u64, Option<&Arc<Rule>>)> {
    let about_rules = changes.iter().filter_map(|change| match change {
        Change::Put(rule) => Some((rule.id.0, Some(rule))),
        Change::Delete(id) => Some((id.0, None)),
        Change::NextId(_) | Change::Mode(_) | Change::Bypass(_) | Change::Onlys(_) => None,
    });
    let mut last: Vec<(u64, Option<&Arc<Rule>>)> = about_rules.collect();
    // The sort keeps the order of equals.
    last.sort_by_key(|(id, _)| *id);
    last.reverse();
    last.dedup_by_key(|(id, _)| *id);
    last.reverse();
    last
}

/// Takes rules out of their bundles. `ids` are in order.
fn forget(bundles: &mut Table<'_, u64, &[u8]>, mut ids: &[u64]) -> Result<(), redb::Error> {
    while let Some(id) = ids.first() {
        let found = around(bundles, *id)?;
        let next = bundles.range(id.saturating_add(1)..)?.next().transpose()?;
        let next = next.map_or(u64::MAX, |(next, _)| next.value());
        // None before the next bundle is in another one than the one that was found.
        let (here, others) = ids.split_at(ids.partition_point(|id| *id < next).max(1));
        ids = others;
        let Some((first, bundle)) = found else {
            continue;
        };
        let behind = first.saturating_add(count(&bundle.subjects));
        let (gone, _) = here.split_at(here.partition_point(|id| *id < behind));
        if gone.is_empty() {
            continue;
        }
        bundles.remove(first)?;
        for (first, left) in bundle.without(first, gone) {
            bundles.insert(first, json(&left)?.as_slice())?;
        }
    }
    Ok(())
}

/// The bundle that would have the rule of `id`, with its first identity.
fn around(bundles: &Table<'_, u64, &[u8]>, id: u64) -> Result<Option<(u64, Bundle)>, redb::Error> {
    let Some(entry) = bundles.range(..=id)?.next_back() else {
        return Ok(None);
    };
    let (first, value) = entry?;
    let bundle = serde_json::from_slice(value.value()).map_err(|error| {
        redb::Error::Corrupted(format!("rules from {}: {error}", first.value()))
    })?;
    Ok(Some((first.value(), bundle)))
}

/// Adds rules that are in no bundle, in order of identity.
fn add<'a>(
    bundles: &mut Table<'_, u64, &[u8]>,
    rules: impl Iterator<Item = (u64, &'a Arc<Rule>)>,
) -> Result<(), redb::Error> {
    let mut run: Option<(u64, Bundle)> = None;
    for (id, rule) in rules {
        match &mut run {
            Some((first, bundle))
                if first.checked_add(count(&bundle.subjects)) == Some(id)
                    && bundle.has_room_for(rule) =>
            {
                bundle.subjects.push(rule.subject);
            }
            _ => {
                if let Some((first, bundle)) = run.replace((id, Bundle::of(rule))) {
                    bundles.insert(first, json(&bundle)?.as_slice())?;
                }
            }
        }
    }
    if let Some((first, bundle)) = run {
        bundles.insert(first, json(&bundle)?.as_slice())?;
    }
    Ok(())
}

fn count(subjects: &[Subject]) -> u64 {
    u64::try_from(subjects.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
