//! Decisions: which of several counts, when they end, and what a lost answer does.

use proptest::prelude::*;

use super::*;
use crate::{feeds::crowdsec::answer::Ignored, rules::time::BootId};

const START: u64 = 1_000_000_000_000;

fn at(seconds: u64) -> Now {
    Now {
        wall: jiff::Timestamp::from_second(1_700_000_000).unwrap() + Duration::from_secs(seconds),
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
        let texts = ends.map(|((subject, kind), end)| format!("{subject} {kind} {}", end - now));
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
