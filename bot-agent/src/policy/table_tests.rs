//! From rules and lists through the verdict table that the kernel reads, whole and in place.

use std::{collections::BTreeMap, sync::atomic::AtomicU64};

use bot_common::{
    abi::verdict::{Verdict, VerdictId},
    address::Address,
    decide::in_force,
};
use proptest::prelude::*;

use super::{
    reference::reference,
    simulation::{Answer, ROOMY, at, ip, past},
    worlds::{PROBES, any_world, groups_of, inputs, regions},
    *,
};
use crate::{
    rules::time::Now,
    table::{Image, Ranges, Table},
};

/// A port that lists are about, together and apart.
const PORT: Option<u16> = Some(443);

/// The kernel's tables.
struct Tables {
    table: Table<Vec<AtomicU64>>,
    verdicts: BTreeMap<VerdictId, Verdict>,
}

impl Tables {
    /// A new table, with some room for changes.
    fn of(assigned: &Assigned) -> Self {
        let image = Image::build(&assigned.ranges).unwrap();
        let lines = usize::try_from(image.lines()).unwrap() + 20_000;
        let memory = std::iter::repeat_with(|| AtomicU64::new(0));
        let memory: Vec<_> = memory.take(lines * bot_common::table::LINE_WORDS).collect();
        let mut tables = Self {
            table: Table::install(memory, image).unwrap(),
            verdicts: BTreeMap::new(),
        };
        tables.write(&assigned.fresh);
        tables
    }

    fn write(&mut self, fresh: &[Fresh]) {
        self.verdicts
            .extend(fresh.iter().map(|fresh| (fresh.id, fresh.verdict)));
    }

    fn answer(&self, address: Address, port: Option<u16>, now: Now) -> Answer {
        let verdict = |id| self.verdicts.get(&id).copied();
        let first = self.table.lookup(&address);
        let (_, verdict) = in_force(first, verdict, || groups_of(port), || now.boot_ns);
        Answer::of(&verdict)
    }

    fn live(&self) -> Vec<VerdictId> {
        let Ranges { v4, v6 } = self.table.ranges();
        let v4 = v4.into_iter().map(|range| range.id);
        v4.chain(v6.into_iter().map(|range| range.id)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_table_says_what_the_precedence_says_made_whole_and_changed_in_place(
        first in any_world(), second in any_world()
    ) {
        let made = first.made(at(0));
        let before = inputs(&made);
        let mut enforced = Enforced::empty(ROOMY);
        let compiled = compile(&before, at(0));
        let assigned = enforced.assign(&compiled, |_| VerdictId::NONE, at(0)).unwrap();
        let mut tables = Tables::of(&assigned);
        enforced.sweep(tables.live(), at(0));
        for text in PROBES {
            prop_assert_eq!(tables.answer(ip(text), PORT, at(0)), reference(&before, ip(text), PORT, at(0)), "{}", text);
        }

        let now = at(7);
        let old = PROBES.map(|text| tables.answer(ip(text), PORT, now));
        let made = second.made(now);
        let after = inputs(&made);
        for region in regions() {
            let part = compile_within(&after, region, now);
            let present = |address: Address| tables.table.lookup(&address);
            let assigned = enforced.assign(&part, present, now).unwrap();
            tables.write(&assigned.fresh);
            tables.table.update(region, &assigned.ranges).unwrap();
            tables.table.quiesce();
            for (text, old) in PROBES.iter().zip(old) {
                let got = tables.answer(ip(text), PORT, now);
                prop_assert!(
                    got == old || got == reference(&after, ip(text), PORT, now),
                    "{} is {:?}", text, got
                );
            }
        }
        enforced.sweep(tables.live(), now);
        for text in PROBES {
            prop_assert_eq!(tables.answer(ip(text), PORT, past(7)), reference(&after, ip(text), PORT, past(7)), "{}", text);
        }
    }
}
