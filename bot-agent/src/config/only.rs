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

#[cfg(test)]
mod tests {
    use crate::config::{Config, Places, show};

    const LIST: &str = "[[list]]\nname = \"cdn\"\nfile = \"/cdn.txt\"\naction = \"allow\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        let texts = vec![("test.toml".into(), format!("{text}{LIST}"))];
        let parsed = Config::from_texts(texts);
        parsed
            .map(|(config, _)| config)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_lock_has_ports_and_names_and_is_shown_as_it_was_read() {
        let text = "[[only]]\nports = [8443, 443]\nfrom = [\"cdn\", \"cdn\"]\nmonitor = true\n";
        let config = parse(text).unwrap();
        let only = &config.onlys[0];
        assert_eq!(only.name(), "only 443,8443");
        assert_eq!(
            (&only.from[..], only.monitor),
            (&["cdn".to_owned()][..], true)
        );
        let shown = show(&config, &Places::new());
        let again = Config::from_texts(vec![("test.toml".into(), shown)]);
        assert_eq!(again.unwrap().0.onlys, config.onlys);
    }

    #[test]
    fn what_would_lock_out_everyone_or_nobody_is_refused() {
        let refusal = |text: &str| parse(text).unwrap_err();
        assert_eq!(
            refusal("[[only]]\nports = [443]\nfrom = []\n"),
            "test.toml:1: from: names no list: it would drop everyone"
        );
        assert_eq!(
            refusal("[[only]]\nports = [443]\nfrom = [\"cnd\"]\n"),
            "test.toml:3: from: there is no [[list]] `cnd`"
        );
        assert_eq!(
            refusal("[[only]]\nports = []\nfrom = [\"cdn\"]\n"),
            "test.toml:2: ports: no port is named; ports are 1 to 65535"
        );
        let twice = "[[only]]\nports = [443]\nfrom = [\"cdn\"]\n".repeat(2);
        assert_eq!(
            refusal(&twice),
            "test.toml:4: ports: two [[only]] are about port 443: name all sources in one"
        );
        let lock = |port: u16| format!("[[only]]\nports = [{port}]\nfrom = [\"cdn\"]\n");
        let many: String = (1..=9).map(lock).collect();
        assert!(refusal(&many).contains("9 different sets of ports, 8 are possible"));
    }
}
