//! Plans: the ordered steps that take the kernel's table from what it says to what it should say.
//!
//! At every moment each address has its old verdict or its new one. Verdicts are written before a
//! prefix refers to them. Then come the new prefixes, the longest first: an address sees the change
//! when the longest prefix of its new path is there, everything beneath being ready or hidden. Then
//! go the old ones, the shortest first: an address sees the change when its last old one goes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map::Entry},
};

use bot_common::abi::verdict::{MAX_CHAIN, Verdict, VerdictId};

use super::{
    compile::{Chain, Desired, NOTHING},
    dictionary::{Dictionary, Fresh, Owner, TableFull},
};
use crate::policy::Limits;
use crate::rules::{prefix::Prefix, time::Now};

/// One change of the kernel's tables.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Set the hit count of a free id to zero.
    ResetHits(VerdictId),
    /// Write the terms of a free id.
    WriteVerdict(VerdictId, Verdict),
    /// Make a prefix refer to an id.
    Upsert(Prefix, VerdictId),
    /// Take a prefix out.
    Remove(Prefix),
}

/// What the kernel holds, as the agent knows it.
///
/// [`Enforced::plan`] takes its steps for done. When one fails, the kernel holds something in
/// between that is right for every address, old or new: read it back with
/// [`Enforced::read_anew`] and plan again.
#[derive(Clone, Debug)]
pub struct Enforced {
    limits: Limits,
    prefixes: BTreeMap<Prefix, VerdictId>,
    dictionary: Dictionary,
    reclaimed: Vec<(VerdictId, Owner)>,
}

impl Enforced {
    /// Tables that were just made: empty, all counts zero.
    pub fn empty(limits: Limits) -> Self {
        Self {
            limits,
            prefixes: BTreeMap::new(),
            dictionary: Dictionary::new(limits.verdicts),
            reclaimed: Vec::new(),
        }
    }

    /// Tables of an earlier agent. `verdicts` are the ids that are not all zero. The first
    /// [`Self::plan`] finds out which rules stand behind them and leaves alone what is right.
    /// Ids that no prefix leads to are free at once: no packet of that agent's time is in flight.
    pub fn from_kernel(
        limits: Limits,
        prefixes: Vec<(Prefix, VerdictId)>,
        verdicts: &[(VerdictId, Verdict)],
    ) -> Self {
        Self::adopt(limits, prefixes, verdicts, None)
    }

    /// The same in the midst of an agent's life, after a plan that failed half-way: what no prefix
    /// leads to may have been freed just now, and rests.
    pub fn read_anew(
        limits: Limits,
        prefixes: Vec<(Prefix, VerdictId)>,
        verdicts: &[(VerdictId, Verdict)],
        now: Now,
    ) -> Self {
        Self::adopt(limits, prefixes, verdicts, Some(now.boot_ns))
    }

    fn adopt(
        limits: Limits,
        prefixes: Vec<(Prefix, VerdictId)>,
        verdicts: &[(VerdictId, Verdict)],
        freed: Option<u64>,
    ) -> Self {
        let prefixes: BTreeMap<_, _> = prefixes.into_iter().collect();
        let referred = prefixes.values().copied();
        Self {
            limits,
            dictionary: Dictionary::adopt(limits.verdicts, verdicts, referred, freed),
            prefixes,
            reclaimed: Vec::new(),
        }
    }

    /// The steps to `desired`, to be carried out in order; none when the kernel says it already.
    /// On an error nothing changes.
    pub fn plan(&mut self, desired: &Desired, now: Now) -> Result<Vec<Step>, TableFull> {
        self.check_room(desired)?;
        let now = now.boot_ns;
        let Changes {
            dictionary,
            fresh,
            upserts,
            removes,
        } = self
            .changes(desired, now)
            .map_err(|full| self.or_later(full, desired, now))?;
        self.dictionary = dictionary;
        self.remember(&fresh, &upserts, &removes);

        let mut steps = Vec::with_capacity(2 * fresh.len() + upserts.len() + removes.len());
        for Fresh {
            id,
            verdict,
            before,
        } in fresh
        {
            steps.extend(before.map(|_| Step::ResetHits(id)));
            steps.push(Step::WriteVerdict(id, verdict));
        }
        steps.extend(
            upserts
                .into_iter()
                .map(|(prefix, id)| Step::Upsert(prefix, id)),
        );
        steps.extend(removes.into_iter().map(Step::Remove));
        Ok(steps)
    }

    /// What to do, and the dictionary afterwards.
    fn changes(&self, desired: &Desired, now: u64) -> Result<Changes, TableFull> {
        let mut dictionary = self.dictionary.clone();
        let mut fresh = Vec::new();
        let mut upserts = Vec::new();
        for (prefix, chain) in &desired.chains {
            let present = self.prefixes.get(prefix).copied();
            let id = intern(&mut dictionary, chain, present, now, &mut fresh)?;
            if present != Some(id) {
                dictionary.refer(id);
                upserts.push((*prefix, id));
            }
        }
        let gone = self
            .prefixes
            .keys()
            .filter(|old| !desired.chains.contains_key(old));
        let mut removes: Vec<Prefix> = gone.copied().collect();
        upserts.sort_by_key(|(prefix, _)| Reverse(prefix.bits()));
        removes.sort_by_key(|prefix| prefix.bits());

        let replaced = upserts.iter().map(|(prefix, _)| prefix).chain(&removes);
        for old in replaced.filter_map(|prefix| self.prefixes.get(prefix)) {
            dictionary.release(*old, now);
        }
        dictionary.settle();
        Ok(Changes {
            dictionary,
            fresh,
            upserts,
            removes,
        })
    }

    /// Of a refusal that only time is needed for, the time.
    fn or_later(&self, full: TableFull, desired: &Desired, now: u64) -> TableFull {
        let rested = self.dictionary.rested_at().filter(|rested| *rested > now);
        match rested {
            Some(rested) if self.changes(desired, rested).is_ok() => TableFull::Resting {
                seconds: (rested - now).div_ceil(1_000_000_000),
            },
            _ => full,
        }
    }

    /// The ids that plans took back into use since the last call, and whom they counted for. Their
    /// hits are lost to the rule unless they are read before the steps are carried out.
    pub fn take_reclaimed(&mut self) -> Vec<(VerdictId, Owner)> {
        std::mem::take(&mut self.reclaimed)
    }

    /// Every id in use or at rest, and whom its hits count for. A rule may have several: one for
    /// each way in which its chain goes on, and those of its past.
    pub fn owners(&self) -> impl Iterator<Item = (VerdictId, Owner)> {
        self.dictionary.owners()
    }

    /// The table: prefixes in order.
    pub fn prefixes(&self) -> impl Iterator<Item = (Prefix, VerdictId)> {
        self.prefixes.iter().map(|(prefix, id)| (*prefix, *id))
    }

    /// The id of exactly this prefix.
    pub fn verdict_id(&self, prefix: Prefix) -> Option<VerdictId> {
        self.prefixes.get(&prefix).copied()
    }

    /// The terms of an id in use.
    pub fn verdict(&self, id: VerdictId) -> Option<Verdict> {
        self.dictionary.verdict(id).copied()
    }

    /// Prefixes and verdicts in use, for comparison with [`Limits`].
    pub fn used(&self) -> Limits {
        Limits {
            prefixes: self.prefixes.len(),
            verdicts: self.dictionary.live() + 1,
        }
    }

    fn check_room(&self, desired: &Desired) -> Result<(), TableFull> {
        let capacity = self.limits.prefixes;
        let needed = desired.chains.len();
        if needed > capacity {
            return Err(TableFull::Prefixes { needed, capacity });
        }
        let new = desired
            .chains
            .keys()
            .filter(|new| !self.prefixes.contains_key(new));
        let needed = self.prefixes.len() + new.count();
        if needed > capacity {
            return Err(TableFull::Transition { needed, capacity });
        }
        Ok(())
    }

    fn remember(&mut self, fresh: &[Fresh], upserts: &[(Prefix, VerdictId)], removes: &[Prefix]) {
        let before = |fresh: &Fresh| fresh.before.map(|owner| (fresh.id, owner));
        self.reclaimed.extend(fresh.iter().filter_map(before));
        for (prefix, id) in upserts {
            match self.prefixes.entry(*prefix) {
                Entry::Occupied(mut entry) => *entry.get_mut() = *id,
                Entry::Vacant(entry) => {
                    entry.insert(*id);
                }
            }
        }
        for prefix in removes {
            self.prefixes.remove(prefix);
        }
    }
}

/// A plan before it is put in order.
struct Changes {
    dictionary: Dictionary,
    fresh: Vec<Fresh>,
    upserts: Vec<(Prefix, VerdictId)>,
    removes: Vec<Prefix>,
}

/// The id of a chain, made from its last link upwards.
fn intern(
    dictionary: &mut Dictionary,
    chain: &Chain,
    present: Option<VerdictId>,
    now: u64,
    fresh: &mut Vec<Fresh>,
) -> Result<VerdictId, TableFull> {
    let mut hints = present_chain(dictionary, present).into_iter().rev();
    let mut then = NOTHING;
    for link in chain.iter().rev() {
        then = dictionary.id_for(link, then, hints.next(), now, fresh)?;
    }
    Ok(then)
}

/// The ids of the chain that a prefix has in the kernel.
fn present_chain(dictionary: &Dictionary, present: Option<VerdictId>) -> Vec<VerdictId> {
    let beneath = |id: &VerdictId| dictionary.verdict(*id).map(|verdict| verdict.then);
    std::iter::successors(present, beneath)
        .take_while(|id| *id != NOTHING)
        .take(MAX_CHAIN)
        .collect()
}
