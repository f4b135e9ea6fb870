//! Locks.

use super::packets;
use crate::{control::view::OnlyView, event::render::Safe, wording::many_of};

/// A lock in a line.
pub(in crate::cli) fn only(only: &OnlyView) -> String {
    let mut text = format!(
        "port {} only for {} ({}), {}, {}",
        ports(&only.ports),
        Safe(&only.from.join(", ")),
        many_of(only.prefixes, "prefix"),
        Safe(&only.origin),
        packets(only.hits),
    );
    if only.monitor {
        text.push_str(", monitor only");
    }
    if let Some(why) = &only.obstacle {
        text.push_str(", NOT IN FORCE: ");
        text.push_str(&Safe(why).to_string());
    }
    text
}

/// Tab-separated: ports, lists, origin, whether it is in force.
pub(in crate::cli) fn only_raw(only: &OnlyView) -> String {
    let state = match (&only.obstacle, only.monitor) {
        (Some(_), _) => "open",
        (None, true) => "monitor",
        (None, false) => "locked",
    };
    let from = Safe(&only.from.join(",")).to_string();
    format!(
        "{}\t{from}\t{}\t{state}",
        ports(&only.ports),
        Safe(&only.origin)
    )
}

/// Numbers between commas.
pub(super) fn ports(ports: &[u16]) -> String {
    let words: Vec<String> = ports.iter().map(ToString::to_string).collect();
    words.join(",")
}
