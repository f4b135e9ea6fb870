//! The decisions that are active.
//!
//! Several decisions may say the same of one subject, from several origins: it is lifted with the
//! last of them, and the longest counts. Each ends by its own duration, whether the server still
//! answers or not.

use std::{collections::BTreeMap, time::Duration};

use super::{Answer, Decision, DecisionType, Poll};
use crate::rules::{
    duration,
    subject::Subject,
    time::{Deadline, Now},
};

/// Everything is asked for again after this time: two bouncers that share a key by mistake take
/// changes away from each other.
const WHOLE_EVERY: Duration = Duration::from_hours(1);

/// The decisions of one server.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    active: BTreeMap<(Subject, DecisionType), BTreeMap<u64, Deadline>>,
    follows: Follows,
}

/// Whether this is what the server believes that we have.
#[derive(Clone, Copy, Debug, Default)]
enum Follows {
    /// No.
    #[default]
    Lost,
    /// Yes, but for an answer that is on its way.
    Asked { whole_ns: u64 },
    /// Yes. When everything was asked for, on the boot clock.
    Yes { whole_ns: u64 },
}

impl Decisions {
    /// Those of a copy on disk. They are in force until the server says something else, or end.
    pub fn restored(entries: impl IntoIterator<Item = (Subject, DecisionType, Deadline)>) -> Self {
        let mut decisions = Self::default();
        for (subject, kind, deadline) in entries {
            let of_subject = decisions.active.entry((subject, kind)).or_default();
            of_subject.insert(0, deadline);
        }
        decisions
    }

    /// What to ask for now. An answer that is not applied before the next question counts as lost:
    /// the server does not repeat changes.
    pub fn ask(&mut self, now: Now) -> Poll {
        match self.follows {
            Follows::Yes { whole_ns } if !is_old(whole_ns, now) => {
                self.follows = Follows::Asked { whole_ns };
                Poll::Changes
            }
            Follows::Lost | Follows::Asked { .. } | Follows::Yes { .. } => {
                self.follows = Follows::Lost;
                Poll::Whole
            }
        }
    }

    /// Takes an answer over. Changes of a state that is not ours are passed over.
    pub fn apply(&mut self, answer: &Answer, now: Now) {
        match (answer.poll, self.follows) {
            (Poll::Whole, _) => {
                self.active.clear();
                let whole_ns = now.boot_ns;
                self.follows = Follows::Yes { whole_ns };
            }
            (Poll::Changes, Follows::Asked { whole_ns } | Follows::Yes { whole_ns }) => {
                self.follows = Follows::Yes { whole_ns };
                answer
                    .deleted
                    .iter()
                    .for_each(|decision| self.lift(decision));
            }
            (Poll::Changes, Follows::Lost) => return,
        }
        answer
            .new
            .iter()
            .for_each(|decision| self.add(decision, now));
        self.expire(now);
    }

    /// Forgets decisions that have ended; whether there were any.
    pub fn expire(&mut self, now: Now) -> bool {
        let mut ended = false;
        self.active.retain(|_, of_subject| {
            of_subject.retain(|_, deadline| {
                let passed = deadline.passed(now);
                ended |= passed;
                !passed
            });
            !of_subject.is_empty()
        });
        ended
    }

    /// What is decided: of each subject and type the longest, in order, without what has ended.
    pub fn entries(&self, now: Now) -> Vec<(Subject, DecisionType, Deadline)> {
        let longest = self
            .active
            .iter()
            .filter_map(|((subject, kind), of_subject)| {
                let deadline = of_subject
                    .values()
                    .max_by_key(|end| end.on_boot_clock(now))?;
                (!deadline.passed(now)).then_some((*subject, *kind, *deadline))
            });
        longest.collect()
    }

    /// How many decisions are known, several of one subject counted apart.
    pub fn len(&self) -> usize {
        self.active.values().map(BTreeMap::len).sum()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    fn add(&mut self, decision: &Decision, now: Now) {
        let left = decision.left.min(duration::LONGEST);
        let Some(deadline) = Deadline::after(now, left).filter(|end| !end.passed(now)) else {
            return;
        };
        let of_subject = self.active.entry((decision.subject, decision.kind));
        of_subject.or_default().insert(decision.id, deadline);
    }

    fn lift(&mut self, decision: &Decision) {
        let key = (decision.subject, decision.kind);
        if let Some(of_subject) = self.active.get_mut(&key) {
            of_subject.remove(&decision.id);
            if of_subject.is_empty() {
                self.active.remove(&key);
            }
        }
    }
}

fn is_old(whole_ns: u64, now: Now) -> bool {
    Duration::from_nanos(now.boot_ns.saturating_sub(whole_ns)) >= WHOLE_EVERY
}

#[cfg(test)]
#[path = "decisions_tests.rs"]
mod tests;
