//! Sets for `ipset restore`: `hash:net`, filled beside the ones in use and then put in their place.

use std::io::{self, Write};

use jiff::Timestamp;

use super::{
    head,
    sets::{Interval, Sets, address},
};

/// What the names of sets begin with; the rest is as for `nft`.
pub const PREFIX: &str = "bot-agent-";
/// Longest timeout that a set can keep, seconds (`ip_set_timeout.h`: half of a u32 of milliseconds).
const LONGEST: u64 = 2_147_483;
/// Most elements of a set. The same for all and always: a set of another maximum is another set.
const MAX_ELEMENTS: usize = 1 << 24;

/// Writes the script.
pub fn write(sets: &Sets, made: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    head(sets, made, out)?;
    let families = [&sets.v4, &sets.v6];
    let intervals = families
        .iter()
        .flat_map(|family| family.all.iter().chain(&family.services));
    if intervals
        .filter_map(|interval| interval.seconds)
        .any(|seconds| seconds > LONGEST)
    {
        writeln!(
            out,
            "# Blocks that last longer than {LONGEST} s end after that: a set can keep no longer timeout."
        )?;
    }
    writeln!(
        out,
        "# To drop what is in a set:\n\
         #   iptables -t raw -I PREROUTING -m set --match-set {PREFIX}block4 src -j DROP"
    )?;
    for (family, is_v4, number) in [(&sets.v4, true, 4), (&sets.v6, false, 6)] {
        for (name, intervals) in [("block", &family.all), ("services", &family.services)] {
            write_set(&format!("{PREFIX}{name}{number}"), intervals, is_v4, out)?;
        }
    }
    Ok(())
}

fn write_set(
    name: &str,
    intervals: &[Interval],
    is_v4: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let family = if is_v4 { "inet" } else { "inet6" };
    let bits = if is_v4 { 32 } else { 128 };
    let buckets = intervals
        .len()
        .clamp(1024, MAX_ELEMENTS)
        .next_power_of_two();
    let terms = format!("hash:net family {family} maxelem {MAX_ELEMENTS} timeout 0");
    let new = format!("{name}-new");
    writeln!(out, "create {new} {terms} hashsize {buckets} -exist")?;
    writeln!(out, "flush {new}")?;
    for interval in intervals {
        for (first, size) in interval.blocks(bits) {
            // A prefix of no bits at all is none for a set.
            let halves = if size == bits {
                vec![(first, size - 1), (1 << (size - 1), size - 1)]
            } else {
                vec![(first, size)]
            };
            for (first, size) in halves {
                write!(out, "add {new} {}/{}", address(first, is_v4), bits - size)?;
                match interval.seconds {
                    Some(seconds) => writeln!(out, " timeout {}", seconds.clamp(1, LONGEST))?,
                    None => writeln!(out)?,
                }
            }
        }
    }
    writeln!(out, "create {name} {terms} -exist")?;
    writeln!(out, "swap {new} {name}\ndestroy {new}")
}
