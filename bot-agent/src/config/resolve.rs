//! From layers to the validated configuration: defaults, ranges, and what contradicts itself.

use std::{collections::BTreeSet, ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{
    Agent, Config, Control, Crawlers, Hello, HelloPorts, Log, Ports, Protect, Rails, Reports, Role,
    Services, Tables, Xdp,
    error::ConfigError,
    feeds,
    keys::{Keys, wrong},
    layers::{Layers, Places},
    lists, only, policies, proxies,
    raw::{LogFormat, LogLevel, Start, Verify, XdpMode},
    standing,
};
use crate::rules::duration;

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
        asn_databases: Vec::new(),
        crawlers: Crawlers {
            index: None,
            verify: Verify::Off,
            queries_per_second: 10,
            resolver: None,
        },
        tables: Tables {
            prefixes: 1_000_000,
            verdicts: 65_536,
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
        lists: Vec::new(),
        rails: Rails {
            bad_lines: 5,
            max_change: 50,
            known_good: 5,
            stale_after: 3,
        },
        tiers: policies::TIERS,
        feeds: Vec::new(),
        policies: Vec::new(),
        proxies: Vec::new(),
        onlys: Vec::new(),
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
    agent(&mut keys, &mut config)?;
    packets(&mut keys, &mut config)?;
    keys.files(
        "asn.database",
        |r| &r.asn.database,
        &mut config.asn_databases,
    )?;
    crawlers(&mut keys, &mut config.crawlers)?;
    sizes(&mut keys, &mut config)?;
    log(&mut keys, &mut config.log)?;
    if let Some((text, place)) = keys.take("block.default_duration", |r| &r.block.default_duration)
    {
        config.block_duration =
            duration::parse(text).map_err(|error| wrong("default_duration", &place, error))?;
    }
    keys.plain(
        "debug.kernel_log",
        |r| &r.debug.kernel_log,
        &mut config.kernel_log,
    );
    rails(&mut keys, &mut config.rails)?;
    policies::tiers(&mut keys, &mut config.tiers)?;
    config.rules = standing::rules(layers, !config.asn_databases.is_empty())?;
    config.lists = lists::lists(layers)?;
    config.feeds = feeds::feeds(layers, &config.lists)?;
    config.policies = policies::policies(layers)?;
    let lists = config.lists.iter().map(|list| list.name.as_str());
    let feeds = config.feeds.iter().map(|feed| feed.name.as_str());
    let names: BTreeSet<&str> = lists.chain(feeds).collect();
    config.proxies = proxies::proxies(layers, &names)?;
    // What weighs has no list of its own.
    let weighs = config
        .feeds
        .iter()
        .filter(|feed| matches!(feed.role, Role::Weigh(_)));
    let weighs: BTreeSet<&str> = weighs.map(|feed| feed.name.as_str()).collect();
    let names = names.difference(&weighs).copied();
    let fronts = config.proxies.iter().map(|proxy| proxy.name.as_str());
    let names = names.chain(fronts).collect();
    config.onlys = only::onlys(layers, &names)?;
    Ok((config, keys.places))
}

/// Names and places.
fn agent(keys: &mut Keys<'_>, config: &mut Config) -> Result<(), ConfigError> {
    let agent = &mut config.agent;
    keys.interfaces(&mut agent.interfaces)?;
    keys.name("agent.user", |r| &r.agent.user, &mut agent.user)?;
    keys.path("agent.pin_dir", |r| &r.agent.pin_dir, &mut agent.pin_dir)?;
    keys.path("agent.run_dir", |r| &r.agent.run_dir, &mut agent.run_dir)?;
    keys.path(
        "agent.state_dir",
        |r| &r.agent.state_dir,
        &mut agent.state_dir,
    )?;

    let control = &mut config.control;
    control.socket = agent.run_dir.join(SOCKET);
    keys.path("control.socket", |r| &r.control.socket, &mut control.socket)?;
    let group = keys.take("control.group", |r| &r.control.group);
    let group = group.map(|(group, _)| group.clone());
    control.group = group.filter(|group| !group.is_empty());
    Ok(())
}

/// What happens to packets.
fn packets(keys: &mut Keys<'_>, config: &mut Config) -> Result<(), ConfigError> {
    keys.plain("mode.start", |r| &r.mode.start, &mut config.start);
    keys.plain("xdp.mode", |r| &r.xdp.mode, &mut config.xdp.mode);
    keys.plain("xdp.replace", |r| &r.xdp.replace, &mut config.xdp.replace);
    let services = &mut config.services;
    keys.ports("services.tcp", |r| &r.services.tcp, &mut services.tcp)?;
    keys.ports("services.udp", |r| &r.services.udp, &mut services.udp)?;
    if let Some(ports) = keys.words("hello.ports", "any", |r| &r.hello.ports)? {
        config.hello.ports = ports.map_or(HelloPorts::Any, HelloPorts::Only);
    }
    let failsafe = &mut config.protect.failsafe_ports;
    keys.ports(
        "protect.failsafe_ports",
        |r| &r.protect.failsafe_ports,
        failsafe,
    )?;
    keys.addresses(&mut config.protect.addresses)
}

/// Who is asked for by reverse DNS.
fn crawlers(keys: &mut Keys<'_>, crawlers: &mut Crawlers) -> Result<(), ConfigError> {
    let mut index = PathBuf::new();
    keys.path("crawlers.index", |r| &r.crawlers.index, &mut index)?;
    crawlers.index = Some(index).filter(|index| !index.as_os_str().is_empty());
    keys.plain(
        "crawlers.verify",
        |r| &r.crawlers.verify,
        &mut crawlers.verify,
    );
    keys.number(
        "crawlers.queries_per_second",
        |r| &r.crawlers.queries_per_second,
        1..=1000,
        &mut crawlers.queries_per_second,
    )?;
    let resolver = keys.take("crawlers.resolver", |r| &r.crawlers.resolver);
    if let Some((text, place)) = resolver.filter(|(text, _)| !text.is_empty()) {
        let what = format!("`{text}` is no address with a port, like 127.0.0.1:53");
        let server = text.parse().map_err(|_| wrong("resolver", &place, what))?;
        crawlers.resolver = Some(server);
    }
    Ok(())
}

/// Tables, rings and budgets of the kernel.
fn sizes(keys: &mut Keys<'_>, config: &mut Config) -> Result<(), ConfigError> {
    let (hello, tables) = (&mut config.hello, &mut config.tables);
    keys.number(
        "hello.hellos_per_second",
        |r| &r.hello.hellos_per_second,
        RATES,
        &mut hello.per_second,
    )?;
    keys.power(
        "hello.ring_bytes",
        |r| &r.hello.ring_bytes,
        RINGS,
        &mut hello.ring_bytes,
    )?;
    keys.number(
        "tables.prefixes",
        |r| &r.tables.prefixes,
        1024..=16_000_000,
        &mut tables.prefixes,
    )?;
    keys.number(
        "tables.verdicts",
        |r| &r.tables.verdicts,
        1024..=65_536,
        &mut tables.verdicts,
    )?;
    let reports = &mut config.reports;
    keys.number(
        "reports.per_second",
        |r| &r.reports.per_second,
        RATES,
        &mut reports.per_second,
    )?;
    keys.power(
        "reports.ring_bytes",
        |r| &r.reports.ring_bytes,
        RINGS,
        &mut reports.ring_bytes,
    )
}

fn log(keys: &mut Keys<'_>, log: &mut Log) -> Result<(), ConfigError> {
    keys.plain("log.format", |r| &r.log.format, &mut log.format);
    keys.plain("log.level", |r| &r.log.level, &mut log.level);
    let mut file = PathBuf::new();
    keys.path("log.file", |r| &r.log.file, &mut file)?;
    log.file = Some(file).filter(|file| !file.as_os_str().is_empty());
    keys.number(
        "log.rotate_bytes",
        |r| &r.log.rotate_bytes,
        65_536..=1 << 40,
        &mut log.rotate_bytes,
    )?;
    keys.number(
        "log.keep_files",
        |r| &r.log.keep_files,
        0..=1000,
        &mut log.keep_files,
    )?;
    let budget = &mut log.budget_per_second;
    keys.number(
        "log.budget_per_second",
        |r| &r.log.budget_per_second,
        1..=1_000_000,
        budget,
    )
}

/// What holds for all feeds.
fn rails(keys: &mut Keys<'_>, rails: &mut Rails) -> Result<(), ConfigError> {
    keys.number(
        "feeds.bad_lines",
        |r| &r.feeds.bad_lines,
        0..=100,
        &mut rails.bad_lines,
    )?;
    keys.number(
        "feeds.max_change",
        |r| &r.feeds.max_change,
        1..=1000,
        &mut rails.max_change,
    )?;
    keys.number(
        "feeds.known_good",
        |r| &r.feeds.known_good,
        0..=1_000_000,
        &mut rails.known_good,
    )?;
    keys.number(
        "feeds.stale_after",
        |r| &r.feeds.stale_after,
        1..=1000,
        &mut rails.stale_after,
    )
}

/// Records a second on each CPU.
const RATES: RangeInclusive<u64> = 0..=1_000_000;
/// Bytes of a ring.
const RINGS: RangeInclusive<u64> = 65_536..=1 << 30;
