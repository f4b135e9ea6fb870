//! The log's budget: so many lines of a kind in a second, the rest is counted.
//!
//! Pure: time comes in. A flood of one kind never hides another kind, because each has a budget
//! of its own.

use std::collections::BTreeMap;

use super::Kind;

const SECOND_NS: u64 = 1_000_000_000;

/// What each kind may still write in the running second.
#[derive(Debug)]
pub struct Budget {
    per_second: u32,
    kinds: BTreeMap<Kind, Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    second: u64,
    lines: u32,
    suppressed: u64,
}

impl Budget {
    /// A budget of `per_second` lines for each kind; 0 means no limit.
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second,
            kinds: BTreeMap::new(),
        }
    }

    /// Changes the budget; what was counted stays.
    pub fn set(&mut self, per_second: u32) {
        self.per_second = per_second;
    }

    /// Whether a line of `kind` may be written at `now_ns` (any monotonic clock); counts it if not.
    pub fn admit(&mut self, kind: Kind, now_ns: u64) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let second = now_ns / SECOND_NS;
        let spent = self.kinds.entry(kind).or_default();
        if spent.second != second {
            spent.second = second;
            spent.lines = 0;
        }
        if spent.lines < self.per_second {
            spent.lines += 1;
            return true;
        }
        spent.suppressed += 1;
        false
    }

    /// What was not written since the last call, by kind.
    pub fn take_suppressed(&mut self) -> Vec<(Kind, u64)> {
        self.kinds
            .iter_mut()
            .filter(|(_, spent)| spent.suppressed > 0)
            .map(|(kind, spent)| (*kind, std::mem::take(&mut spent.suppressed)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_gets_its_lines_each_second_and_the_rest_is_counted() {
        let mut budget = Budget::new(200);
        let admitted = (0..1000).filter(|_| budget.admit(Kind::Drop, 5)).count();
        assert_eq!(admitted, 200);
        assert_eq!(budget.take_suppressed(), [(Kind::Drop, 800)]);
        assert_eq!(budget.take_suppressed(), []);
        assert!(budget.admit(Kind::Drop, SECOND_NS));
    }

    #[test]
    fn kinds_do_not_eat_each_others_budget() {
        let mut budget = Budget::new(1);
        assert!(budget.admit(Kind::Drop, 0));
        assert!(!budget.admit(Kind::Drop, 0));
        assert!(budget.admit(Kind::Mode, 0));
        assert_eq!(budget.take_suppressed(), [(Kind::Drop, 1)]);
    }

    #[test]
    fn zero_means_no_limit() {
        let mut budget = Budget::new(0);
        assert!((0..10_000).all(|_| budget.admit(Kind::Hello, 0)));
    }
}
