//! The dictionary: which verdict ids say what, whom they count for, and which are free.
//!
//! Invariants: an id that the table refers to, directly or through `then`, keeps its terms. A freed
//! id rests for [`REST`] before it says something else, so that no packet in flight reads a
//! stranger's terms. Ids are freed by a sweep ([`Dictionary::sweep`]) that is told what the table
//! refers to. All that is given out between [`Dictionary::begin`] and [`Dictionary::keep`] can be
//! taken back.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bot_common::abi::verdict::{Verdict, VerdictId};

use super::{
    candidate::{Owner, Sharing},
    chain::{Link, Terms},
    deadline,
};

/// How long a freed id is left alone. A packet holds an id for microseconds.
pub const REST: Duration = Duration::from_secs(5);

/// A verdict that was given an id and has to be written before a table refers to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fresh {
    /// The id.
    pub id: VerdictId,
    /// What it says from now on.
    pub verdict: Verdict,
    /// Whether its hits may not be zero, and have to be set to zero first.
    pub reset: bool,
}

/// How sparing the dictionary is with ids.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Grouping {
    /// Rules have ids of their own until half of all are given away like that.
    Own,
    /// New ids are for all rules of a group that say the same.
    Shared,
    /// And deadlines are rounded up farther.
    Coarse,
}

impl Grouping {
    /// From the most generous to the most sparing.
    pub(super) const ALL: [Self; 3] = [Self::Own, Self::Shared, Self::Coarse];
}

/// The dictionary is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exhausted;

#[derive(Clone, Debug)]
pub(super) struct Dictionary {
    /// By id, [`VerdictId::NONE`] included.
    slots: Vec<Slot>,
    ids: HashMap<(Owner, Verdict), VerdictId>,
    /// Freed ids, the longest resting first, with the time since when (`CLOCK_BOOTTIME` ns).
    resting: VecDeque<(u64, VerdictId)>,
    counts: Counts,
    /// Whether unused ids are known to count zero.
    pristine: bool,
    /// Whether what was found in the kernel is being matched with rules.
    adopting: bool,
    /// How to take back what was done since [`Dictionary::begin`], in order.
    journal: Vec<Undo>,
    before: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// No slot below is [`Slot::Unused`].
    first_unused: usize,
    /// Ids of one rule alone.
    exclusive: usize,
    live: usize,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Unused,
    Resting(Owner),
    Live(Verdict, Owner),
}

#[derive(Clone, Copy, Debug)]
enum Undo {
    Slot(VerdictId, Slot),
    Key((Owner, Verdict), Option<VerdictId>),
    Rested(u64, VerdictId),
}

impl Dictionary {
    /// `capacity` ids, [`VerdictId::NONE`] included.
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(to_index(VerdictId::MAX) + 1);
        let counts = Counts {
            first_unused: 1,
            ..Counts::default()
        };
        Self {
            slots: vec![Slot::Unused; capacity],
            ids: HashMap::new(),
            resting: VecDeque::new(),
            counts,
            pristine: true,
            adopting: false,
            journal: Vec::new(),
            before: counts,
        }
    }

    /// What the kernel holds: `verdicts`, and which of them the table refers to.
    ///
    /// What the table does not lead to is free, whatever it says. `freed`: it may have been freed at
    /// that time, by this agent, and rests; else by an earlier agent, whose last packets have gone.
    pub(super) fn adopt(
        capacity: usize,
        verdicts: &[(VerdictId, Verdict)],
        referred: impl IntoIterator<Item = VerdictId>,
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
            while next != VerdictId::NONE && dictionary.verdict(next).is_none() {
                let Some(verdict) = known.get(&next) else {
                    break;
                };
                dictionary.put(next, Slot::Live(*verdict, Owner::Unknown));
                next = verdict.then;
            }
        }
        let said = verdicts.iter().filter(|(id, _)| *id != VerdictId::NONE);
        for (id, _) in said {
            if let Some(freed) = freed.filter(|_| dictionary.verdict(*id).is_none()) {
                dictionary.put(*id, Slot::Resting(Owner::Unknown));
                dictionary.resting.push_back((freed, *id));
            }
        }
        dictionary.keep();
        dictionary
    }

    /// From here on everything can be taken back.
    pub(super) fn begin(&mut self) {
        self.journal.clear();
        self.before = self.counts;
    }

    /// Ids that were back in use since [`Self::begin`], and whom they counted for.
    pub(super) fn reclaimed(&self) -> impl Iterator<Item = (VerdictId, Owner)> {
        self.journal.iter().filter_map(|undo| match undo {
            Undo::Slot(id, Slot::Resting(owner)) => Some((*id, *owner)),
            Undo::Slot(id, Slot::Unused) if !self.pristine => Some((*id, Owner::Unknown)),
            Undo::Slot(..) | Undo::Key(..) | Undo::Rested(..) => None,
        })
    }

    /// What was done stays.
    pub(super) fn keep(&mut self) {
        self.journal.clear();
    }

    /// Takes back everything since [`Self::begin`].
    pub(super) fn take_back(&mut self) {
        while let Some(undo) = self.journal.pop() {
            match undo {
                Undo::Slot(id, slot) => {
                    if let Some(place) = self.slots.get_mut(to_index(id)) {
                        *place = slot;
                    }
                }
                Undo::Key(key, Some(id)) => {
                    self.ids.insert(key, id);
                }
                Undo::Key(key, None) => {
                    self.ids.remove(&key);
                }
                Undo::Rested(since, id) => self.resting.push_front((since, id)),
            }
        }
        self.counts = self.before;
    }

    /// The id of a link above `then`. `hint` is the id in the same place of the chain that the
    /// addresses have at present. A fresh verdict is added to `fresh`.
    pub(super) fn id_for(
        &mut self,
        link: &Link,
        then: VerdictId,
        hint: Option<VerdictId>,
        grouping: Grouping,
        now: u64,
        fresh: &mut Vec<Fresh>,
    ) -> Result<VerdictId, Exhausted> {
        let verdict = link.terms.verdict(then);
        match self.known(link, &verdict, hint, grouping) {
            Known::Id(id) => Ok(id),
            Known::Not { may_share } if grouping != Grouping::Coarse => {
                self.give(link, verdict, may_share, grouping, now, fresh)
            }
            Known::Not { .. } => {
                let expires = deadline::coarser(link.terms.expires, link.grain);
                let terms = Terms {
                    expires,
                    ..link.terms
                };
                let verdict = terms.verdict(then);
                match self.known(link, &verdict, hint, grouping) {
                    Known::Id(id) => Ok(id),
                    Known::Not { may_share } => {
                        self.give(link, verdict, may_share, grouping, now, fresh)
                    }
                }
            }
        }
    }

    /// The id that says so already, if it is to be used.
    fn known(
        &mut self,
        link: &Link,
        verdict: &Verdict,
        hint: Option<VerdictId>,
        grouping: Grouping,
    ) -> Known {
        let (own, shared) = (link.owner(), link.shared_owner());
        if let Some(id) = self.ids.get(&(own, *verdict)) {
            return Known::Id(*id);
        }
        let group_id = self.ids.get(&(shared, *verdict)).copied();
        let stays = group_id.filter(|id| hint == Some(*id) || grouping != Grouping::Own);
        if let Some(id) = stays {
            return Known::Id(id);
        }
        match hint.filter(|id| self.claim(*id, verdict, own, shared)) {
            Some(id) => Known::Id(id),
            None => Known::Not {
                may_share: group_id,
            },
        }
    }

    /// A free id, or where there is none that of the group.
    fn give(
        &mut self,
        link: &Link,
        verdict: Verdict,
        may_share: Option<VerdictId>,
        grouping: Grouping,
        now: u64,
        fresh: &mut Vec<Fresh>,
    ) -> Result<VerdictId, Exhausted> {
        let alone = match link.sharing {
            Sharing::Soon(_) => {
                grouping == Grouping::Own && self.counts.exclusive < self.slots.len() / 2
            }
            Sharing::Late(_) => grouping == Grouping::Own,
            Sharing::Never => true,
        };
        let owner = if alone {
            link.owner()
        } else {
            link.shared_owner()
        };
        if let Some(id) = may_share.filter(|_| !alone) {
            return Ok(id);
        }
        let Some((id, reset)) = self.free_id(now) else {
            return may_share.ok_or(Exhausted);
        };
        self.put(id, Slot::Live(verdict, owner));
        self.own(id, verdict, owner);
        fresh.push(Fresh { id, verdict, reset });
        Ok(id)
    }

    /// Frees every id that none of `referred` leads to. Ends an adoption: what no rule has claimed
    /// by then, and the table does not refer to any more, is free.
    pub(super) fn sweep(&mut self, referred: impl IntoIterator<Item = VerdictId>, now: u64) {
        let mut marked = vec![false; self.slots.len()];
        for head in referred {
            let mut next = head;
            while let Some(mark) = marked.get_mut(to_index(next)).filter(|mark| !**mark) {
                *mark = true;
                next = match self.verdict(next) {
                    Some(verdict) => verdict.then,
                    None => break,
                };
            }
        }
        for (index, marked) in marked.into_iter().enumerate() {
            let id = u32::try_from(index).ok().and_then(VerdictId::new);
            let slot = self.slots.get(index).copied();
            if let (Some(id), Some(Slot::Live(verdict, owner)), false) = (id, slot, marked) {
                self.put(id, Slot::Resting(owner));
                self.disown(id, verdict, owner);
                self.resting.push_back((now, id));
            }
        }
        self.adopting = false;
        self.keep();
    }

    /// When everything that rests will be free (`CLOCK_BOOTTIME` ns); `None`: nothing rests.
    pub(super) fn rested_at(&self) -> Option<u64> {
        let (since, _) = self.resting.back()?;
        Some(since.saturating_add(rest_ns()))
    }

    /// The terms of a live id.
    pub(super) fn verdict(&self, id: VerdictId) -> Option<&Verdict> {
        match self.slots.get(to_index(id))? {
            Slot::Live(verdict, _) => Some(verdict),
            Slot::Unused | Slot::Resting(_) => None,
        }
    }

    /// Whom the hits of an id count for that says something or rests.
    pub(super) fn owner(&self, id: VerdictId) -> Option<Owner> {
        match self.slots.get(to_index(id))? {
            Slot::Live(_, owner) | Slot::Resting(owner) => Some(*owner),
            Slot::Unused => None,
        }
    }

    /// Every id that says something or rests, and whom its hits count for.
    pub(super) fn owners(&self) -> impl Iterator<Item = (VerdictId, Owner)> {
        let ids = (0..).map_while(VerdictId::new).take(self.slots.len());
        ids.filter_map(|id| Some((id, self.owner(id)?)))
    }

    /// How many ids say something.
    pub(super) fn live(&self) -> usize {
        self.counts.live
    }

    /// How many ids there are, [`VerdictId::NONE`] not included.
    pub(super) fn capacity(&self) -> usize {
        self.slots.len().saturating_sub(1)
    }

    /// Takes an id found in the kernel for a link that says the same. One that rules have claimed
    /// before was shared, and stays so.
    fn claim(&mut self, id: VerdictId, verdict: &Verdict, own: Owner, shared: Owner) -> bool {
        let Some(Slot::Live(said, owner)) = self.slots.get(to_index(id)).copied() else {
            return false;
        };
        if said != *verdict {
            return false;
        }
        let claimed = match owner {
            Owner::Unknown => own,
            Owner::Rule(_) if self.adopting && own != shared => shared,
            Owner::Rule(_) | Owner::List(_) | Owner::Group(_) => return false,
        };
        self.disown(id, said, owner);
        self.put(id, Slot::Live(said, claimed));
        self.own(id, said, claimed);
        true
    }

    fn own(&mut self, id: VerdictId, verdict: Verdict, owner: Owner) {
        let key = (owner, verdict);
        let before = self.ids.insert(key, id);
        self.journal.push(Undo::Key(key, before));
        self.counts.exclusive += usize::from(matches!(owner, Owner::Rule(_)));
    }

    fn disown(&mut self, id: VerdictId, verdict: Verdict, owner: Owner) {
        let key = (owner, verdict);
        if self.ids.get(&key) == Some(&id) {
            self.ids.remove(&key);
            self.journal.push(Undo::Key(key, Some(id)));
            self.counts.exclusive -= usize::from(matches!(owner, Owner::Rule(_)));
        }
    }

    /// A free id, and whether its hits may not be zero.
    fn free_id(&mut self, now: u64) -> Option<(VerdictId, bool)> {
        while let Some(slot) = self.slots.get(self.counts.first_unused) {
            let index = self.counts.first_unused;
            self.counts.first_unused += 1;
            if matches!(slot, Slot::Unused) {
                let id = u32::try_from(index).ok().and_then(VerdictId::new)?;
                return Some((id, !self.pristine));
            }
        }
        let rested = |(since, _): &(u64, VerdictId)| now >= since.saturating_add(rest_ns());
        let (since, id) = *self.resting.front().filter(|front| rested(front))?;
        self.resting.pop_front();
        self.journal.push(Undo::Rested(since, id));
        Some((id, true))
    }

    fn put(&mut self, id: VerdictId, slot: Slot) {
        let Some(place) = self.slots.get_mut(to_index(id)) else {
            return;
        };
        self.counts.live -= usize::from(matches!(place, Slot::Live(..)));
        self.counts.live += usize::from(matches!(slot, Slot::Live(..)));
        self.journal.push(Undo::Slot(id, *place));
        *place = slot;
    }
}

/// What the dictionary has of a verdict.
enum Known {
    Id(VerdictId),
    /// Nothing of its own; the id of its group, if that has one.
    Not {
        may_share: Option<VerdictId>,
    },
}

fn rest_ns() -> u64 {
    u64::try_from(REST.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn to_index(id: VerdictId) -> usize {
    usize::try_from(id.get()).unwrap_or(usize::MAX)
}
