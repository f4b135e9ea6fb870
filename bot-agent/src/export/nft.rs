//! Sets for `nft -f`: named interval sets in a table of their own, replaced as a whole each time.

use std::io::{self, Write};

use jiff::Timestamp;

use super::{
    head,
    sets::{Interval, Sets, address},
};

/// The table.
pub const TABLE: &str = "inet bot_agent";
/// Elements of one statement: more of them take `nft` more memory, and no less time.
const ELEMENTS: usize = 5_000;

/// Writes the script.
pub fn write(sets: &Sets, made: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    head(sets, made, out)?;
    writeln!(
        out,
        "# To drop what is in a set:\n\
         #   nft 'add chain {TABLE} input {{ type filter hook prerouting priority raw; }}'\n\
         #   nft add rule {TABLE} input ip saddr @block4 drop"
    )?;
    writeln!(out, "add table {TABLE}")?;
    for (family, is_v4, number) in [(&sets.v4, true, 4), (&sets.v6, false, 6)] {
        for (name, intervals) in [("block", &family.all), ("services", &family.services)] {
            write_set(&format!("{name}{number}"), intervals, is_v4, out)?;
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
    let kind = if is_v4 { "ipv4_addr" } else { "ipv6_addr" };
    writeln!(
        out,
        "add set {TABLE} {name} {{ type {kind}; flags interval, timeout; }}"
    )?;
    writeln!(out, "flush set {TABLE} {name}")?;
    for part in intervals.chunks(ELEMENTS) {
        writeln!(out, "add element {TABLE} {name} {{")?;
        for interval in part {
            write_element(*interval, is_v4, out)?;
        }
        writeln!(out, "}}")?;
    }
    Ok(())
}

fn write_element(interval: Interval, is_v4: bool, out: &mut dyn Write) -> io::Result<()> {
    let first = address(interval.first, is_v4);
    if interval.first == interval.last {
        write!(out, "{first}")?;
    } else {
        write!(out, "{first}-{}", address(interval.last, is_v4))?;
    }
    if let Some(seconds) = interval.seconds {
        write!(out, " timeout {}s", seconds.max(1))?;
    }
    writeln!(out, ",")
}
