//! Folding and budgets: what keeps a flood of drops from becoming a flood of reports.

use crate::abi::record::{Budget, ReportSlot};

/// Drops of one source and outcome within this time are folded into one report.
pub const FOLD_NS: u64 = 1_000_000_000;

/// Puts a dropped packet into its slot. `Some`: a report is due, with the packets and bytes to report.
#[inline(always)]
pub fn fold(slot: &mut ReportSlot, tag: u64, bytes: u64, now: u64) -> Option<(u64, u64)> {
    if slot.tag != tag {
        // The first of its kind, or another source's slot: what that one had folded is lost.
        *slot = ReportSlot {
            tag,
            reported: now,
            packets: 0,
            bytes: 0,
        };
        return Some((1, bytes));
    }
    slot.packets += 1;
    slot.bytes += bytes;
    if now.wrapping_sub(slot.reported) < FOLD_NS {
        return None;
    }
    let due = (slot.packets, slot.bytes);
    *slot = ReportSlot {
        tag,
        reported: now,
        packets: 0,
        bytes: 0,
    };
    Some(due)
}

/// Takes one record out of this CPU's budget of `per_second`; `false`: it is spent.
#[inline(always)]
pub fn spend(budget: &mut Budget, per_second: u32, now: u64) -> bool {
    // A binary second: a shift instead of a division.
    let window = now >> 30;
    if budget.window != window {
        *budget = Budget { window, spent: 0 };
    }
    let affordable = budget.spent < u64::from(per_second);
    budget.spent += u64::from(affordable);
    affordable
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: ReportSlot = ReportSlot {
        tag: 0,
        reported: 0,
        packets: 0,
        bytes: 0,
    };

    proptest! {
        #[test]
        fn no_packet_of_one_source_is_reported_twice_or_lost(
            gaps in proptest::collection::vec(0u64..400_000_000, 1..200),
        ) {
            let mut slot = EMPTY;
            let (mut now, mut reported, mut last) = (1, 0, None::<u64>);
            for gap in &gaps {
                now += gap;
                if let Some((packets, bytes)) = fold(&mut slot, 5, 10, now) {
                    prop_assert_eq!(bytes, packets * 10);
                    prop_assert!(last.is_none_or(|last| now - last >= FOLD_NS));
                    reported += packets;
                    last = Some(now);
                }
            }
            prop_assert_eq!(reported + slot.packets, gaps.len() as u64);
        }
    }

    #[test]
    fn a_budget_is_spent_within_its_second_and_comes_back() {
        let mut budget = Budget::default();
        let second = 1 << 30;
        let sent = (0..10).filter(|_| spend(&mut budget, 3, second)).count();
        assert_eq!(sent, 3);
        assert!(spend(&mut budget, 3, 2 * second));
    }
}
