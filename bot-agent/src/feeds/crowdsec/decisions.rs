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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{feeds::crowdsec::answer::Ignored, rules::time::BootId};

    const START: u64 = 1_000_000_000_000;

    fn at(seconds: u64) -> Now {
        Now {
            wall: jiff::Timestamp::from_second(1_700_000_000).unwrap()
                + Duration::from_secs(seconds),
            boot_ns: START + seconds * 1_000_000_000,
            boot: BootId(1),
        }
    }

    fn decision(id: u64, subject: &str, kind: DecisionType, seconds: u64) -> Decision {
        Decision {
            id,
            subject: subject.parse().unwrap(),
            kind,
            left: Duration::from_secs(seconds),
        }
    }

    fn ban(id: u64, subject: &str, seconds: u64) -> Decision {
        decision(id, subject, DecisionType::Ban, seconds)
    }

    fn answer(poll: Poll, new: &[Decision], deleted: &[Decision]) -> Answer {
        Answer {
            poll,
            new: new.to_vec(),
            deleted: deleted.to_vec(),
            total: new.len(),
            ignored: Ignored::default(),
            bad: 0,
            shown: Vec::new(),
        }
    }

    /// Decisions after a first whole answer.
    fn following(new: &[Decision]) -> Decisions {
        let mut decisions = Decisions::default();
        assert_eq!(decisions.ask(at(0)), Poll::Whole);
        decisions.apply(&answer(Poll::Whole, new, &[]), at(0));
        decisions
    }

    fn change(decisions: &mut Decisions, seconds: u64, new: &[Decision], deleted: &[Decision]) {
        assert_eq!(decisions.ask(at(seconds)), Poll::Changes);
        decisions.apply(&answer(Poll::Changes, new, deleted), at(seconds));
    }

    /// `subject type seconds-left`, of each.
    fn texts(decisions: &Decisions, seconds: u64) -> Vec<String> {
        let entries = decisions.entries(at(seconds));
        let entries = entries.iter().map(|(subject, kind, deadline)| {
            format!(
                "{subject} {kind} {}",
                deadline.remaining(at(seconds)).as_secs()
            )
        });
        entries.collect()
    }

    #[test]
    fn two_origins_must_both_lift_and_the_longer_one_counts() {
        let mut decisions = following(&[ban(1, "192.0.2.7", 100), ban(2, "192.0.2.7", 50)]);
        assert_eq!(texts(&decisions, 0), ["192.0.2.7 ban 100"]);
        change(&mut decisions, 1, &[], &[ban(1, "192.0.2.7", 0)]);
        assert_eq!(texts(&decisions, 1), ["192.0.2.7 ban 49"]);
        change(
            &mut decisions,
            2,
            &[],
            &[ban(1, "192.0.2.7", 0), ban(2, "192.0.2.7", 0)],
        );
        assert!(decisions.is_empty());
    }

    #[test]
    fn types_of_one_subject_are_apart() {
        let captcha = decision(2, "192.0.2.0/24", DecisionType::Captcha, 50);
        let mut decisions = following(&[ban(1, "192.0.2.0/24", 100), captcha]);
        assert_eq!(
            texts(&decisions, 0),
            ["192.0.2.0/24 ban 100", "192.0.2.0/24 captcha 50"]
        );
        change(&mut decisions, 1, &[], &[ban(1, "192.0.2.0/24", 0)]);
        assert_eq!(texts(&decisions, 1), ["192.0.2.0/24 captcha 49"]);
    }

    #[test]
    fn decisions_end_without_the_server() {
        let mut decisions = following(&[ban(1, "192.0.2.7", 10), ban(2, "AS64500", 20)]);
        assert_eq!(texts(&decisions, 10), ["AS64500 ban 10"]);
        assert!(decisions.expire(at(10)));
        assert!(!decisions.expire(at(11)));
        assert_eq!(decisions.len(), 1);
    }

    #[test]
    fn a_prolonged_decision_keeps_its_number() {
        let mut decisions = following(&[ban(1, "192.0.2.7", 10)]);
        change(&mut decisions, 1, &[ban(1, "192.0.2.7", 100)], &[]);
        assert_eq!(texts(&decisions, 1), ["192.0.2.7 ban 100"]);
        assert_eq!(decisions.len(), 1);
    }

    #[test]
    fn after_a_lost_answer_everything_is_asked_for() {
        let mut decisions = following(&[ban(1, "192.0.2.7", 100)]);
        assert_eq!(decisions.ask(at(1)), Poll::Changes);
        // Nothing came.
        assert_eq!(decisions.ask(at(2)), Poll::Whole);
        assert_eq!(decisions.ask(at(3)), Poll::Whole, "still nothing");
        assert_eq!(
            texts(&decisions, 3),
            ["192.0.2.7 ban 97"],
            "what is known stays"
        );
        let late = answer(Poll::Changes, &[], &[ban(1, "192.0.2.7", 0)]);
        decisions.apply(&late, at(3));
        assert_eq!(
            texts(&decisions, 3),
            ["192.0.2.7 ban 97"],
            "changes of what?"
        );
        decisions.apply(&answer(Poll::Whole, &[ban(9, "192.0.2.9", 5)], &[]), at(4));
        assert_eq!(texts(&decisions, 4), ["192.0.2.9 ban 5"]);
        assert_eq!(decisions.ask(at(5)), Poll::Changes);
    }

    #[test]
    fn everything_is_asked_for_once_an_hour() {
        let mut decisions = following(&[]);
        change(&mut decisions, 3599, &[], &[]);
        assert_eq!(decisions.ask(at(3600)), Poll::Whole);
    }

    #[test]
    fn a_copy_is_in_force_until_the_first_answer() {
        let entries = following(&[ban(1, "192.0.2.7", 100)]).entries(at(0));
        let mut decisions = Decisions::restored(entries);
        assert_eq!(texts(&decisions, 1), ["192.0.2.7 ban 99"]);
        assert_eq!(decisions.ask(at(2)), Poll::Whole);
        decisions.apply(&answer(Poll::Whole, &[], &[]), at(2));
        assert!(decisions.is_empty());
    }

    #[test]
    fn a_decision_for_ever_has_an_end_that_clocks_can_hold() {
        let decisions = following(&[Decision {
            left: Duration::MAX,
            ..ban(1, "192.0.2.7", 0)
        }]);
        let entries = decisions.entries(at(0));
        assert_eq!(entries[0].2.remaining(at(0)), duration::LONGEST);
    }

    #[derive(Clone, Debug)]
    enum Step {
        New(u64, usize, usize, u64),
        Delete(u64, usize, usize),
        Whole(Vec<(u64, usize, usize, u64)>),
        Pass(u64),
    }

    const SUBJECTS: [&str; 3] = ["192.0.2.7", "192.0.2.0/24", "AS64500"];
    const KINDS: [DecisionType; 2] = [DecisionType::Ban, DecisionType::Captcha];

    fn made((id, subject, kind, left): (u64, usize, usize, u64)) -> Decision {
        decision(id, SUBJECTS[subject], KINDS[kind], left)
    }

    fn raw() -> impl Strategy<Value = (u64, usize, usize, u64)> {
        (0u64..5, 0usize..3, 0usize..2, 0u64..30)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => raw().prop_map(|(a, b, c, d)| Step::New(a, b, c, d)),
            2 => raw().prop_map(|(a, b, c, _)| Step::Delete(a, b, c)),
            1 => proptest::collection::vec(raw(), 0..5).prop_map(Step::Whole),
            1 => (1u64..10).prop_map(Step::Pass),
        ]
    }

    /// A list of decisions with their ends, the simplest thing that can be right.
    #[derive(Default)]
    struct Model(Vec<(Decision, u64)>);

    impl Model {
        fn add(&mut self, decision: Decision, now: u64) {
            self.lift(decision);
            self.0.push((decision, now + decision.left.as_secs()));
        }

        fn lift(&mut self, lifted: Decision) {
            self.0.retain(|(known, _)| {
                (known.id, known.subject, known.kind) != (lifted.id, lifted.subject, lifted.kind)
            });
        }

        fn entries(&self, now: u64) -> Vec<String> {
            let mut ends = BTreeMap::new();
            for (decision, end) in &self.0 {
                let longest = ends
                    .entry((decision.subject, decision.kind))
                    .or_insert(*end);
                *longest = (*end).max(*longest);
            }
            ends.retain(|_, end| *end > now);
            let ends = ends.iter();
            let texts =
                ends.map(|((subject, kind), end)| format!("{subject} {kind} {}", end - now));
            texts.collect()
        }
    }

    proptest! {
        #[test]
        fn decisions_are_those_of_a_plain_list(steps in proptest::collection::vec(step(), 0..60)) {
            let mut decisions = following(&[]);
            let mut model = Model::default();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::New(id, subject, kind, left) => {
                        let new = made((id, subject, kind, left));
                        // A decision that ended before it came changes nothing.
                        if left > 0 {
                            model.add(new, now);
                        }
                        change(&mut decisions, now, &[new], &[]);
                    }
                    Step::Delete(id, subject, kind) => {
                        let lifted = made((id, subject, kind, 0));
                        model.lift(lifted);
                        change(&mut decisions, now, &[], &[lifted]);
                    }
                    Step::Whole(new) => {
                        let new: Vec<_> = new.into_iter().map(made).collect();
                        model.0.clear();
                        for decision in new.iter().filter(|new| !new.left.is_zero()) {
                            model.add(*decision, now);
                        }
                        decisions.apply(&answer(Poll::Whole, &new, &[]), at(now));
                    }
                    Step::Pass(seconds) => {
                        now += seconds;
                        if seconds % 2 == 0 {
                            decisions.expire(at(now));
                        }
                    }
                }
                prop_assert_eq!(texts(&decisions, now), model.entries(now));
            }
        }
    }
}
