//! The ends of bursts: packets that the kernel folded and no later packet of their source reported.
//!
//! The kernel tells of a source at once and then at most once a second, with what it folded since;
//! what a burst leaves folded when it ends stays in the CPU's slot. Once a second those slots are
//! read here. A slot keeps what was told of it, so a later report tells only the rest: no packet is
//! told twice. Bounded by the slots of all CPUs and by [`KNOWN`] sources; a source beyond that, or
//! one whose slot another took, is counted only.

use std::collections::HashMap;

use bot_common::{
    abi::record::{DropReport, ReportSlot, slot_of},
    hash::report_tag,
    report::FOLD_NS,
};

use crate::datapath::SlotPlace;

/// Sources that are remembered.
const KNOWN: usize = 4096;
/// How long after its last report a source is remembered.
const REMEMBERED_NS: u64 = 10_000_000_000;

/// What was told of a slot beyond its reports.
#[derive(Clone, Copy)]
struct Told {
    tag: u64,
    reported: u64,
    packets: u64,
    bytes: u64,
}

/// What is known of bursts.
#[derive(Default)]
pub(super) struct Tails {
    known: HashMap<u64, DropReport>,
    told: HashMap<SlotPlace, Told>,
}

impl Tails {
    /// Takes in a report of the kernel; returns what of it was not told yet.
    pub(super) fn report(&mut self, report: &DropReport, seed: u64) -> DropReport {
        let tag = report_tag(seed, &report.src, report.outcome);
        if self.known.len() < KNOWN || self.known.contains_key(&tag) {
            self.known.insert(tag, *report);
        }
        let told = self.told.remove(&(report.cpu, slot_of(tag)));
        let told = told.filter(|told| told.tag == tag);
        DropReport {
            packets: report.packets - told.map_or(0, |told| told.packets.min(report.packets)),
            bytes: report.bytes - told.map_or(0, |told| told.bytes.min(report.bytes)),
            ..*report
        }
    }

    /// Whether no source is remembered: then there is no tail to tell, and no slot to read for it.
    pub(super) fn is_idle(&self) -> bool {
        self.known.is_empty()
    }

    /// What lies in the slots for a second and was not told; `now` is `CLOCK_BOOTTIME` ns.
    pub(super) fn sweep(
        &mut self,
        slots: impl IntoIterator<Item = (SlotPlace, ReportSlot)>,
        now: u64,
    ) -> Vec<DropReport> {
        let mut tails = Vec::new();
        for (place, slot) in slots {
            let ended = slot.packets > 0 && now.saturating_sub(slot.reported) >= FOLD_NS;
            let (true, Some(known)) = (ended, self.known.get(&slot.tag)) else {
                continue;
            };
            let told = self
                .told
                .get(&place)
                .filter(|told| told.tag == slot.tag && told.reported == slot.reported);
            let packets = slot.packets - told.map_or(0, |told| told.packets.min(slot.packets));
            let bytes = slot.bytes - told.map_or(0, |told| told.bytes.min(slot.bytes));
            if packets > 0 {
                tails.push(DropReport {
                    time: now,
                    packets,
                    bytes,
                    ..*known
                });
                let ReportSlot {
                    tag,
                    reported,
                    packets,
                    bytes,
                } = slot;
                self.told.insert(
                    place,
                    Told {
                        tag,
                        reported,
                        packets,
                        bytes,
                    },
                );
            }
        }
        self.known
            .retain(|_, report| now.saturating_sub(report.time) < REMEMBERED_NS);
        tails
    }
}

#[cfg(test)]
mod tests {
    use bot_common::{abi::counter::Outcome, address::Address, report::fold};
    use zerocopy::FromZeros as _;

    use super::*;

    const SEED: u64 = 7;
    const SECOND: u64 = FOLD_NS;

    /// A CPU with one slot, and everything that was told of its source.
    struct World {
        slot: ReportSlot,
        tails: Tails,
        told: u64,
    }

    impl World {
        fn new() -> Self {
            Self {
                slot: ReportSlot::new_zeroed(),
                tails: Tails::default(),
                told: 0,
            }
        }

        fn source() -> Address {
            Address::from_v4([198, 51, 100, 7])
        }

        fn tag() -> u64 {
            report_tag(SEED, &Self::source(), Outcome::Dropped as u8)
        }

        fn packet(&mut self, now: u64) {
            if let Some((packets, bytes)) = fold(&mut self.slot, Self::tag(), 60, now) {
                let report = DropReport {
                    time: now,
                    packets,
                    bytes,
                    src: Self::source(),
                    outcome: Outcome::Dropped as u8,
                    ..DropReport::new_zeroed()
                };
                self.told += self.tails.report(&report, SEED).packets;
            }
        }

        fn tick(&mut self, now: u64) {
            let place = (0, slot_of(Self::tag()));
            let tails = self.tails.sweep([(place, self.slot)], now);
            self.told += tails.iter().map(|tail| tail.packets).sum::<u64>();
        }
    }

    #[test]
    fn a_short_flood_is_told_whole_a_second_after_its_end() {
        let mut world = World::new();
        (0..3000).for_each(|packet| world.packet(SECOND + packet * 100));
        world.tick(SECOND + SECOND / 2);
        assert_eq!(world.told, 1);
        world.tick(3 * SECOND);
        world.tick(4 * SECOND);
        assert_eq!(world.told, 3000);
    }

    #[test]
    fn no_packet_is_told_twice_when_the_source_returns() {
        let mut world = World::new();
        let mut packets = 0;
        for burst in 1..6 {
            let start = burst * 3 * SECOND;
            for packet in 0..50 {
                world.packet(start + packet * SECOND / 20);
                packets += 1;
            }
            world.tick(start + 4 * SECOND - 1);
        }
        world.tick(30 * SECOND);
        assert_eq!(world.told, packets);
    }

    #[test]
    fn a_source_that_was_never_reported_cannot_be_named() {
        let mut world = World::new();
        world.slot = ReportSlot {
            tag: 99,
            reported: 1,
            packets: 5,
            bytes: 5,
        };
        world.tick(3 * SECOND);
        assert_eq!(world.told, 0);
    }
}
