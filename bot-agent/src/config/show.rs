//! The effective configuration as TOML, each value with the place where it was set.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;
use toml::Value;

use super::{
    Config, HelloPorts, List, ListAction, Places, Ports, Proxy,
    show_feeds::{feed_values, policy_values, tier},
};
use crate::{
    policy::Only,
    rules::{
        duration,
        rule::{Draft, RuleAction},
    },
};

/// Every key besides those of `[[rule]]` and other tables that may come often, in the order in which they are shown.
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
    ("crawlers", "index"),
    ("crawlers", "verify"),
    ("crawlers", "queries_per_second"),
    ("crawlers", "resolver"),
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
    ("feeds", "bad_lines"),
    ("feeds", "max_change"),
    ("feeds", "known_good"),
    ("feeds", "stale_after"),
    ("reputation", "monitor"),
    ("reputation", "throttle"),
    ("reputation", "challenge"),
    ("reputation", "block"),
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
        let config = self.config;
        tables(f, "rule", config.rules.iter().map(rule_values))?;
        tables(f, "list", config.lists.iter().map(list_values))?;
        tables(f, "feed", config.feeds.iter().map(feed_values))?;
        tables(f, "policy", config.policies.iter().map(policy_values))?;
        tables(f, "proxy", config.proxies.iter().map(proxy_values))?;
        tables(f, "only", config.onlys.iter().map(only_values))
    }
}

pub(super) type Values = Vec<(&'static str, Value)>;

/// An array of tables.
fn tables(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    tables: impl Iterator<Item = Values>,
) -> fmt::Result {
    for values in tables {
        writeln!(f, "\n[[{name}]]")?;
        for (key, value) in values {
            writeln!(f, "{key} = {value}")?;
        }
    }
    Ok(())
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
        crawlers,
        tables,
        reports,
        log,
        block_duration,
        kernel_log,
        rails,
        tiers,
        rules: _,
        lists: _,
        feeds: _,
        policies: _,
        proxies: _,
        onlys: _,
    } = config;
    let index = crawlers.index.as_ref();
    let index = index.map(|file| file.display().to_string());
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
        Value::from(index.unwrap_or_default()),
        word(&crawlers.verify),
        Value::from(crawlers.queries_per_second),
        Value::from(
            crawlers
                .resolver
                .map_or(String::new(), |server| server.to_string()),
        ),
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
        Value::from(rails.bad_lines),
        Value::from(i64::from(rails.max_change)),
        Value::from(rails.known_good),
        Value::from(rails.stale_after),
        tier(tiers.monitor),
        tier(tiers.throttle),
        tier(tiers.challenge),
        tier(tiers.block),
    ]
}

fn list_values(list: &List) -> Values {
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

fn proxy_values(proxy: &Proxy) -> Values {
    vec![
        ("name", Value::from(proxy.name.as_str())),
        (
            "addresses",
            word_list(proxy.addresses.iter().map(ToString::to_string)),
        ),
        ("from", word_list(proxy.from.iter().cloned())),
    ]
}

fn only_values(only: &Only) -> Values {
    vec![
        ("ports", port_list(&only.ports.iter().collect())),
        ("from", word_list(only.from.iter().cloned())),
        ("monitor", Value::from(only.monitor)),
    ]
}

fn rule_values(rule: &Draft) -> Values {
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
pub(super) fn word<T: Serialize>(value: &T) -> Value {
    Value::try_from(value).unwrap_or_else(|_| Value::from(""))
}

pub(super) fn word_list(words: impl Iterator<Item = String>) -> Value {
    Value::Array(words.map(Value::from).collect())
}

fn ports(ports: &Ports) -> Value {
    match ports {
        Ports::Auto => Value::from("auto"),
        Ports::Only(ports) => port_list(ports),
    }
}

pub(super) fn port_list(ports: &BTreeSet<u16>) -> Value {
    Value::Array(
        ports
            .iter()
            .map(|port| Value::from(i64::from(*port)))
            .collect(),
    )
}
