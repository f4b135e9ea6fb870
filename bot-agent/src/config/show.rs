//! The effective configuration as TOML, each value with the place where it was set.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;
use toml::Value;

use super::{Config, HelloPorts, List, ListAction, Places, Ports};
use crate::{
    policy::Only,
    rules::{
        duration,
        rule::{Draft, RuleAction},
    },
};

/// Every key besides those of `[[rule]]`, `[[list]]` and `[[only]]`, in the order in which they are shown.
pub(super) const KEYS: &[(&str, &str)] = &[
    ("agent", "interfaces"),
    ("agent", "user"),
    ("agent", "pin_dir"),
    ("agent", "run_dir"),
    ("agent", "state_dir"),
    ("control", "socket"),
    ("control", "group"),
    ("mode", "start"),
    ("xdp", "mode"),
    ("xdp", "replace"),
    ("services", "tcp"),
    ("services", "udp"),
    ("hello", "ports"),
    ("hello", "hellos_per_second"),
    ("hello", "ring_bytes"),
    ("protect", "failsafe_ports"),
    ("protect", "addresses"),
    ("asn", "database"),
    ("tables", "prefixes"),
    ("tables", "verdicts"),
    ("reports", "per_second"),
    ("reports", "ring_bytes"),
    ("log", "format"),
    ("log", "level"),
    ("log", "file"),
    ("log", "rotate_bytes"),
    ("log", "keep_files"),
    ("log", "budget_per_second"),
    ("block", "default_duration"),
    ("debug", "kernel_log"),
];

/// Writes `config` as a file that says the same. Values are followed by a comment on where they
/// were set, or `default`.
pub fn show(config: &Config, places: &Places) -> String {
    Shown { config, places }.to_string()
}

struct Shown<'a> {
    config: &'a Config,
    places: &'a Places,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for ((table, key), value) in KEYS.iter().zip(values(self.config)) {
            if *table != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                writeln!(f, "{gap}[{table}]")?;
                section = table;
            }
            let place = self.places.get(format!("{table}.{key}").as_str());
            let place = place.map_or_else(|| "default".to_owned(), ToString::to_string);
            writeln!(f, "{key} = {value}  # {place}")?;
        }
        for rule in &self.config.rules {
            writeln!(f, "\n[[rule]]")?;
            for (key, value) in rule_values(rule) {
                writeln!(f, "{key} = {value}")?;
            }
        }
        for list in &self.config.lists {
            writeln!(f, "\n[[list]]")?;
            for (key, value) in list_values(list) {
                writeln!(f, "{key} = {value}")?;
            }
        }
        for only in &self.config.onlys {
            writeln!(f, "\n[[only]]")?;
            for (key, value) in only_values(only) {
                writeln!(f, "{key} = {value}")?;
            }
        }
        Ok(())
    }
}

/// The values of [`KEYS`], in their order.
fn values(config: &Config) -> [Value; KEYS.len()] {
    let Config {
        agent,
        control,
        start,
        xdp,
        services,
        hello,
        protect,
        asn_databases,
        tables,
        reports,
        log,
        block_duration,
        kernel_log,
        rules: _,
        lists: _,
        onlys: _,
    } = config;
    let log_file = log.file.as_ref().map(|file| file.display().to_string());
    [
        word_list(agent.interfaces.iter().cloned()),
        Value::from(agent.user.as_str()),
        Value::from(agent.pin_dir.display().to_string()),
        Value::from(agent.run_dir.display().to_string()),
        Value::from(agent.state_dir.display().to_string()),
        Value::from(control.socket.display().to_string()),
        Value::from(control.group.clone().unwrap_or_default()),
        word(start),
        word(&xdp.mode),
        Value::from(xdp.replace),
        ports(&services.tcp),
        ports(&services.udp),
        match &hello.ports {
            HelloPorts::Any => Value::from("any"),
            HelloPorts::Only(ports) => port_list(ports),
        },
        Value::from(hello.per_second),
        Value::from(hello.ring_bytes),
        ports(&protect.failsafe_ports),
        word_list(protect.addresses.iter().map(ToString::to_string)),
        word_list(asn_databases.iter().map(|path| path.display().to_string())),
        Value::from(tables.prefixes),
        Value::from(tables.verdicts),
        Value::from(reports.per_second),
        Value::from(reports.ring_bytes),
        word(&log.format),
        word(&log.level),
        Value::from(log_file.unwrap_or_default()),
        Value::from(i64::try_from(log.rotate_bytes).unwrap_or(i64::MAX)),
        Value::from(log.keep_files),
        Value::from(log.budget_per_second),
        Value::from(duration::format(*block_duration)),
        Value::from(*kernel_log),
    ]
}

fn list_values(list: &List) -> Vec<(&'static str, Value)> {
    let mut values = vec![
        ("name", Value::from(list.name.as_str())),
        ("file", Value::from(list.file.display().to_string())),
        ("action", word(&list.action)),
    ];
    if list.action != ListAction::Allow {
        values.push(("scope", word(&list.scope)));
    }
    values
}

fn only_values(only: &Only) -> Vec<(&'static str, Value)> {
    vec![
        ("ports", port_list(&only.ports.iter().collect())),
        ("from", word_list(only.from.iter().cloned())),
        ("monitor", Value::from(only.monitor)),
    ]
}

fn rule_values(rule: &Draft) -> Vec<(&'static str, Value)> {
    let mut values = vec![
        ("action", word(&rule.action)),
        ("source", Value::from(rule.subject.to_string())),
    ];
    if rule.action == RuleAction::Block {
        values.push(("scope", word(&rule.scope)));
        values.push(("monitor", Value::from(rule.monitor)));
    }
    values.push(("force", Value::from(rule.forced)));
    values.push(("reason", Value::from(rule.reason.as_str())));
    values
}

/// The word of an enum, as its `Deserialize` reads it.
fn word<T: Serialize>(value: &T) -> Value {
    Value::try_from(value).unwrap_or_else(|_| Value::from(""))
}

fn word_list(words: impl Iterator<Item = String>) -> Value {
    Value::Array(words.map(Value::from).collect())
}

fn ports(ports: &Ports) -> Value {
    match ports {
        Ports::Auto => Value::from("auto"),
        Ports::Only(ports) => port_list(ports),
    }
}

fn port_list(ports: &BTreeSet<u16>) -> Value {
    Value::Array(
        ports
            .iter()
            .map(|port| Value::from(i64::from(*port)))
            .collect(),
    )
}
