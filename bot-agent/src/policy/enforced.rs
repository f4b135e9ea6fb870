//! What the kernel enforces: what each verdict id means, and how a compiled policy gets ids.
//!
//! The order of a change: [`Enforced::assign`]; read the hits of what [`Enforced::take_reclaimed`]
//! names; write the fresh verdicts; publish the ranges; [`Enforced::sweep`]. An address that keeps
//! its chain keeps its id. When a step after `assign` fails, a sweep with what the table refers to
//! then frees what was given out for nothing.

use bot_common::{
    abi::verdict::{Verdict, VerdictId},
    address::Address,
};

use super::{
    candidate::Owner,
    chain::Beneath,
    compile::{Compiled, Piece},
    dictionary::{Dictionary, Exhausted, Fresh, Grouping},
    family::Family,
    full::{Limits, TableFull},
    room::Room,
    states::Chains,
};
use crate::{
    rules::time::Now,
    table::{Range, Ranges},
};

/// What ids mean in the kernel, as the agent knows it. A clone is for trying out a change.
#[derive(Clone, Debug)]
pub struct Enforced {
    room: Room,
    dictionary: Dictionary,
    reclaimed: Vec<(VerdictId, Owner)>,
}

/// A policy with ids.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Assigned {
    /// To be written before the ranges are published, in any order.
    pub fresh: Vec<Fresh>,
    /// To be published.
    pub ranges: Ranges,
}

impl Enforced {
    /// Tables that were just made: empty, all counts zero.
    pub fn empty(limits: Limits) -> Self {
        Self::with(limits, Dictionary::new(limits.verdicts))
    }

    /// Tables of an earlier agent: the verdicts that are not all zero, and the ids that the table
    /// refers to. [`Self::assign`] finds out which rules stand behind them, and leaves alone what
    /// is right. Ids that nothing refers to are free at once: no packet of that agent's time is in
    /// flight.
    pub fn from_kernel(
        limits: Limits,
        verdicts: &[(VerdictId, Verdict)],
        live: impl IntoIterator<Item = VerdictId>,
    ) -> Self {
        let dictionary = Dictionary::adopt(limits.verdicts, verdicts, live, None);
        Self::with(limits, dictionary)
    }

    /// The same in the midst of an agent's life, when it is not known what the tables hold: what
    /// nothing refers to may have been freed just now, and rests.
    pub fn read_anew(
        limits: Limits,
        verdicts: &[(VerdictId, Verdict)],
        live: impl IntoIterator<Item = VerdictId>,
        now: Now,
    ) -> Self {
        let freed = Some(now.boot_ns);
        let dictionary = Dictionary::adopt(limits.verdicts, verdicts, live, freed);
        Self::with(limits, dictionary)
    }

    fn with(limits: Limits, dictionary: Dictionary) -> Self {
        Self {
            room: Room::of(limits.prefixes),
            dictionary,
            reclaimed: Vec::new(),
        }
    }

    /// Ids for everything that was compiled: the same ids for what is said already, and new ones,
    /// which have to be written. `hint` is the id that an address has in the present table; it
    /// keeps ids, and so hit counts, over restarts. Where ids run short rules share them
    /// ([`TableFull::Verdicts`]).
    ///
    /// Takes what was compiled for published afterwards. On an error nothing changes; before a
    /// refusal is told to anybody, a [`Self::sweep`] may make room.
    pub fn assign(
        &mut self,
        compiled: &Compiled,
        hint: impl Fn(Address) -> VerdictId,
        now: Now,
    ) -> Result<Assigned, TableFull> {
        let assigned = self.assign_somehow(compiled, &hint, now)?;
        self.reclaimed.extend(self.dictionary.slots().reclaimed());
        self.dictionary.slots_mut().keep();
        Ok(assigned)
    }

    /// After publication: every id that the table does not refer to begins to rest. `live` are the
    /// ids of all its ranges.
    pub fn sweep(&mut self, live: impl IntoIterator<Item = VerdictId>, now: Now) {
        self.dictionary.sweep(live, now.boot_ns);
    }

    /// The ids that were taken back into use since the last call, and whom they counted for. Their
    /// hits are lost to the rule unless they are read before the fresh verdicts are written.
    pub fn take_reclaimed(&mut self) -> Vec<(VerdictId, Owner)> {
        std::mem::take(&mut self.reclaimed)
    }

    /// Whom the hits of an id count for; `None` for an id that was never used.
    pub fn owner(&self, id: VerdictId) -> Option<Owner> {
        self.dictionary.owner(id)
    }

    /// Every id in use or at rest, and whom its hits count for. A rule may have several: one for
    /// each way in which its chain goes on, and those of its past.
    pub fn owners(&self) -> impl Iterator<Item = (VerdictId, Owner)> {
        self.dictionary.owners()
    }

    /// The terms of an id in use.
    pub fn verdict(&self, id: VerdictId) -> Option<Verdict> {
        self.dictionary.slots().verdict(id).copied()
    }

    /// How many prefixes may be named.
    pub fn room(&self) -> Room {
        self.room
    }

    /// The same, to be changed.
    pub fn room_mut(&mut self) -> &mut Room {
        &mut self.room
    }

    /// Verdicts in use, for comparison with [`Limits::verdicts`].
    pub fn verdicts(&self) -> usize {
        self.dictionary.slots().live() + 1
    }

    /// As generous with ids as there is room. What was done can be taken back; on an error it is.
    fn assign_somehow(
        &mut self,
        compiled: &Compiled,
        hint: &impl Fn(Address) -> VerdictId,
        now: Now,
    ) -> Result<Assigned, TableFull> {
        if let Some(needed) = compiled.prefixes {
            self.room.check(needed)?;
        }
        for grouping in Grouping::ALL {
            let assigned = self.try_assign(compiled, hint, grouping, now.boot_ns);
            if let Ok(assigned) = assigned {
                return Ok(assigned);
            }
            self.dictionary.slots_mut().take_back();
        }
        Err(self.or_later(compiled, hint, now.boot_ns))
    }

    fn try_assign(
        &mut self,
        compiled: &Compiled,
        hint: &impl Fn(Address) -> VerdictId,
        grouping: Grouping,
        now: u64,
    ) -> Result<Assigned, Exhausted> {
        self.dictionary.slots_mut().begin();
        let mut assignment = Assignment {
            dictionary: &mut self.dictionary,
            chains: &compiled.chains,
            ids: vec![None; compiled.chains.count()],
            fresh: Vec::new(),
            grouping,
            now,
        };
        let ranges = Ranges {
            v4: assignment.ranges(&compiled.v4, hint)?,
            v6: assignment.ranges(&compiled.v6, hint)?,
        };
        Ok(Assigned {
            fresh: assignment.fresh,
            ranges,
        })
    }

    /// Of a refusal that only time is needed for, the time.
    fn or_later(
        &mut self,
        compiled: &Compiled,
        hint: &impl Fn(Address) -> VerdictId,
        now: u64,
    ) -> TableFull {
        let full = TableFull::Verdicts {
            capacity: self.dictionary.slots().len().saturating_sub(1),
        };
        let Some(rested) = self
            .dictionary
            .slots()
            .rested_at()
            .filter(|rested| *rested > now)
        else {
            return full;
        };
        let later = self.try_assign(compiled, hint, Grouping::Coarse, rested);
        self.dictionary.slots_mut().take_back();
        match later {
            Ok(_) => TableFull::Resting {
                seconds: (rested - now).div_ceil(1_000_000_000),
            },
            Err(Exhausted) => full,
        }
    }
}

struct Assignment<'a> {
    dictionary: &'a mut Dictionary,
    chains: &'a Chains,
    /// By number of chain.
    ids: Vec<Option<VerdictId>>,
    fresh: Vec<Fresh>,
    grouping: Grouping,
    now: u64,
}

impl Assignment<'_> {
    fn ranges<A: Family>(
        &mut self,
        pieces: &[Piece<A>],
        hint: &impl Fn(Address) -> VerdictId,
    ) -> Result<Vec<Range<A>>, Exhausted> {
        let mut ranges: Vec<Range<A>> = Vec::with_capacity(pieces.len());
        for Piece { first, last, chain } in pieces {
            let id = match self.known(*chain) {
                Some(id) => id,
                None => self.intern(*chain, hint(first.address()))?,
            };
            // Chains of a group have one id.
            let continues =
                |range: &&mut Range<A>| range.id == id && range.last.following() == Some(*first);
            match ranges.last_mut().filter(continues) {
                Some(range) => range.last = *last,
                None => ranges.push(Range {
                    first: *first,
                    last: *last,
                    id,
                }),
            }
        }
        Ok(ranges)
    }

    fn known(&self, chain: u32) -> Option<VerdictId> {
        let index = usize::try_from(chain).ok()?;
        self.ids.get(index).copied().flatten()
    }

    /// The id of a decision, made from its last links upwards. `present` is what the addresses have in
    /// the kernel in its place.
    fn intern(&mut self, chain: u32, present: VerdictId) -> Result<VerdictId, Exhausted> {
        if let Some(id) = self.known(chain) {
            return Ok(id);
        }
        let Some((link, beneath)) = self.chains.first(chain) else {
            return Ok(VerdictId::NONE);
        };
        let hint = self.dictionary.saying(link, beneath.ports, present);
        let under = hint.and_then(|id| self.dictionary.slots().verdict(id));
        let (then, otherwise) = under.map_or((present, present), |it| (it.then, it.otherwise));
        let beneath = Beneath {
            then: self.intern(beneath.then, then)?,
            ports: beneath.ports,
            otherwise: self.intern(beneath.otherwise, otherwise)?,
        };
        let id = self.dictionary.id_for(
            link,
            beneath,
            hint,
            self.grouping,
            self.now,
            &mut self.fresh,
        )?;
        let index = usize::try_from(chain).ok();
        if let Some(place) = index.and_then(|index| self.ids.get_mut(index)) {
            *place = Some(id);
        }
        Ok(id)
    }
}
