//! From layers to the validated configuration: defaults, ranges, and what contradicts itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::Spanned;

use super::{
    Agent, Config, Control, Hello, HelloPorts, Log, Ports, Protect, Reports, Services, Tables, Xdp,
    error::ConfigError,
    layers::{Layers, Lines, Place, Places},
    raw::{self, LogFormat, LogLevel, Raw, Start, WordOr, XdpMode},
};
use crate::rules::{
    duration,
    prefix::Prefix,
    rule::{Draft, Origin, RuleAction, Scope},
    target::Target,
};

/// What an empty file says.
pub(super) fn defaults() -> Config {
    let run_dir = PathBuf::from("/run/bot-agent");
    Config {
        agent: Agent {
            interfaces: Vec::new(),
            user: "bot-agent".to_owned(),
            pin_dir: PathBuf::from("/sys/fs/bpf/bot-agent"),
            run_dir: run_dir.clone(),
            state_dir: PathBuf::from("/var/lib/bot-agent"),
        },
        control: Control {
            socket: run_dir.join(SOCKET),
            group: None,
        },
        start: Start::Last,
        xdp: Xdp {
            mode: XdpMode::Auto,
            replace: false,
        },
        services: Services {
            tcp: Ports::Auto,
            udp: Ports::Auto,
        },
        hello: Hello {
            ports: HelloPorts::Only(BTreeSet::from([443, 8443])),
            per_second: 10_000,
            ring_bytes: 8 << 20,
        },
        protect: Protect {
            failsafe_ports: Ports::Auto,
            addresses: Vec::new(),
        },
        tables: Tables {
            prefixes: 1_000_000,
            verdicts: 65_536,
            flows: 65_536,
        },
        reports: Reports {
            per_second: 1000,
            ring_bytes: 1 << 20,
        },
        log: Log {
            format: LogFormat::Auto,
            level: LogLevel::Info,
            file: None,
            rotate_bytes: 100_000_000,
            keep_files: 5,
            budget_per_second: 200,
        },
        block_duration: Duration::from_hours(4),
        kernel_log: false,
        rules: Vec::new(),
    }
}

const SOCKET: &str = "control.sock";

/// Checks everything and fills in defaults.
pub(super) fn resolve(layers: &Layers) -> Result<(Config, Places), ConfigError> {
    let mut config = defaults();
    let mut keys = Keys {
        layers,
        places: Places::new(),
    };

    keys.interfaces(&mut config.agent.interfaces)?;
    keys.name("agent.user", |raw| &raw.agent.user, &mut config.agent.user)?;
    keys.path(
        "agent.pin_dir",
        |raw| &raw.agent.pin_dir,
        &mut config.agent.pin_dir,
    )?;
    keys.path(
        "agent.run_dir",
        |raw| &raw.agent.run_dir,
        &mut config.agent.run_dir,
    )?;
    keys.path(
        "agent.state_dir",
        |raw| &raw.agent.state_dir,
        &mut config.agent.state_dir,
    )?;

    config.control.socket = config.agent.run_dir.join(SOCKET);
    keys.path(
        "control.socket",
        |raw| &raw.control.socket,
        &mut config.control.socket,
    )?;
    let group = keys.take("control.group", |raw| &raw.control.group);
    config.control.group = group
        .map(|(group, _)| group.clone())
        .filter(|group| !group.is_empty());

    keys.plain("mode.start", |raw| &raw.mode.start, &mut config.start);
    keys.plain("xdp.mode", |raw| &raw.xdp.mode, &mut config.xdp.mode);
    keys.plain(
        "xdp.replace",
        |raw| &raw.xdp.replace,
        &mut config.xdp.replace,
    );

    keys.ports(
        "services.tcp",
        |raw| &raw.services.tcp,
        &mut config.services.tcp,
    )?;
    keys.ports(
        "services.udp",
        |raw| &raw.services.udp,
        &mut config.services.udp,
    )?;

    let hello = &mut config.hello;
    if let Some((ports, _)) = keys.words("hello.ports", "any", |raw| &raw.hello.ports)? {
        hello.ports = ports.map_or(HelloPorts::Any, HelloPorts::Only);
    }
    keys.number(
        "hello.hellos_per_second",
        |raw| &raw.hello.hellos_per_second,
        RATES,
        &mut hello.per_second,
    )?;
    keys.power(
        "hello.ring_bytes",
        |raw| &raw.hello.ring_bytes,
        RINGS,
        &mut hello.ring_bytes,
    )?;

    let failsafe = &mut config.protect.failsafe_ports;
    keys.ports(
        "protect.failsafe_ports",
        |raw| &raw.protect.failsafe_ports,
        failsafe,
    )?;
    keys.addresses(&mut config.protect.addresses)?;

    let tables = &mut config.tables;
    keys.number(
        "tables.prefixes",
        |raw| &raw.tables.prefixes,
        1024..=16_000_000,
        &mut tables.prefixes,
    )?;
    keys.number(
        "tables.verdicts",
        |raw| &raw.tables.verdicts,
        1024..=65_536,
        &mut tables.verdicts,
    )?;
    keys.power(
        "tables.flows",
        |raw| &raw.tables.flows,
        1024..=4_194_304,
        &mut tables.flows,
    )?;

    let reports = &mut config.reports;
    keys.number(
        "reports.per_second",
        |raw| &raw.reports.per_second,
        RATES,
        &mut reports.per_second,
    )?;
    keys.power(
        "reports.ring_bytes",
        |raw| &raw.reports.ring_bytes,
        RINGS,
        &mut reports.ring_bytes,
    )?;

    let log = &mut config.log;
    keys.plain("log.format", |raw| &raw.log.format, &mut log.format);
    keys.plain("log.level", |raw| &raw.log.level, &mut log.level);
    let mut file = PathBuf::new();
    keys.path("log.file", |raw| &raw.log.file, &mut file)?;
    log.file = Some(file).filter(|file| !file.as_os_str().is_empty());
    keys.number(
        "log.rotate_bytes",
        |raw| &raw.log.rotate_bytes,
        65_536..=1 << 40,
        &mut log.rotate_bytes,
    )?;
    keys.number(
        "log.keep_files",
        |raw| &raw.log.keep_files,
        0..=1000,
        &mut log.keep_files,
    )?;
    keys.number(
        "log.budget_per_second",
        |raw| &raw.log.budget_per_second,
        1..=1_000_000,
        &mut log.budget_per_second,
    )?;

    if let Some((text, place)) =
        keys.take("block.default_duration", |raw| &raw.block.default_duration)
    {
        config.block_duration =
            duration::parse(text).map_err(|error| wrong("default_duration", &place, error))?;
    }
    keys.plain(
        "debug.kernel_log",
        |raw| &raw.debug.kernel_log,
        &mut config.kernel_log,
    );

    config.rules = rules(layers)?;
    Ok((config, keys.places))
}

const RATES: RangeInclusive<u64> = 0..=1_000_000;
const RINGS: RangeInclusive<u64> = 65_536..=1 << 30;

type Field<T> = Option<Spanned<T>>;

/// Reads keys, and notes where they were set.
struct Keys<'a> {
    layers: &'a Layers,
    places: Places,
}

impl<'a> Keys<'a> {
    fn take<T>(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<T>,
    ) -> Option<(&'a T, Place)> {
        let (value, place) = self.layers.value(field)?;
        self.places.insert(key, place.clone());
        Some((value, place))
    }

    fn plain<T: Copy + 'a>(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<T>,
        into: &mut T,
    ) {
        if let Some((value, _)) = self.take(key, field) {
            *into = *value;
        }
    }

    fn name(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<String>,
        into: &mut String,
    ) -> Result<(), ConfigError> {
        if let Some((value, place)) = self.take(key, field) {
            if value.is_empty() {
                return Err(wrong(key, &place, "must not be empty"));
            }
            into.clone_from(value);
        }
        Ok(())
    }

    fn path(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<String>,
        into: &mut PathBuf,
    ) -> Result<(), ConfigError> {
        if let Some((value, place)) = self.take(key, field) {
            // Only a path without a default can be unset.
            let unset = value.is_empty() && into.as_os_str().is_empty();
            if !Path::new(value).is_absolute() && !unset {
                return Err(wrong(key, &place, format!("`{value}` is no absolute path")));
            }
            *into = PathBuf::from(value);
        }
        Ok(())
    }

    fn number<N: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<u64>,
        range: RangeInclusive<u64>,
        into: &mut N,
    ) -> Result<(), ConfigError> {
        if let Some((value, place)) = self.take(key, field) {
            let number = N::try_from(*value).ok().filter(|_| range.contains(value));
            let (least, most) = (range.start(), range.end());
            let refusal = || {
                wrong(
                    key,
                    &place,
                    format!("{value} is not within {least} to {most}"),
                )
            };
            *into = number.ok_or_else(refusal)?;
        }
        Ok(())
    }

    fn power(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<u64>,
        range: RangeInclusive<u64>,
        into: &mut u32,
    ) -> Result<(), ConfigError> {
        self.number(key, field, range, into)?;
        match self.places.get(key) {
            Some(place) if !into.is_power_of_two() => {
                let next = into.checked_next_power_of_two().unwrap_or(1 << 31);
                let near = format!("{into} is no power of two; {} and {next} are", next / 2);
                Err(wrong(key, place, near))
            }
            _ => Ok(()),
        }
    }

    /// Ports, or `None` for the word that stands for them.
    #[expect(clippy::type_complexity, reason = "set or not, word or ports")]
    fn words(
        &mut self,
        key: &'static str,
        word: &str,
        field: impl Fn(&'a Raw) -> &'a Field<WordOr<u16>>,
    ) -> Result<Option<(Option<BTreeSet<u16>>, Place)>, ConfigError> {
        let Some((value, place)) = self.layers.word_or(field) else {
            return Ok(None);
        };
        self.places.insert(key, place.clone());
        match value {
            WordOr::Word(given) if given == word => Ok(Some((None, place))),
            WordOr::Word(given) => {
                let message = format!("`{given}` is neither \"{word}\" nor a list of ports");
                Err(wrong(key, &place, message))
            }
            WordOr::List(ports) if ports.contains(&0) => {
                Err(wrong(key, &place, "0 is no port; ports are 1 to 65535"))
            }
            WordOr::List(ports) => Ok(Some((Some(ports.into_iter().collect()), place))),
        }
    }

    fn ports(
        &mut self,
        key: &'static str,
        field: impl Fn(&'a Raw) -> &'a Field<WordOr<u16>>,
        into: &mut Ports,
    ) -> Result<(), ConfigError> {
        if let Some((ports, _)) = self.words(key, "auto", field)? {
            *into = ports.map_or(Ports::Auto, Ports::Only);
        }
        Ok(())
    }

    fn interfaces(&mut self, into: &mut Vec<String>) -> Result<(), ConfigError> {
        let names = self.layers.list(|raw| &raw.agent.interfaces);
        for (name, place) in names.into_iter().flatten() {
            // IFNAMSIZ is 16 with the terminating zero; dev_valid_name() in net/core/dev.c.
            let fits = (1..16).contains(&name.len()) && name != "." && name != "..";
            if !fits || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
                return Err(wrong(
                    "interfaces",
                    &place,
                    format!("`{name}` is no interface name"),
                ));
            }
            if !into.contains(name) {
                into.push(name.clone());
            }
            self.places.insert("agent.interfaces", place);
        }
        Ok(())
    }

    fn addresses(&mut self, into: &mut Vec<Prefix>) -> Result<(), ConfigError> {
        let words = self.layers.list(|raw| &raw.protect.addresses);
        for (word, place) in words.into_iter().flatten() {
            let target: Target = word
                .parse()
                .map_err(|error| wrong("addresses", &place, error))?;
            into.extend(target.prefixes());
            self.places.insert("protect.addresses", place);
        }
        Ok(())
    }
}

fn rules(layers: &Layers) -> Result<Vec<Draft>, ConfigError> {
    let mut rules: BTreeMap<(Prefix, bool), (usize, Draft)> = BTreeMap::new();
    for (index, (rule, place, lines)) in layers.entries(|raw| &raw.rule).enumerate() {
        for draft in drafts(rule, &place, lines)? {
            let blocks = draft.action == RuleAction::Block;
            rules.insert((draft.prefix, blocks), (index, draft));
        }
    }
    let mut rules: Vec<(usize, Draft)> = rules.into_values().collect();
    rules.sort_by_key(|(index, _)| *index);
    Ok(rules.into_iter().map(|(_, draft)| draft).collect())
}

/// One draft for each prefix that a rule names.
fn drafts(rule: &raw::Rule, place: &Place, lines: Lines<'_>) -> Result<Vec<Draft>, ConfigError> {
    let action = *rule.action.get_ref();
    if action == RuleAction::Allow {
        let meaningless = [
            ("scope", rule.scope.as_ref().map(|value| lines.place(value))),
            (
                "monitor",
                rule.monitor.as_ref().map(|value| lines.place(value)),
            ),
        ];
        for (key, place) in meaningless {
            if let Some(place) = place {
                return Err(wrong(
                    key,
                    &place,
                    "has no meaning for an allow rule, which exempts from every block",
                ));
            }
        }
    }
    let set = |field: &Option<Spanned<bool>>| field.as_ref().is_some_and(|value| *value.get_ref());
    let sources: Vec<(&str, Place)> = match rule.source.get_ref() {
        WordOr::Word(word) => vec![(word.as_str(), lines.place(&rule.source))],
        WordOr::List(words) => words
            .iter()
            .map(|word| (word.get_ref().as_str(), lines.place(word)))
            .collect(),
    };
    if sources.is_empty() {
        return Err(wrong("source", place, "names no address"));
    }
    let force = set(&rule.force);
    let mut drafts = Vec::new();
    for (word, place) in sources {
        let target: Target = word
            .parse()
            .map_err(|error| wrong("source", &place, error))?;
        target
            .check_width(force)
            .map_err(|error| wrong("source", &place, error))?;
        drafts.extend(target.prefixes().iter().map(|prefix| {
            Draft {
                prefix: *prefix,
                action,
                scope: rule
                    .scope
                    .as_ref()
                    .map_or(Scope::All, |scope| *scope.get_ref()),
                monitor: set(&rule.monitor),
                forced: force,
                deadline: None,
                reason: rule.reason.clone().unwrap_or_default(),
                origin: Origin::Config,
            }
        }));
    }
    Ok(drafts)
}

/// An error about a key, given as `key` or `section.key`.
fn wrong(key: &str, place: &Place, what: impl fmt::Display) -> ConfigError {
    let key = key.rsplit('.').next().unwrap_or(key);
    ConfigError {
        line: Some(place.line),
        key: Some(key.to_owned()),
        ..ConfigError::file(&place.file, format!("{key}: {what}"))
    }
}
