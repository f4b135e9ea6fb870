//! Rules, lists, store and kernel tables as one thing that changes all at once or not at all.
//!
//! Order of a change: made in the rules, worked out and checked against the tables' sizes, stored (on
//! the disk when that returns), put into the kernel. What fails is taken back to where it began.

use std::{collections::BTreeMap, sync::Arc};

use bot_common::{
    abi::{
        counter::Hits,
        verdict::{Verdict, VerdictId},
    },
    address::Address,
};

use super::{
    edit::{self, Edit},
    enforcer::{EnforceError, Enforcer, Reach},
    timing::Timing,
};
use crate::{
    asn::Database,
    control::protocol::{Failure, FailureCode},
    datapath::{Datapath, TableError},
    event::Cause,
    policy::{self, Group, Inputs, Limits, List, ListId, Only, Owner, Tiers},
    rules::{
        rule::{Draft, Origin, Rule, RuleId},
        set::{RuleSet, Synced},
        subject::Subject,
        time::Now,
    },
    store::{Change, Store},
};

/// [`Filter::inputs`], where the enforcer is borrowed too.
macro_rules! inputs {
    ($filter:expr) => {
        $crate::policy::Inputs {
            rules: &$filter.rules,
            lists: $filter.spoken.all(),
            ports: $filter.spoken.groups(),
            database: $filter.database.as_deref(),
            tiers: $filter.tiers,
        }
    };
}

mod configure;
mod locks;

pub(super) use configure::Configured;
pub(super) use locks::Spoken;

/// How long to wait before a kernel that refused is asked again.
const RETRY_NS: u64 = 10_000_000_000;

/// What is in force, and everything that must agree with it.
pub(super) struct Filter {
    /// The kernel's side.
    pub enforcer: Enforcer,
    /// The disk's side.
    pub store: Store,
    rules: RuleSet,
    spoken: Spoken,
    database: Option<Arc<Database>>,
    tiers: Tiers,
    lag: Option<Lag>,
    /// Prefixes of each list, as the kernel's table was last made of them.
    enforced: BTreeMap<ListId, usize>,
    /// Whether the kernel is kept true already; before [`Self::enforce`] only rules change.
    begun: bool,
}

/// A kernel that refused: its table is not what the rules say.
struct Lag {
    /// Why.
    why: String,
    /// When it is asked again.
    retry_at: u64,
}

/// What stands behind a verdict.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behind<'a> {
    /// A rule.
    Rule(&'a Rule),
    /// A list.
    List(&'a List),
}

impl Filter {
    /// Takes over what the kernel's tables hold. They are not changed before [`Self::enforce`].
    pub(super) fn new(
        datapath: Datapath,
        store: Store,
        limits: Limits,
        rules: RuleSet,
        onlys: Vec<Only>,
    ) -> Result<Self, TableError> {
        let enforcer = Enforcer::new(datapath, limits)?;
        let groups = enforcer.port_groups()?;
        Ok(Self {
            enforcer,
            store,
            rules,
            spoken: Spoken::at_start(groups, onlys),
            database: None,
            tiers: Tiers::default(),
            lag: None,
            enforced: BTreeMap::new(),
            begun: false,
        })
    }

    /// The rules.
    pub(super) fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The lists.
    pub(super) fn lists(&self) -> &[List] {
        self.spoken.lists()
    }

    /// Prefixes of each list, as the kernel's table was last made of them.
    pub(super) fn enforced(&self) -> &BTreeMap<ListId, usize> {
        &self.enforced
    }

    /// Everything that the policy is made of.
    pub(super) fn inputs(&self) -> Inputs<'_> {
        inputs!(self)
    }

    /// Carries out an operator's change.
    pub(super) fn commit<T>(
        &mut self,
        edit: Edit<T>,
        mut timing: Timing,
        now: Now,
    ) -> Result<T, Failure> {
        let undo = self.rules.apply(&edit.changes);
        let reach = Self::reach(undo.subjects());
        let inputs = inputs!(self);
        let prepared = match self.enforcer.prepare(&inputs, &reach, now) {
            Ok(prepared) => prepared,
            Err(error) => {
                self.rules.undo(undo);
                return Err(refused(&error));
            }
        };
        timing.worked_out();
        let stored = edit::stored(&edit.changes, self.rules.next_id());
        if let Err(error) = self.store.commit(&stored) {
            self.rules.undo(undo);
            return Err(failed(format!("nothing was changed: {error}")));
        }
        timing.stored();
        if let Err(error) = self.enforcer.publish(prepared, &inputs, now) {
            let mut message =
                format!("the kernel refused ({error}); the rules are what they were before");
            if let Err(error) = self.store.commit(&edit::taken_back(&undo)) {
                message = format!(
                    "{message}, but the store could not be taken back ({error}): the change may come at the next start"
                );
            }
            self.rules.undo(undo);
            self.enforce_anew(now);
            return Err(failed(message));
        }
        timing.published();
        for rule in &edit.removed {
            self.enforcer.forget(rule.id);
        }
        timing.tell(edit.changes.len());
        Ok(edit.answer)
    }

    /// Only looks whether an operator's change is possible. Nothing of it stays.
    pub(super) fn rehearse<T>(&mut self, edit: Edit<T>, now: Now) -> Result<T, Failure> {
        let undo = self.rules.apply(&edit.changes);
        let reach = Self::reach(undo.subjects());
        let inputs = inputs!(self);
        let rehearsed = self.enforcer.rehearse(&inputs, &reach, now);
        self.rules.undo(undo);
        match rehearsed {
            Ok(()) => Ok(edit.answer),
            Err(error) => Err(refused(&error)),
        }
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
        let result = self.enforce_within(self.subjects(&synced), now);
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
        let subjects: Vec<Subject> = ended.iter().map(|rule| rule.subject).collect();
        let result = self.enforce_within(subjects, now).and_then(|()| {
            // Ended rules that stay in the store are ended at the next start too.
            stored.map_err(|error| failed(format!("ended rules stay stored: {error}")))
        });
        for rule in &ended {
            self.enforcer.forget(rule.id);
        }
        (ended, result)
    }

    /// Puts the policy as it is into the kernel, and keeps it true from now on.
    pub(super) fn enforce(&mut self, now: Now) -> Result<(), Failure> {
        self.begun = true;
        self.enforce_reach(&Reach::Everything, now)
    }

    /// Asks a kernel that refused again, now and then.
    pub(super) fn retry(&mut self, now: Now) -> Option<Result<(), Failure>> {
        self.lag
            .as_ref()
            .filter(|lag| lag.retry_at <= now.boot_ns)?;
        Some(self.enforce_reach(&Reach::Everything, now))
    }

    /// Why the kernel's table is not what the rules say, while it is not.
    pub(super) fn lag(&self) -> Option<&str> {
        self.lag.as_ref().map(|lag| lag.why.as_str())
    }

    /// Says so while rules and lists name more prefixes than the limit allows.
    pub(super) fn excess(&self, now: Now) -> Option<String> {
        let room = self.enforcer.room();
        if room.most() <= room.limit() {
            return None;
        }
        let (named, limit) = (policy::named(&self.inputs(), now), room.limit());
        (named > limit).then(|| {
            format!(
                "rules and lists name {named} prefixes, [tables] prefixes allows {limit}: all of them \
                 are in force, but none can be added; raise [tables] prefixes and reload"
            )
        })
    }

    /// Compares a part of the kernel's tables with the policy, and mends what differs.
    pub(super) fn look_for_differences(&mut self, now: Now) -> Result<(), Failure> {
        // A rule that ends this moment would look like one.
        let ends = self
            .rules
            .next_deadline()
            .is_some_and(|at| at <= now.boot_ns);
        if ends || !self.begun || self.lag.is_some() {
            return Ok(());
        }
        let inputs = inputs!(self);
        self.enforcer
            .look_for_differences(&inputs, now)
            .map_err(|error| refused(&error))
    }

    /// What stands behind a verdict, as seen from a source that it applied to.
    pub(super) fn behind(&self, verdict: VerdictId, src: Address, now: Now) -> Option<Behind<'_>> {
        match self.enforcer.owner(verdict)? {
            Owner::Rule(id) => self.rules.get(id).map(Behind::Rule),
            Owner::List(id) => {
                let mut lists = self.spoken.all().iter();
                let list = lists.find(|list| list.id() == id);
                list.map(Behind::List)
            }
            Owner::Group(group) => {
                let explanation = policy::explain(&self.inputs(), src, now);
                let mut winners = explanation.winning_rules();
                let is_of_it = |rule: &&Rule| Group::from(&rule.origin) == group;
                winners
                    .find_map(|id| self.rules.get(id).filter(is_of_it))
                    .map(Behind::Rule)
            }
            Owner::Unknown => None,
        }
    }

    /// The same for an event, which also names rules that have gone.
    pub(super) fn cause(&self, verdict: VerdictId, src: Address, now: Now) -> Cause {
        match (self.behind(verdict, src, now), self.enforcer.owner(verdict)) {
            (Some(Behind::Rule(rule)), _) => Cause::of(rule),
            (Some(Behind::List(list)), _) => Cause {
                origin: Some(if locks::is_lock(list) {
                    list.name().to_string()
                } else {
                    format!("list {}", list.name())
                }),
                ..Cause::default()
            },
            (None, Some(Owner::Rule(id))) => Cause {
                rule: Some(id),
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
        let is_wanted = |owner: &Owner| matches!(owner, Owner::Rule(rule) if wanted(*rule));
        let hits = self.enforcer.hits(is_wanted)?.into_iter();
        Ok(hits
            .filter_map(|(owner, hits)| match owner {
                Owner::Rule(rule) => Some((rule, hits)),
                Owner::List(_) | Owner::Group(_) | Owner::Unknown => None,
            })
            .collect())
    }

    /// What the entries of each list matched so far.
    pub(super) fn list_hits(&self) -> Result<BTreeMap<ListId, Hits>, TableError> {
        let hits = self
            .enforcer
            .hits(|owner| matches!(owner, Owner::List(_)))?;
        let of_lists = hits.into_iter().filter_map(|(owner, hits)| match owner {
            Owner::List(list) => Some((list, hits)),
            Owner::Rule(_) | Owner::Group(_) | Owner::Unknown => None,
        });
        Ok(of_lists.collect())
    }

    /// The kernel's own answer about an address, with the hits of each verdict of the chain.
    pub(super) fn lookup(
        &self,
        address: Address,
    ) -> Result<Vec<(VerdictId, Verdict, Hits)>, TableError> {
        self.enforcer.lookup(address)
    }

    fn enforce_within(&mut self, subjects: Vec<Subject>, now: Now) -> Result<(), Failure> {
        if !self.begun {
            return Ok(());
        }
        let reach = Self::reach(subjects);
        self.enforce_reach(&reach, now)
    }

    fn enforce_reach(&mut self, reach: &Reach, now: Now) -> Result<(), Failure> {
        self.attempt(reach, now).map_err(|error| {
            self.fall_behind(&error, now);
            refused(&error)
        })
    }

    /// Puts into the kernel what `reach` takes.
    fn attempt(&mut self, reach: &Reach, now: Now) -> Result<(), EnforceError> {
        if *reach == Reach::Everything {
            self.write_groups()?;
        }
        let inputs = inputs!(self);
        let prepared = self.enforcer.prepare(&inputs, reach, now)?;
        self.enforcer.publish(prepared, &inputs, now)?;
        if *reach == Reach::Everything {
            self.lag = None;
            self.spoken.settle(now);
        }
        if self.lag.is_none() {
            let lists = self.spoken.lists().iter();
            self.enforced = lists.map(|list| (list.id(), list.len())).collect();
        }
        Ok(())
    }

    /// The kernel's table is not what the rules say, for now.
    fn fall_behind(&mut self, error: &EnforceError, now: Now) {
        self.lag = Some(Lag {
            why: refused(error).message,
            retry_at: now.boot_ns.saturating_add(RETRY_NS),
        });
        if matches!(error, EnforceError::Table(_)) {
            // What it took and what not, it must say itself.
            let read = self.enforcer.read_anew(now);
            if let Err(error) = read {
                tracing::warn!("reading the kernel's tables: {error}");
            }
        }
    }

    /// After a refusal: what the kernel took of it is taken back.
    fn enforce_anew(&mut self, now: Now) {
        if let Err(error) = self.enforce_reach(&Reach::Everything, now) {
            tracing::warn!("the kernel's table is not what the rules say yet: {error}");
        }
    }

    /// What changed rules are about.
    fn subjects(&self, synced: &Synced) -> Vec<Subject> {
        let added = synced.added.iter().filter_map(|id| self.rules.get(*id));
        let removed = synced.removed.iter();
        added.chain(removed).map(|rule| rule.subject).collect()
    }

    /// The addresses that rules about these subjects concern.
    fn reach(subjects: impl IntoIterator<Item = Subject>) -> Reach {
        let mut prefixes = Vec::new();
        for subject in subjects {
            match subject {
                Subject::Prefix(prefix) => prefixes.push(prefix),
                Subject::Asn(_) | Subject::Country(_) => return Reach::Everything,
            }
        }
        Reach::of(prefixes)
    }
}

fn failed(message: String) -> Failure {
    Failure::new(FailureCode::Failed, message)
}

fn refused(error: &EnforceError) -> Failure {
    match error {
        EnforceError::Full(full) => Failure::new(FailureCode::Refused, full.to_string()),
        EnforceError::Table(error) => failed(format!("the kernel refused ({error})")),
    }
}
