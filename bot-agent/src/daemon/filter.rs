//! Rules, store and kernel tables as one thing that changes all at once or not at all.
//!
//! Order of a change: worked out, checked against the tables' sizes, stored (on the disk when that
//! returns), put into the kernel. When the kernel refuses, the store is taken back and the kernel
//! is read anew.

use std::collections::{BTreeMap, HashMap};

use bot_common::{
    abi::{
        counter::Hits,
        verdict::{Verdict, VerdictId},
    },
    address::Address,
};

use super::edit::{self, Edit};
use crate::{
    control::protocol::{Failure, FailureCode},
    datapath::{Datapath, TableError},
    event::Cause,
    policy::{
        self, Group, Inputs, Limits,
        prefix_plan::{self, Enforced, Owner, Step, TableFull},
    },
    rules::{
        rule::{Draft, Origin, Rule, RuleId},
        set::{RuleSet, Synced},
        time::Now,
    },
    store::{Change, Store},
};

/// How long to wait before a kernel that refused is asked again.
const RETRY_NS: u64 = 10_000_000_000;

/// The rules in force, and everything that must agree with them.
pub(super) struct Filter {
    /// The kernel's side.
    pub datapath: Datapath,
    /// The disk's side.
    pub store: Store,
    limits: Limits,
    rules: RuleSet,
    enforced: Enforced,
    owners: HashMap<VerdictId, Owner>,
    kept_hits: BTreeMap<RuleId, Hits>,
    retry_at: Option<u64>,
    /// Whether the kernel may hold something else than `enforced`.
    in_between: bool,
}

impl Filter {
    /// Takes over what the kernel's tables hold. They are not changed before the first change.
    pub(super) fn new(
        datapath: Datapath,
        store: Store,
        limits: Limits,
        rules: RuleSet,
    ) -> Result<Self, TableError> {
        let enforced = Enforced::from_kernel(limits, datapath.prefixes()?, &datapath.verdicts()?);
        Ok(Self {
            datapath,
            store,
            limits,
            rules,
            enforced,
            owners: HashMap::new(),
            kept_hits: BTreeMap::new(),
            retry_at: None,
            in_between: false,
        })
    }

    /// The rules.
    pub(super) fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// Carries out an operator's change.
    pub(super) fn commit<T>(&mut self, edit: Edit<T>, now: Now) -> Result<T, Failure> {
        let undo = self.rules.apply(&edit.changes);
        let plan = match self.plan(&self.rules, now) {
            Ok(plan) => plan,
            Err(full) => {
                self.rules.undo(undo);
                return Err(refused(&full));
            }
        };
        let stored = edit::stored(&edit.changes, self.rules.next_id());
        if let Err(error) = self.store.commit(&stored) {
            self.rules.undo(undo);
            return Err(failed(format!("nothing was changed: {error}")));
        }
        if let Err(error) = self.carry_out(plan) {
            let mut message =
                format!("the kernel refused ({error}); the rules are what they were before");
            if let Err(error) = self.store.commit(&edit::taken_back(&undo)) {
                message = format!(
                    "{message}, but the store could not be taken back ({error}): the change may come at the next start"
                );
            }
            self.rules.undo(undo);
            self.read_anew(now);
            return Err(failed(message));
        }
        for rule in &edit.removed {
            self.kept_hits.remove(&rule.id);
        }
        Ok(edit.answer)
    }

    /// Only looks whether an operator's change is possible.
    pub(super) fn rehearse<T>(&mut self, edit: Edit<T>, now: Now) -> Result<T, Failure> {
        let undo = self.rules.apply(&edit.changes);
        let plan = self.plan(&self.rules, now);
        self.rules.undo(undo);
        plan.map_err(|full| refused(&full))?;
        Ok(edit.answer)
    }

    /// Makes the rules of the origins that `ours` says exactly those of `wanted`. Such rules are
    /// not stored. Even if the kernel refuses, they are the rules from now on, and the kernel is
    /// asked again later.
    pub(super) fn sync(
        &mut self,
        ours: impl Fn(&Origin) -> bool,
        wanted: Vec<Draft>,
        now: Now,
    ) -> (Synced, Result<(), Failure>) {
        let synced = self.rules.sync(ours, wanted, now);
        if synced == Synced::default() {
            return (synced, Ok(()));
        }
        let result = self.enforce(now);
        (synced, result)
    }

    /// Ends rules whose time is over. The kernel has done so by itself; its tables are tidied up.
    pub(super) fn expire(&mut self, now: Now) -> (Vec<Rule>, Result<(), Failure>) {
        let ended = self.rules.expire(now);
        if ended.is_empty() {
            return (ended, Ok(()));
        }
        let stored = ended.iter().filter(|rule| rule.origin == Origin::Operator);
        let deletes: Vec<Change> = stored.map(|rule| Change::Delete(rule.id)).collect();
        let stored = self.store.commit(&deletes);
        let result = self.enforce(now).and_then(|()| {
            // Ended rules that stay in the store are ended at the next start too.
            stored.map_err(|error| failed(format!("ended rules stay stored: {error}")))
        });
        (ended, result)
    }

    /// Puts the rules as they are into the kernel.
    pub(super) fn enforce(&mut self, now: Now) -> Result<(), Failure> {
        let plan = self.plan(&self.rules, now);
        let outcome = match plan {
            Ok(plan) => self.carry_out(plan).map_err(|error| {
                failed(format!(
                    "the kernel refused ({error}); its table is between the old rules and the new"
                ))
            }),
            Err(full) => Err(refused(&full)),
        };
        match &outcome {
            Ok(()) => self.retry_at = None,
            Err(_) => self.retry_at = Some(now.boot_ns.saturating_add(RETRY_NS)),
        }
        outcome
    }

    /// Asks a kernel that refused again, now and then.
    pub(super) fn retry(&mut self, now: Now) -> Option<Result<(), Failure>> {
        if self.retry_at.is_none_or(|at| now.boot_ns < at) {
            return None;
        }
        if let Err(error) = self.read_back(now) {
            self.retry_at = Some(now.boot_ns.saturating_add(RETRY_NS));
            return Some(Err(failed(error.to_string())));
        }
        Some(self.enforce(now))
    }

    /// The rule behind a verdict, as seen from a source that it applied to.
    pub(super) fn rule_behind(&self, verdict: VerdictId, src: Address, now: Now) -> Option<&Rule> {
        match self.owners.get(&verdict) {
            Some(Owner::Rule(id)) => self.rules.get(*id),
            Some(Owner::Group(group)) => {
                let winner =
                    policy::explain(&Inputs::of_rules(&self.rules), src, now).winning_rule()?;
                let rule = self.rules.get(winner)?;
                (Group::from(&rule.origin) == *group).then_some(rule)
            }
            Some(Owner::Unknown) | None => None,
        }
    }

    /// The same for an event, which also names rules that have gone.
    pub(super) fn cause(&self, verdict: VerdictId, src: Address, now: Now) -> Cause {
        match (
            self.rule_behind(verdict, src, now),
            self.owners.get(&verdict),
        ) {
            (Some(rule), _) => Cause::of(rule),
            (None, Some(Owner::Rule(id))) => Cause {
                rule: Some(*id),
                ..Cause::default()
            },
            (None, _) => Cause::default(),
        }
    }

    /// What each rule with a counter of its own matched so far, of those that are `wanted`.
    pub(super) fn hits(
        &self,
        wanted: impl Fn(RuleId) -> bool,
    ) -> Result<BTreeMap<RuleId, Hits>, TableError> {
        let kept = self.kept_hits.iter().filter(|(rule, _)| wanted(**rule));
        let mut hits: BTreeMap<RuleId, Hits> = kept.map(|(rule, hits)| (*rule, *hits)).collect();
        let mut owned: Vec<(VerdictId, RuleId)> = Vec::new();
        for (id, owner) in &self.owners {
            if let Owner::Rule(rule) = owner
                && wanted(*rule)
            {
                owned.push((*id, *rule));
            }
        }
        let ids: Vec<VerdictId> = owned.iter().map(|(id, _)| *id).collect();
        for ((_, rule), found) in owned.iter().zip(self.datapath.hits(&ids)?) {
            add(hits.entry(*rule).or_default(), found);
        }
        Ok(hits)
    }

    /// The kernel's own answer about an address, with the hits of each verdict of the chain.
    pub(super) fn lookup(
        &self,
        address: Address,
    ) -> Result<Vec<(VerdictId, Verdict, Hits)>, TableError> {
        let (first, chain) = self.datapath.lookup(address)?;
        let ids = ids_of(first, &chain);
        let hits = self.datapath.hits(&ids)?;
        let rows = ids.into_iter().zip(chain).zip(hits);
        Ok(rows
            .map(|((id, verdict), hits)| (id, verdict, hits))
            .collect())
    }

    fn plan(&self, rules: &RuleSet, now: Now) -> Result<Plan, TableFull> {
        let mut enforced = self.enforced.clone();
        let steps = enforced.plan(&prefix_plan::compile(rules, now), now)?;
        Ok(Plan { enforced, steps })
    }

    fn carry_out(&mut self, mut plan: Plan) -> Result<(), crate::datapath::ApplyError> {
        self.keep_hits(&mut plan.enforced);
        self.datapath
            .apply(&plan.steps)
            .inspect_err(|_| self.in_between = true)?;
        self.enforced = plan.enforced;
        self.owners = self.enforced.owners().collect();
        Ok(())
    }

    /// Ids that are taken back into use lose their hits: they are read before that.
    fn keep_hits(&mut self, enforced: &mut Enforced) {
        for (id, owner) in enforced.take_reclaimed() {
            if let Owner::Rule(rule) = owner
                && self.rules.get(rule).is_some()
                && let Ok(hits) = self.datapath.hits(&[id])
            {
                let kept = self.kept_hits.entry(rule).or_default();
                for hits in hits {
                    add(kept, hits);
                }
            }
        }
    }

    /// Reads what the kernel holds, if that is not known. Ids rest from then on: reading it again
    /// each time would never let them.
    fn read_back(&mut self, now: Now) -> Result<(), TableError> {
        if self.in_between {
            let (prefixes, verdicts) = (self.datapath.prefixes()?, self.datapath.verdicts()?);
            self.enforced = Enforced::read_anew(self.limits, prefixes, &verdicts, now);
            self.in_between = false;
        }
        Ok(())
    }

    /// After a refusal: the kernel holds something in between.
    fn read_anew(&mut self, now: Now) {
        let again = self
            .read_back(now)
            .map_err(|error| failed(error.to_string()))
            .and_then(|()| self.enforce(now));
        if let Err(error) = again {
            self.retry_at = Some(now.boot_ns.saturating_add(RETRY_NS));
            tracing::warn!("the kernel's table is not what the rules say yet: {error}");
        }
    }
}

struct Plan {
    enforced: Enforced,
    steps: Vec<Step>,
}

/// The ids of a chain, from its first id and the terms.
pub(super) fn ids_of(first: VerdictId, chain: &[Verdict]) -> Vec<VerdictId> {
    let beneath = chain.iter().map(|verdict| verdict.then);
    std::iter::once(first)
        .chain(beneath)
        .take(chain.len())
        .collect()
}

fn add(sum: &mut Hits, more: Hits) {
    sum.packets = sum.packets.saturating_add(more.packets);
    sum.bytes = sum.bytes.saturating_add(more.bytes);
}

fn failed(message: String) -> Failure {
    Failure::new(FailureCode::Failed, message)
}

fn refused(full: &TableFull) -> Failure {
    Failure::new(FailureCode::Refused, full.to_string())
}
