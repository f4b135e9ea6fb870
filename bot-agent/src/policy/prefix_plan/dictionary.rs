//! The dictionary: which verdict ids say what, whom they count for, and which are free.
//!
//! Invariants: an id that the table refers to, directly or through `then`, keeps its terms. A freed
//! id rests for [`REST`] before it says something else, so that no packet in flight reads a
//! stranger's terms. An operator's rule has ids of its own, and so exact hit counts, until half of
//! all ids are given away like that; from then on new rules of one group that say the same share.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bot_common::abi::verdict::{Verdict, VerdictId};

use super::compile::{Link, NOTHING};
use crate::policy::Group;
use crate::rules::rule::RuleId;

/// How long a freed id is left alone. A packet holds an id for microseconds.
pub const REST: Duration = Duration::from_secs(5);

/// Whom the hits of a verdict count for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Owner {
    /// One rule.
    Rule(RuleId),
    /// All rules of a group that say the same.
    Group(Group),
    /// Found in the kernel, not yet matched with a rule.
    Unknown,
}

/// A table that cannot hold the policy. Nothing was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TableFull {
    /// Too many prefixes.
    #[error(
        "the rules need {needed} prefixes, the table holds {capacity}: raise [tables] prefixes \
         and restart the agent; the old table stays in force"
    )]
    Prefixes {
        /// Prefixes of the new table.
        needed: usize,
        /// `[tables] prefixes`.
        capacity: usize,
    },
    /// The old and the new prefixes do not fit beside one another.
    #[error(
        "old and new rules need {needed} prefixes while they change places, the table holds \
         {capacity}: raise [tables] prefixes and restart the agent, or change fewer rules at \
         once; the old table stays in force"
    )]
    Transition {
        /// Prefixes of the old and the new table together.
        needed: usize,
        /// `[tables] prefixes`.
        capacity: usize,
    },
    /// Too many verdicts.
    #[error(
        "the rules need more than the {capacity} verdicts there are: give rules the same \
         deadline{}; the old table stays in force",
        raise(*capacity)
    )]
    Verdicts {
        /// Ids besides [`VerdictId::NONE`].
        capacity: usize,
    },
    /// There are enough verdicts, but some were freed a moment ago.
    #[error(
        "the change needs verdicts that were freed within the last seconds: try again in \
         {seconds} s; the old table stays in force"
    )]
    Resting {
        /// When it will do.
        seconds: u64,
    },
}

/// What helps besides, unless the table is as large as it can be.
fn raise(capacity: usize) -> String {
    if capacity >= to_index(VerdictId::MAX) {
        return String::new();
    }
    let most = to_index(VerdictId::MAX) + 1;
    format!(", or raise [tables] verdicts ({most} at most) and restart the agent")
}

/// A verdict that was given an id by [`Dictionary::id_for`] and has to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fresh {
    pub(super) id: VerdictId,
    pub(super) verdict: Verdict,
    /// Whom the id counted for before, if its hits may not be zero.
    pub(super) before: Option<Owner>,
}

#[derive(Clone, Debug)]
pub(super) struct Dictionary {
    /// By id, [`VerdictId::NONE`] included.
    slots: Vec<Slot>,
    ids: HashMap<(Owner, Verdict), VerdictId>,
    /// Freed ids, the longest resting first, with the time since when (`CLOCK_BOOTTIME` ns).
    resting: VecDeque<(u64, VerdictId)>,
    /// No slot below is [`Slot::Unused`].
    first_unused: usize,
    /// Ids of one rule alone.
    exclusive: usize,
    /// Whether unused ids are known to count zero.
    pristine: bool,
    /// Whether what was found in the kernel is being matched with rules.
    adopting: bool,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Unused,
    Resting(Owner),
    Live(Entry),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    verdict: Verdict,
    owner: Owner,
    /// Prefixes that refer to it.
    prefixes: u32,
    /// Verdicts that refer to it by `then`.
    chained: u32,
}

impl Dictionary {
    /// `capacity` ids, [`VerdictId::NONE`] included.
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(to_index(VerdictId::MAX) + 1);
        Self {
            slots: vec![Slot::Unused; capacity],
            ids: HashMap::new(),
            resting: VecDeque::new(),
            first_unused: 1,
            exclusive: 0,
            pristine: true,
            adopting: false,
        }
    }

    /// What the kernel holds: `verdicts`, of which `referred` are the ids of prefixes.
    ///
    /// What no prefix leads to is free, whatever it says. `freed`: it may have been freed at that
    /// time, by this agent, and rests; else by an earlier agent, whose last packets have gone.
    pub(super) fn adopt(
        capacity: usize,
        verdicts: &[(VerdictId, Verdict)],
        referred: impl Iterator<Item = VerdictId>,
        freed: Option<u64>,
    ) -> Self {
        let mut dictionary = Self {
            pristine: false,
            adopting: true,
            ..Self::new(capacity)
        };
        let known: HashMap<VerdictId, Verdict> = verdicts.iter().copied().collect();
        for head in referred {
            let mut next = head;
            while next != NOTHING && dictionary.entry(next).is_none() {
                let Some(verdict) = known.get(&next) else {
                    break;
                };
                dictionary.put(next, Slot::Live(Entry::new(*verdict, Owner::Unknown)));
                next = verdict.then;
            }
            dictionary.refer(head);
        }
        for (id, verdict) in verdicts.iter().filter(|(id, _)| *id != NOTHING) {
            if dictionary.entry(*id).is_some() {
                if let Some(beneath) = dictionary.entry(verdict.then) {
                    beneath.chained += 1;
                }
            } else if let Some(freed) = freed {
                dictionary.put(*id, Slot::Resting(Owner::Unknown));
                dictionary.resting.push_back((freed, *id));
            }
        }
        dictionary
    }

    /// The id of a link above `then`. `hint` is the id in the same place of the prefix's present
    /// chain. Fresh verdicts are added to `fresh`, and have to be written before they are used.
    pub(super) fn id_for(
        &mut self,
        link: &Link,
        then: VerdictId,
        hint: Option<VerdictId>,
        now: u64,
        fresh: &mut Vec<Fresh>,
    ) -> Result<VerdictId, TableFull> {
        let verdict = link.terms.verdict(then);
        let (own, shared) = (Owner::Rule(link.rule), Owner::Group(link.group));
        if let Some(id) = self.ids.get(&(own, verdict)) {
            return Ok(*id);
        }
        let group_id = self.ids.get(&(shared, verdict)).copied();
        if let Some(id) = group_id.filter(|id| hint == Some(*id)) {
            return Ok(id);
        }
        if let Some(id) = hint.filter(|id| self.claim(*id, &verdict, own, shared)) {
            return Ok(id);
        }
        let owner = if self.exclusive < self.slots.len() / 2 {
            own
        } else if let Some(id) = group_id {
            return Ok(id);
        } else {
            shared
        };
        let Some((id, before)) = self.free_id(now) else {
            return group_id.ok_or(TableFull::Verdicts {
                capacity: self.slots.len().saturating_sub(1),
            });
        };
        self.put(id, Slot::Live(Entry::new(verdict, owner)));
        self.own(id, verdict, owner);
        if let Some(beneath) = self.entry(then) {
            beneath.chained += 1;
        }
        fresh.push(Fresh {
            id,
            verdict,
            before,
        });
        Ok(id)
    }

    /// A prefix now refers to `id`.
    pub(super) fn refer(&mut self, id: VerdictId) {
        if let Some(entry) = self.entry(id) {
            entry.prefixes += 1;
        }
    }

    /// A prefix no longer refers to `id`.
    pub(super) fn release(&mut self, id: VerdictId, now: u64) {
        if let Some(entry) = self.entry(id) {
            entry.prefixes = entry.prefixes.saturating_sub(1);
            self.rest_if_unused(id, now);
        }
    }

    /// Ends the adoption: ids that no rule has claimed are free.
    pub(super) fn settle(&mut self) {
        self.adopting = false;
    }

    /// When everything that rests will be free (`CLOCK_BOOTTIME` ns); `None`: nothing rests.
    pub(super) fn rested_at(&self) -> Option<u64> {
        let (since, _) = self.resting.back()?;
        Some(since.saturating_add(rest_ns()))
    }

    /// The terms of a live id.
    pub(super) fn verdict(&self, id: VerdictId) -> Option<&Verdict> {
        match self.slots.get(to_index(id))? {
            Slot::Live(entry) => Some(&entry.verdict),
            Slot::Unused | Slot::Resting(_) => None,
        }
    }

    /// Every id that says something or rests, and whom its hits count for.
    pub(super) fn owners(&self) -> impl Iterator<Item = (VerdictId, Owner)> {
        let slots = self.slots.iter().zip(0..);
        slots.filter_map(|(slot, id)| match slot {
            Slot::Live(Entry { owner, .. }) | Slot::Resting(owner) => {
                VerdictId::new(id).map(|id| (id, *owner))
            }
            Slot::Unused => None,
        })
    }

    /// How many ids say something.
    pub(super) fn live(&self) -> usize {
        let live = |slot: &&Slot| matches!(slot, Slot::Live(_));
        self.slots.iter().filter(live).count()
    }

    /// Takes an id found in the kernel for a link that says the same. One that rules have claimed
    /// before was shared, and stays so.
    fn claim(&mut self, id: VerdictId, verdict: &Verdict, own: Owner, shared: Owner) -> bool {
        let same = |entry: &&mut Entry| entry.verdict == *verdict;
        let adopting = self.adopting;
        let Some(entry) = self.entry(id).filter(same) else {
            return false;
        };
        match entry.owner {
            Owner::Unknown => {
                entry.owner = own;
                self.own(id, *verdict, own);
                true
            }
            Owner::Rule(_) if adopting => {
                let before = std::mem::replace(&mut entry.owner, shared);
                self.disown(id, *verdict, before);
                self.own(id, *verdict, shared);
                true
            }
            Owner::Rule(_) | Owner::Group(_) => false,
        }
    }

    fn own(&mut self, id: VerdictId, verdict: Verdict, owner: Owner) {
        self.ids.insert((owner, verdict), id);
        if matches!(owner, Owner::Rule(_)) {
            self.exclusive += 1;
        }
    }

    fn disown(&mut self, id: VerdictId, verdict: Verdict, owner: Owner) {
        if self.ids.get(&(owner, verdict)) == Some(&id) {
            self.ids.remove(&(owner, verdict));
            self.exclusive -= usize::from(matches!(owner, Owner::Rule(_)));
        }
    }

    /// A free id, and whom it counted for before.
    fn free_id(&mut self, now: u64) -> Option<(VerdictId, Option<Owner>)> {
        while let Some(slot) = self.slots.get(self.first_unused) {
            let index = self.first_unused;
            self.first_unused += 1;
            if matches!(slot, Slot::Unused) {
                let before = (!self.pristine).then_some(Owner::Unknown);
                return Some((u32::try_from(index).ok().and_then(VerdictId::new)?, before));
            }
        }
        let rested = |(since, _): &(u64, VerdictId)| now >= since.saturating_add(rest_ns());
        let (_, id) = *self.resting.front().filter(|front| rested(front))?;
        self.resting.pop_front();
        let before = match self.slots.get(to_index(id))? {
            Slot::Resting(owner) | Slot::Live(Entry { owner, .. }) => *owner,
            Slot::Unused => Owner::Unknown,
        };
        Some((id, Some(before)))
    }

    /// Frees `id`, and what only it led to, when nothing refers to it any more.
    fn rest_if_unused(&mut self, id: VerdictId, now: u64) {
        let mut next = id;
        while let Some(entry) = self.entry(next).filter(|entry| entry.unused()) {
            let Entry { verdict, owner, .. } = *entry;
            self.put(next, Slot::Resting(owner));
            self.resting.push_back((now, next));
            self.disown(next, verdict, owner);
            if let Some(beneath) = self.entry(verdict.then) {
                beneath.chained = beneath.chained.saturating_sub(1);
            }
            next = verdict.then;
        }
    }

    fn entry(&mut self, id: VerdictId) -> Option<&mut Entry> {
        match self.slots.get_mut(to_index(id))? {
            Slot::Live(entry) => Some(entry),
            Slot::Unused | Slot::Resting(_) => None,
        }
    }

    fn put(&mut self, id: VerdictId, slot: Slot) {
        if let Some(place) = self.slots.get_mut(to_index(id)) {
            *place = slot;
        }
    }
}

impl Entry {
    fn new(verdict: Verdict, owner: Owner) -> Self {
        Self {
            verdict,
            owner,
            prefixes: 0,
            chained: 0,
        }
    }

    fn unused(&self) -> bool {
        self.prefixes == 0 && self.chained == 0
    }
}

fn rest_ns() -> u64 {
    u64::try_from(REST.as_nanos()).unwrap_or(u64::MAX)
}

fn to_index(id: VerdictId) -> usize {
    usize::try_from(id.get()).unwrap_or(usize::MAX)
}
