//! What one packet costs in the whole program, with an empty table and with a full one. The same
//! packet again and again, so its lines of the table are in the cache.

use std::net::IpAddr;

use bot_common::abi::verdict::{Action, Verdict};
use bot_tests::{
    figures::{Figure, median},
    frame::{Frame, flag},
    kernel::{Entry, Kernel},
    lists::{Entry as Listed, Family, VERDICTS},
};

use crate::{ROUNDS, rival};

const REPEAT: u32 = 200_000;

/// IPv4 entries, an address that they cover, and one that they do not.
pub(crate) fn measure(entries: &[Listed], listed: IpAddr, unlisted: IpAddr) {
    let [listed, unlisted] = [listed, unlisted].map(|source| {
        Frame::from(&source.to_string())
            .tcp(443, flag::DATA)
            .payload(&[0; 200])
            .bytes()
    });
    let mut empty = Kernel::load();
    let mut full = Kernel::load();
    for kernel in [&mut empty, &mut full] {
        // The walk and the lookup, not the ring for hellos.
        kernel.settings(|settings| settings.hellos_per_second = 0);
        for _ in 0..VERDICTS {
            kernel.verdict(Verdict {
                action: Action::Drop as u8,
                ..Verdict::PASS
            });
        }
    }
    full.fill(&rival::ranges(Family::V4, entries));
    let cases = [
        ("unknown source, empty table", &empty, &unlisted),
        ("unknown source, full table", &full, &unlisted),
        ("listed source, empty table", &empty, &listed),
        ("listed source, full table: dropped", &full, &listed),
    ];
    let mut rounds = cases.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        let times = cases.map(|(_, kernel, frame)| kernel.time(Entry::Frags, frame, REPEAT));
        for (figures, time) in rounds.iter_mut().zip(times) {
            figures.push((time, time / times[0]));
        }
    }
    for ((workload, ..), figures) in cases.iter().zip(rounds) {
        let (times, ratios) = figures.into_iter().unzip();
        let figure = Figure {
            bench: "lookup",
            variant: "whole program",
            family: Family::V4.name(),
            size: entries.len(),
            workload,
        };
        println!("{}", figure.line(median(times), "ns", Some(median(ratios))));
    }
}
