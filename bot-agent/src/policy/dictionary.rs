//! The dictionary: which verdict id a link of a chain gets, whom it counts for, and what is free.
//!
//! Invariant: an id that the table refers to, directly or through `then` and `otherwise`, keeps its terms. Ids are
//! freed by a sweep ([`Dictionary::sweep`]) that is told what the table refers to. A rule has ids of
//! its own, and so exact hit counts, until half of all ids are given away like that; how it goes on
//! from there is [`Grouping`]'s.

use std::collections::HashMap;

use bot_common::abi::{
    ports::Groups,
    verdict::{MAX_CHAIN, MAX_FORKS, Verdict, VerdictId},
};

use super::{
    candidate::{Owner, Sharing},
    chain::{Beneath, Link, Terms},
    deadline,
    slots::{Slot, Slots, to_index},
};

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
    slots: Slots,
    /// Whether what was found in the kernel is being matched with rules.
    adopting: bool,
}

/// What the dictionary has of a verdict.
enum Known {
    Id(VerdictId),
    /// Nothing of its own; the id of its group, if that has one.
    Not {
        may_share: Option<VerdictId>,
    },
}

impl Dictionary {
    /// `capacity` ids, [`VerdictId::NONE`] included.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: Slots::new(capacity, true),
            adopting: false,
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
        let mut slots = Slots::new(capacity, false);
        let known: HashMap<VerdictId, Verdict> = verdicts.iter().copied().collect();
        let mut waiting: Vec<VerdictId> = referred.into_iter().collect();
        while let Some(next) = waiting.pop() {
            let is_new = next != VerdictId::NONE && slots.verdict(next).is_none();
            if let Some(verdict) = known.get(&next).filter(|_| is_new) {
                slots.found(next, *verdict);
                waiting.extend(Beneath::of(verdict).ids());
            }
        }
        if let Some(freed) = freed {
            for (id, _) in verdicts.iter().filter(|(id, _)| *id != VerdictId::NONE) {
                if slots.get(*id) == Some(Slot::Unused) {
                    slots.rest(*id, Owner::Unknown, freed);
                }
            }
        }
        slots.keep();
        Self {
            slots,
            adopting: true,
        }
    }

    /// What ids say, and what was done since [`Slots::begin`].
    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// To begin something, and to keep it or take it back.
    pub(super) fn slots_mut(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// The id of a link above what is beneath. `hint` is the id in the same place of what the addresses
    /// have at present. A fresh verdict is added to `fresh`.
    pub(super) fn id_for(
        &mut self,
        link: &Link,
        beneath: Beneath,
        hint: Option<VerdictId>,
        grouping: Grouping,
        now: u64,
        fresh: &mut Vec<Fresh>,
    ) -> Result<VerdictId, Exhausted> {
        let verdict = link.terms.verdict(beneath);
        match self.known(link, &verdict, hint, grouping) {
            Known::Id(id) => Ok(id),
            Known::Not { may_share } if grouping != Grouping::Coarse => {
                self.give(link, verdict, may_share, grouping, now, fresh)
            }
            Known::Not { .. } => {
                let verdict = coarse(link).verdict(beneath);
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
        if let Some(id) = self.slots.find(own, verdict) {
            return Known::Id(id);
        }
        let group_id = self.slots.find(shared, verdict);
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
                grouping == Grouping::Own && self.slots.exclusive() < self.slots.len() / 2
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
        let Some((id, reset)) = self.slots.free(now) else {
            return may_share.ok_or(Exhausted);
        };
        self.slots.occupy(id, verdict, owner);
        fresh.push(Fresh { id, verdict, reset });
        Ok(id)
    }

    /// Takes an id found in the kernel for a link that says the same. One that rules have claimed
    /// before was shared, and stays so.
    fn claim(&mut self, id: VerdictId, verdict: &Verdict, own: Owner, shared: Owner) -> bool {
        let Some(Slot::Live(said, owner)) = self.slots.get(id) else {
            return false;
        };
        let claimed = match owner {
            Owner::Unknown => own,
            Owner::Rule(_) if self.adopting && own != shared => shared,
            Owner::Rule(_) | Owner::List(_) | Owner::Group(_) => return false,
        };
        if said != *verdict {
            return false;
        }
        self.slots.hand_over(id, claimed);
        true
    }

    /// Frees every id that none of `referred` leads to. Ends an adoption: what no rule has claimed
    /// by then is nobody's.
    pub(super) fn sweep(&mut self, referred: impl IntoIterator<Item = VerdictId>, now: u64) {
        let mut marked = vec![false; self.slots.len()];
        let mut waiting: Vec<VerdictId> = Vec::new();
        for head in referred {
            waiting.push(head);
            while let Some(next) = waiting.pop() {
                if let Some(mark) = marked.get_mut(to_index(next)).filter(|mark| !**mark) {
                    *mark = true;
                    let verdict = self.slots.verdict(next);
                    waiting.extend(verdict.into_iter().flat_map(|it| Beneath::of(it).ids()));
                }
            }
        }
        for (id, marked) in self.slots.ids().zip(marked) {
            if let Some(Slot::Live(_, owner)) = self.slots.get(id).filter(|_| !marked) {
                self.slots.rest(id, owner, now);
            }
        }
        self.adopting = false;
        self.slots.keep();
    }

    /// Whom the hits of an id count for that says something or rests.
    pub(super) fn owner(&self, id: VerdictId) -> Option<Owner> {
        match self.slots.get(id)? {
            Slot::Live(_, owner) | Slot::Resting(owner) => Some(owner),
            Slot::Unused => None,
        }
    }

    /// Of what lies beneath `from` and itself, the id that says what `link` says, about the same ports:
    /// the nearest, those that expiry uncovers before those of other ports.
    pub(super) fn saying(&self, link: &Link, ports: Groups, from: VerdictId) -> Option<VerdictId> {
        let is_it = |verdict: &Verdict| {
            let beneath = Beneath::of(verdict);
            let says = |terms: Terms| terms.verdict(beneath) == *verdict;
            beneath.ports == ports && (says(link.terms) || says(coarse(link)))
        };
        let mut waiting = vec![from];
        // As far as a packet goes, and no further into what is damaged.
        for _ in 0..MAX_FORKS * MAX_CHAIN {
            let id = waiting.pop()?;
            let Some(verdict) = self.slots.verdict(id) else {
                continue;
            };
            if is_it(verdict) {
                return Some(id);
            }
            let [then, otherwise] = Beneath::of(verdict).ids();
            waiting.extend([otherwise, then]);
        }
        None
    }

    /// Every id that says something or rests, and whom its hits count for.
    pub(super) fn owners(&self) -> impl Iterator<Item = (VerdictId, Owner)> {
        self.slots
            .ids()
            .filter_map(|id| Some((id, self.owner(id)?)))
    }
}

/// What a link says where ids run short.
fn coarse(link: &Link) -> Terms {
    Terms {
        expires: deadline::coarser(link.terms.expires, link.grain),
        ..link.terms
    }
}
