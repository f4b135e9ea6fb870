//! Deadlines as the kernel gets them: rounded up, so that many rules share few of them.
//!
//! A deadline is rounded up to a multiple of a step on the boot's clock. The step is the largest
//! power of two that is at most 1/128 of the rule's whole life, so the error is below 1 %, the
//! outcome is the same whenever it is worked out, and all rules whose lives lie between two powers of
//! two have at most 256 deadlines at any time. Where verdict ids run short the
//! step is made eight times as large ([`coarser`]).
//!
//! The agent ends a rule at its own deadline; the rounded one is what holds while the agent is away.

use std::time::Duration;

use crate::rules::{rule::Rule, time::Now};

/// "No deadline", in [`Ends::at`].
pub(super) const NEVER: u64 = u64::MAX;

/// Parts of its life by which a rule's deadline may be late, at least.
const PARTS: u64 = 128;
/// How many times the step doubles where ids run short.
const COARSER: u8 = 3;

/// When something ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ends {
    /// On `CLOCK_BOOTTIME`, nanoseconds; [`NEVER`] without an end.
    pub(super) at: u64,
    /// It is a multiple of 2 to this power.
    pub(super) grain: u8,
}

impl Ends {
    /// Without an end.
    pub(super) const NEVER: Self = Self {
        at: NEVER,
        grain: 0,
    };

    /// The end of a rule.
    pub(super) fn of(rule: &Rule, now: Now) -> Self {
        let Some(deadline) = rule.deadline else {
            return Self::NEVER;
        };
        let life = Duration::try_from(deadline.wall.duration_since(rule.created));
        let life = u64::try_from(life.unwrap_or(Duration::ZERO).as_nanos()).unwrap_or(u64::MAX);
        let grain = (life / PARTS).checked_ilog2().unwrap_or(0);
        let grain = u8::try_from(grain).unwrap_or(0);
        Self {
            at: rounded_up(deadline.on_boot_clock(now), grain),
            grain,
        }
    }

    /// The earlier of two.
    pub(super) fn min(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// As the kernel's table has it: 0 for never.
    pub(super) const fn expires(self) -> u64 {
        if self.at == NEVER { 0 } else { self.at }
    }
}

/// A deadline of the table (0: never) rounded up to the coarser step, at most 1/16 of the life.
pub(super) fn coarser(expires: u64, grain: u8) -> u64 {
    rounded_up(expires, grain.saturating_add(COARSER))
}

/// The next multiple of 2 to the power of `grain`; the time itself where no clock can hold that.
fn rounded_up(at: u64, grain: u8) -> u64 {
    let step = 1u64.checked_shl(u32::from(grain)).unwrap_or(1);
    at.checked_next_multiple_of(step).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::rules::{
        rule::{Draft, Origin, RuleAction, RuleId, Scope},
        time::{BootId, Deadline},
    };

    fn at(boot_ns: u64) -> Now {
        Now {
            wall: Timestamp::from_second(1_000_000).unwrap() + Duration::from_nanos(boot_ns),
            boot_ns,
            boot: BootId(7),
        }
    }

    fn rule(made: Now, life: Duration) -> Rule {
        let draft = Draft {
            subject: "192.0.2.1".parse().unwrap(),
            action: RuleAction::Block,
            scope: Scope::All,
            monitor: false,
            forced: false,
            deadline: Some(Deadline::after(made, life).unwrap()),
            reason: String::new(),
            origin: Origin::Operator,
        };
        draft.into_rule(RuleId(1), made)
    }

    proptest! {
        #[test]
        fn deadlines_are_late_by_less_than_a_hundredth_of_the_life_and_never_early(
            made in 0u64..1 << 60, life in 1u64..315_360_000_000_000_000, part in 0.0f64..1.0
        ) {
            let rule = rule(at(made), Duration::from_nanos(life));
            let own = rule.deadline.unwrap().boot_ns;
            let ends = Ends::of(&rule, at(made));
            prop_assert!(ends.at >= own);
            prop_assert!((ends.at - own) <= life / 100);
            let coarse = coarser(ends.at, ends.grain);
            prop_assert!(coarse >= ends.at);
            prop_assert!((coarse - own) <= life / 16);
            // Later compilations say the same.
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss,
                clippy::cast_sign_loss, reason = "any moment of the life will do")]
            let later = made + (life as f64 * part) as u64;
            prop_assert_eq!(Ends::of(&rule, at(later)), ends);
        }
    }

    #[test]
    fn rules_without_a_deadline_never_end() {
        let mut rule = rule(at(0), Duration::from_hours(1));
        rule.deadline = None;
        assert_eq!(Ends::of(&rule, at(0)), Ends::NEVER);
        assert_eq!(Ends::NEVER.expires(), 0);
        assert_eq!(coarser(0, 40), 0, "never stays never");
    }

    #[test]
    fn the_end_of_time_is_not_rounded() {
        assert_eq!(rounded_up(u64::MAX - 1, 30), u64::MAX - 1);
    }

    /// Rules of all lives from a second to ten years, made through a whole day: few deadlines.
    #[test]
    fn many_lives_have_few_deadlines() {
        let mut own = BTreeSet::new();
        let (mut fine, mut coarse) = (BTreeSet::new(), BTreeSet::new());
        for n in 0..100_000u64 {
            let made = at(n * 864_000_007);
            let life = Duration::from_secs(1 + n * 7919 % 315_360_000);
            let rule = rule(made, life);
            let ends = Ends::of(&rule, made);
            own.insert(rule.deadline.unwrap().boot_ns);
            fine.insert(ends.at);
            coarse.insert(coarser(ends.at, ends.grain));
        }
        assert!(own.len() > 99_000);
        assert!(fine.len() < 6_000, "{}", fine.len());
        assert!(coarse.len() < 800, "{}", coarse.len());
    }
}
