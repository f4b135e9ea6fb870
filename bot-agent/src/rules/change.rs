//! Changes of a rule set in place, and the way back.
//!
//! Invariant: [`RuleSet::undo`] of what [`RuleSet::apply`] returned, with nothing in between, makes
//! the set exactly what it was before, the identity of the next rule included. So a change costs
//! what it changes, however many rules there are.

use std::sync::Arc;

use super::{
    rule::{Rule, RuleId},
    set::RuleSet,
    subject::Subject,
};

/// One change of the set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RuleChange {
    /// Adds a rule, in place of one with the same identity or the same subject, action and origin.
    /// Its deadline must be on the running boot's clock.
    Insert(Arc<Rule>),
    /// Takes a rule out; none of that identity is no error.
    Remove(RuleId),
}

/// What was done to a set, in order, so that it can be taken back.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "without it the change cannot be taken back"]
pub struct Undo {
    done: Vec<Done>,
    next: RuleId,
}

/// One thing that was done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Done {
    /// A rule that is in the set now and was not before.
    Inserted(RuleId, Subject),
    /// A rule that was in the set and is not now.
    Removed(Arc<Rule>),
}

impl Undo {
    /// What was done, in order; one rule may occur more than once.
    pub fn done(&self) -> &[Done] {
        &self.done
    }

    /// What the change is about, in the order in which it was made.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        self.done.iter().map(|done| match done {
            Done::Inserted(_, subject) => *subject,
            Done::Removed(rule) => rule.subject,
        })
    }
}

impl RuleSet {
    /// Makes `changes`, in order.
    pub fn apply(&mut self, changes: &[RuleChange]) -> Undo {
        let next = self.next_id();
        let mut done = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                RuleChange::Insert(rule) => {
                    let replaced = self.place(Arc::clone(rule));
                    done.extend(replaced.into_iter().map(Done::Removed));
                    done.push(Done::Inserted(rule.id, rule.subject));
                }
                RuleChange::Remove(id) => done.extend(self.take(*id).map(Done::Removed)),
            }
        }
        Undo { done, next }
    }

    /// Takes back what [`Self::apply`] did; nothing may have changed since.
    pub fn undo(&mut self, undo: Undo) {
        for done in undo.done.into_iter().rev() {
            match done {
                Done::Inserted(id, _) => {
                    self.take(id);
                }
                Done::Removed(rule) => {
                    self.place(rule);
                }
            }
        }
        self.set_next_id(undo.next);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::rules::{
        rule::{Origin, RuleAction, Scope},
        time::{BootId, Deadline, Now},
    };

    fn now() -> Now {
        Now {
            wall: Timestamp::from_second(1_000_000).unwrap(),
            boot_ns: 7_000_000_000,
            boot: BootId(1),
        }
    }

    fn rule(id: u64, subject: &str, action: RuleAction, seconds: Option<u64>) -> Arc<Rule> {
        let ends = |seconds| Deadline::after(now(), Duration::from_secs(seconds));
        Arc::new(Rule {
            id: RuleId(id),
            subject: subject.parse().unwrap(),
            action,
            scope: Scope::All,
            monitor: false,
            forced: false,
            deadline: seconds.and_then(ends),
            reason: String::new(),
            origin: Origin::Operator,
            created: now().wall,
        })
    }

    #[test]
    fn a_rule_and_the_one_it_replaces_are_both_named() {
        let old = rule(1, "192.0.2.0/24", RuleAction::Block, None);
        let new = rule(2, "192.0.2.0/24", RuleAction::Block, Some(60));
        let mut set = RuleSet::default();
        let _first = set.apply(&[RuleChange::Insert(old.clone())]);
        let undo = set.apply(&[RuleChange::Insert(new.clone())]);
        assert_eq!(
            undo.done(),
            [
                Done::Removed(old.clone()),
                Done::Inserted(new.id, new.subject)
            ]
        );
        assert_eq!(set.iter().collect::<Vec<_>>(), [&*new]);
        set.undo(undo);
        assert_eq!(set.iter().collect::<Vec<_>>(), [&*old]);
        assert_eq!(set.next_id(), RuleId(2));
    }

    #[test]
    fn an_unknown_rule_cannot_be_removed_and_that_is_no_change() {
        let undo = RuleSet::default().apply(&[RuleChange::Remove(RuleId(9))]);
        assert_eq!(undo.done(), []);
    }

    fn any_change() -> impl Strategy<Value = RuleChange> {
        let subjects = ["10.0.0.0/8", "10.0.0.1", "::/0", "AS64500", "country:DE"];
        let actions = [RuleAction::Allow, RuleAction::Block];
        let insert = (
            1..12u64,
            proptest::sample::select(subjects.to_vec()),
            proptest::sample::select(actions.to_vec()),
            proptest::option::of(1..5u64),
        );
        prop_oneof![
            insert.prop_map(|(id, subject, action, seconds)| {
                RuleChange::Insert(rule(id, subject, action, seconds))
            }),
            (1..12u64).prop_map(|id| RuleChange::Remove(RuleId(id))),
        ]
    }

    proptest! {
        #[test]
        fn taking_back_makes_it_what_it_was(
            before in proptest::collection::vec(any_change(), 0..20),
            changes in proptest::collection::vec(any_change(), 0..20),
        ) {
            let mut set = RuleSet::default();
            let _before = set.apply(&before);
            let kept = set.clone();
            let undo = set.apply(&changes);
            set.undo(undo);
            prop_assert_eq!(set, kept);
        }

        #[test]
        fn the_last_word_on_an_identity_and_on_subject_action_and_origin_holds(
            changes in proptest::collection::vec(any_change(), 0..30),
        ) {
            let mut set = RuleSet::default();
            let _undo = set.apply(&changes);
            let mut expected: Vec<&Rule> = Vec::new();
            for change in &changes {
                match change {
                    RuleChange::Insert(rule) => {
                        let same = |other: &Rule| {
                            (other.subject, other.action) == (rule.subject, rule.action)
                        };
                        expected.retain(|other| other.id != rule.id && !same(other));
                        expected.push(rule);
                    }
                    RuleChange::Remove(id) => expected.retain(|other| other.id != *id),
                }
            }
            expected.sort_by_key(|rule| rule.id);
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.clone());
            for rule in &expected {
                let same = expected.iter().filter(|other| other.subject == rule.subject);
                prop_assert_eq!(set.about(rule.subject).count(), same.count());
            }
            let prefixes: usize = set.by_prefix().map(|(_, rules)| rules.count()).sum();
            let asns: usize = set.by_asn().map(|(_, rules)| rules.count()).sum();
            let countries: usize = set.by_country().map(|(_, rules)| rules.count()).sum();
            prop_assert_eq!(prefixes + asns + countries, expected.len());
        }
    }
}
