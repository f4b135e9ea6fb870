//! Blocks as sets that other packet filters load: for comparison, and as a way out.
//!
//! Pure: from rules to disjoint intervals ([`sets`]), and from those to the text that `nft -f`
//! ([`nft`]) or `ipset restore` ([`ipset`]) takes. What such sets cannot say is left out and named
//! in comments. Rules that this agent makes again are [`crate::rules::record`]'s.

pub mod ipset;
pub mod nft;
pub mod sets;

use std::io::{self, Write};

use jiff::Timestamp;

use self::sets::{LeftOut, Sets};

/// Writes the comments before a script.
fn head(sets: &Sets, made: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "# Blocks of bot-agent as sets, made {}.",
        made.strftime("%Y-%m-%dT%H:%M:%SZ")
    )?;
    writeln!(
        out,
        "# Loading this drops nothing: it is for rules of yours that match the sets."
    )?;
    let has_services = [&sets.v4, &sets.v6]
        .iter()
        .any(|family| !family.services.is_empty());
    if has_services {
        writeln!(
            out,
            "# services4, services6: to be matched with the ports that this host serves, else answers\n\
             # to its own connections are lost."
        )?;
    }
    for line in left_out(&sets.left_out) {
        writeln!(out, "# {line}")?;
    }
    Ok(())
}

/// What the sets do not say, a sentence each.
fn left_out(left_out: &LeftOut) -> Vec<String> {
    let kinds = [
        (
            left_out.timed,
            "end",
            "timeouts count from when this is loaded",
        ),
        (
            left_out.monitor,
            "only count and report",
            "they are left out",
        ),
        (
            left_out.named,
            "are about ASNs or countries",
            "they are left out",
        ),
        (
            left_out.passing,
            "exempt for a time",
            "what they exempt stays out of the sets when that is over",
        ),
        (
            left_out.forced,
            "are forced",
            "sets know no failsafe ports, which other blocks leave open",
        ),
    ];
    kinds
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, what, so)| format!("Rules that {what}: {count}; {so}."))
        .collect()
}
