//! Slots: what each verdict id says, which ids are free, and how to take back what was done to them.
//!
//! Invariants: a freed id rests for [`REST`] before it says something else. What is given out between
//! [`Slots::begin`] and [`Slots::keep`] can be taken back.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bot_common::abi::verdict::{Verdict, VerdictId};

use super::candidate::Owner;

/// How long a freed id is left alone. A packet holds an id for microseconds.
pub const REST: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Slots {
    /// By id, [`VerdictId::NONE`] included.
    all: Vec<Slot>,
    ids: HashMap<(Owner, Verdict), VerdictId>,
    /// Freed ids, the longest resting first, with the time since when (`CLOCK_BOOTTIME` ns).
    resting: VecDeque<(u64, VerdictId)>,
    counts: Counts,
    /// Whether unused ids are known to count zero.
    pristine: bool,
    /// How to take back what was done since [`Slots::begin`], in order.
    journal: Vec<Undo>,
    before: Counts,
}

/// What an id is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Slot {
    /// It never said anything, as far as this agent knows.
    Unused,
    /// It is free, or will be after its rest; whom it counted for.
    Resting(Owner),
    /// It says something, and counts for somebody.
    Live(Verdict, Owner),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Counts {
    /// No slot below is [`Slot::Unused`].
    first_unused: usize,
    /// Ids of one rule alone.
    exclusive: usize,
    live: usize,
}

#[derive(Clone, Copy, Debug)]
enum Undo {
    Slot(VerdictId, Slot),
    Key((Owner, Verdict), Option<VerdictId>),
    Rested(u64, VerdictId),
}

impl Slots {
    /// `capacity` ids, [`VerdictId::NONE`] included. `pristine`: all of them count zero.
    pub(super) fn new(capacity: usize, pristine: bool) -> Self {
        let counts = Counts {
            first_unused: 1,
            exclusive: 0,
            live: 0,
        };
        Self {
            all: vec![Slot::Unused; capacity.min(to_index(VerdictId::MAX) + 1)],
            ids: HashMap::new(),
            resting: VecDeque::new(),
            counts,
            pristine,
            journal: Vec::new(),
            before: counts,
        }
    }

    /// From here on everything can be taken back.
    pub(super) fn begin(&mut self) {
        self.keep();
    }

    /// What was done stays.
    pub(super) fn keep(&mut self) {
        self.journal.clear();
        self.before = self.counts;
    }

    /// Takes back everything since [`Self::begin`].
    pub(super) fn take_back(&mut self) {
        while let Some(undo) = self.journal.pop() {
            match undo {
                Undo::Slot(id, slot) => {
                    if let Some(place) = self.all.get_mut(to_index(id)) {
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

    /// Ids that may have counted before they were given out since [`Self::begin`], and for whom.
    pub(super) fn reclaimed(&self) -> impl Iterator<Item = (VerdictId, Owner)> {
        self.journal.iter().filter_map(|undo| match undo {
            Undo::Slot(id, Slot::Resting(owner)) => Some((*id, *owner)),
            Undo::Slot(id, Slot::Unused) if !self.pristine => Some((*id, Owner::Unknown)),
            Undo::Slot(..) | Undo::Key(..) | Undo::Rested(..) => None,
        })
    }

    /// What an id is; `None` where there is no such id.
    pub(super) fn get(&self, id: VerdictId) -> Option<Slot> {
        self.all.get(to_index(id)).copied()
    }

    /// The terms of a live id.
    pub(super) fn verdict(&self, id: VerdictId) -> Option<&Verdict> {
        match self.all.get(to_index(id))? {
            Slot::Live(verdict, _) => Some(verdict),
            Slot::Unused | Slot::Resting(_) => None,
        }
    }

    /// The live id that says `verdict` and counts for `owner`.
    pub(super) fn find(&self, owner: Owner, verdict: &Verdict) -> Option<VerdictId> {
        self.ids.get(&(owner, *verdict)).copied()
    }

    /// All ids, [`VerdictId::NONE`] included.
    pub(super) fn ids(&self) -> impl Iterator<Item = VerdictId> + use<> {
        (0..).map_while(VerdictId::new).take(self.all.len())
    }

    /// How many ids there are, [`VerdictId::NONE`] included.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many ids say something.
    pub(super) fn live(&self) -> usize {
        self.counts.live
    }

    /// How many ids count for one rule alone.
    pub(super) fn exclusive(&self) -> usize {
        self.counts.exclusive
    }

    /// When everything that rests will be free (`CLOCK_BOOTTIME` ns); `None`: nothing rests.
    pub(super) fn rested_at(&self) -> Option<u64> {
        let (since, _) = self.resting.back()?;
        Some(since.saturating_add(rest_ns()))
    }

    /// A free id, and whether its hits may not be zero.
    pub(super) fn free(&mut self, now: u64) -> Option<(VerdictId, bool)> {
        while let Some(slot) = self.all.get(self.counts.first_unused) {
            let index = self.counts.first_unused;
            self.counts.first_unused += 1;
            if *slot == Slot::Unused {
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

    /// Makes an id say `verdict` and count for `owner`, so that [`Self::find`] finds it.
    pub(super) fn occupy(&mut self, id: VerdictId, verdict: Verdict, owner: Owner) {
        self.put(id, Slot::Live(verdict, owner));
        let key = (owner, verdict);
        let before = self.ids.insert(key, id);
        self.journal.push(Undo::Key(key, before));
        self.counts.exclusive += usize::from(matches!(owner, Owner::Rule(_)));
    }

    /// Makes a live id count for `owner` from now on.
    pub(super) fn hand_over(&mut self, id: VerdictId, owner: Owner) {
        if let Some(Slot::Live(verdict, before)) = self.get(id) {
            self.forget(id, verdict, before);
            self.occupy(id, verdict, owner);
        }
    }

    /// An id of which it is only known that it says something.
    pub(super) fn found(&mut self, id: VerdictId, verdict: Verdict) {
        self.put(id, Slot::Live(verdict, Owner::Unknown));
    }

    /// Lays an id to rest that counted for `owner`. This cannot be taken back.
    pub(super) fn rest(&mut self, id: VerdictId, owner: Owner, now: u64) {
        if let Some(Slot::Live(verdict, owner)) = self.get(id) {
            self.forget(id, verdict, owner);
        }
        self.put(id, Slot::Resting(owner));
        self.resting.push_back((now, id));
    }

    fn forget(&mut self, id: VerdictId, verdict: Verdict, owner: Owner) {
        let key = (owner, verdict);
        if self.ids.get(&key) == Some(&id) {
            self.ids.remove(&key);
            self.journal.push(Undo::Key(key, Some(id)));
            self.counts.exclusive -= usize::from(matches!(owner, Owner::Rule(_)));
        }
    }

    fn put(&mut self, id: VerdictId, slot: Slot) {
        let Some(place) = self.all.get_mut(to_index(id)) else {
            return;
        };
        self.counts.live -= usize::from(matches!(place, Slot::Live(..)));
        self.counts.live += usize::from(matches!(slot, Slot::Live(..)));
        self.journal.push(Undo::Slot(id, *place));
        *place = slot;
    }
}

fn rest_ns() -> u64 {
    u64::try_from(REST.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn to_index(id: VerdictId) -> usize {
    usize::try_from(id.get()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::rule::RuleId;

    const SECOND: u64 = 1_000_000_000;

    fn id(id: u32) -> VerdictId {
        VerdictId::new(id).unwrap()
    }

    fn drops(expires: u64) -> Verdict {
        Verdict {
            expires,
            action: 4,
            ..Verdict::PASS
        }
    }

    /// Everything that can be seen.
    #[derive(Debug, PartialEq)]
    struct State {
        all: Vec<Slot>,
        resting: VecDeque<(u64, VerdictId)>,
        counts: Counts,
        found: Vec<Option<VerdictId>>,
    }

    fn state(slots: &Slots) -> State {
        let owners = (0..4).flat_map(|n| [(Owner::Rule(RuleId(n)), n), (Owner::Unknown, n)]);
        State {
            all: slots.all.clone(),
            resting: slots.resting.clone(),
            counts: slots.counts,
            found: owners
                .map(|(owner, n)| slots.find(owner, &drops(n)))
                .collect(),
        }
    }

    #[test]
    fn what_is_taken_back_was_never_done() {
        let mut slots = Slots::new(5, true);
        for n in 1..=3 {
            let (free, reset) = slots.free(0).unwrap();
            assert_eq!((free, reset), (id(u32::try_from(n).unwrap()), false));
            slots.occupy(free, drops(n), Owner::Rule(RuleId(n)));
        }
        slots.rest(id(1), Owner::Rule(RuleId(1)), 7);
        slots.rest(id(3), Owner::Rule(RuleId(3)), 9);
        slots.begin();
        let before = state(&slots);
        let later = 10 * SECOND;
        let frees: Vec<_> = std::iter::from_fn(|| slots.free(later)).collect();
        assert_eq!(frees, [(id(4), false), (id(1), true), (id(3), true)]);
        slots.occupy(id(4), drops(1), Owner::Rule(RuleId(1)));
        slots.occupy(id(1), drops(2), Owner::Unknown);
        slots.occupy(id(3), drops(3), Owner::Rule(RuleId(0)));
        slots.hand_over(id(2), Owner::Unknown);
        assert_ne!(state(&slots), before);
        let reclaimed: Vec<_> = slots.reclaimed().collect();
        let owners = [
            (id(1), Owner::Rule(RuleId(1))),
            (id(3), Owner::Rule(RuleId(3))),
        ];
        assert_eq!(reclaimed, owners);
        slots.take_back();
        assert_eq!(state(&slots), before);
    }

    #[test]
    fn ids_rest_before_they_are_free() {
        let mut slots = Slots::new(2, true);
        slots.occupy(id(1), drops(0), Owner::Unknown);
        slots.rest(id(1), Owner::Unknown, SECOND);
        assert_eq!(slots.rested_at(), Some(6 * SECOND));
        assert_eq!(slots.free(6 * SECOND - 1), None);
        assert_eq!(slots.free(6 * SECOND), Some((id(1), true)));
        assert_eq!(slots.free(7 * SECOND), None);
    }
}
