//! Locks: from the `[[only]]`s to ports and the names of those who stay.

use std::collections::BTreeSet;

use super::{
    error::ConfigError,
    keys::wrong,
    layers::{Layers, Lines, Place},
    raw,
};
use crate::policy::{Only, PortGroups, Ports};

/// All locks, in the order of the files. `names` are those that a lock may be for.
pub(super) fn onlys(layers: &Layers, names: &BTreeSet<&str>) -> Result<Vec<Only>, ConfigError> {
    let mut onlys: Vec<Only> = Vec::new();
    for (only, place, lines) in layers.entries(|raw| &raw.only) {
        let only = checked(only, &place, lines, names)?;
        if onlys.iter().any(|other| other.ports == only.ports) {
            let what = format!(
                "two [[only]] are about port {}: name all sources in one",
                only.ports
            );
            return Err(wrong("ports", &place, what));
        }
        onlys.push(only);
        let sets = onlys.iter().map(|only| &only.ports);
        PortGroups::NONE
            .about(sets, 0)
            .map_err(|error| wrong("ports", &place, error))?;
    }
    Ok(onlys)
}

fn checked(
    only: &raw::Only,
    place: &Place,
    lines: Lines<'_>,
    names: &BTreeSet<&str>,
) -> Result<Only, ConfigError> {
    let ports = only.ports.get_ref().iter().copied();
    let ports =
        Ports::new(ports).map_err(|error| wrong("ports", &lines.place(&only.ports), error))?;
    if only.from.get_ref().is_empty() {
        let what = "names no list: it would drop everyone";
        return Err(wrong("from", place, what));
    }
    let mut from: Vec<String> = Vec::new();
    for name in only.from.get_ref() {
        if !names.contains(name.get_ref().as_str()) {
            let what = format!("there is no [[list]] `{}`", name.get_ref());
            return Err(wrong("from", &lines.place(name), what));
        }
        if !from.contains(name.get_ref()) {
            from.push(name.get_ref().clone());
        }
    }
    Ok(Only {
        ports,
        from,
        monitor: only
            .monitor
            .as_ref()
            .is_some_and(|monitor| *monitor.get_ref()),
    })
}
