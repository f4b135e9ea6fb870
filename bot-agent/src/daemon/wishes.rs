//! What the configuration asks of the other parts, in their own terms. Pure.

use bot_common::abi::settings::Settings;

use super::Wish;
use crate::{
    config::{Config, HelloPorts, LogFormat, LogLevel, Ports, Start, XdpMode as ConfigXdp},
    control::protocol::{Mode, XdpMode},
    datapath::Options,
    event::{console::Format, file::FileOptions},
    host::{
        ports::{PortSet, PortSets},
        served::Served,
    },
    policy::Limits,
    rules::{
        prefix::Prefix,
        rule::{Draft, Origin, RuleAction, Scope},
    },
};

/// The kernel's port sets.
pub(super) fn ports(config: &Config, served: &Served, sshd: impl Iterator<Item = u16>) -> PortSets {
    let pick = |ports: &Ports, found: &PortSet| match ports {
        Ports::Auto => found.clone(),
        Ports::Only(ports) => ports.iter().copied().collect(),
    };
    PortSets {
        served_tcp: pick(&config.services.tcp, &served.tcp),
        served_udp: pick(&config.services.udp, &served.udp),
        hello: match &config.hello.ports {
            HelloPorts::Any => PortSet::all(),
            HelloPorts::Only(ports) => ports.iter().copied().collect(),
        },
        failsafe: match &config.protect.failsafe_ports {
            Ports::Auto => sshd.collect(),
            Ports::Only(ports) => ports.iter().copied().collect(),
        },
    }
}

/// The kernel's settings with these deadlines. The seed is the datapath's own.
pub(super) fn settings(config: &Config, enforce_until: u64, bypass_until: u64) -> Settings {
    Settings {
        enforce_until,
        bypass_until,
        seed: 0,
        reports_per_second: config.reports.per_second,
        hellos_per_second: config.hello.per_second,
    }
}

/// Protected prefixes: those that were found, and those that are configured.
pub(super) fn protected(config: &Config, found: Vec<(Prefix, String)>) -> Vec<Draft> {
    let configured = config.protect.addresses.iter();
    let configured = configured.map(|prefix| (*prefix, "configured".to_owned()));
    let mut drafts: Vec<Draft> = found
        .into_iter()
        .chain(configured)
        .map(|(prefix, what)| Draft {
            subject: prefix.into(),
            action: RuleAction::Allow,
            scope: Scope::All,
            monitor: false,
            forced: false,
            deadline: None,
            reason: String::new(),
            origin: Origin::Protected(what),
        })
        .collect();
    drafts.dedup_by(|one, other| one == other);
    drafts
}

/// How interfaces are filtered unless somebody says otherwise.
pub(super) fn wish(config: &Config) -> Wish {
    Wish {
        xdp: match config.xdp.mode {
            ConfigXdp::Auto => XdpMode::Auto,
            ConfigXdp::Native => XdpMode::Native,
            ConfigXdp::Generic => XdpMode::Generic,
        },
        replace: config.xdp.replace,
    }
}

/// The mode at start, given the stored one.
pub(super) fn mode(config: &Config, stored: Option<Mode>) -> Mode {
    match config.start {
        Start::Monitor => Mode::Monitor,
        Start::Enforce => Mode::Enforce,
        Start::Last => stored.unwrap_or_default(),
    }
}

/// The log file, if there is one.
pub(super) fn log_file(config: &Config) -> Option<FileOptions> {
    let path = config.log.file.clone()?;
    Some(FileOptions {
        path,
        max_bytes: config.log.rotate_bytes,
        keep: config.log.keep_files,
    })
}

/// The form of standard error.
pub(super) fn log_format(config: &Config) -> Format {
    match config.log.format {
        LogFormat::Auto => Format::Auto,
        LogFormat::Human => Format::Human,
        LogFormat::Json => Format::Json,
    }
}

/// What is traced. The kernel program's debug channel speaks at level debug.
pub(super) fn log_filter(config: &Config) -> &'static str {
    match (config.log.level, config.kernel_log) {
        (LogLevel::Error, false) => "error",
        (LogLevel::Warn, false) => "warn",
        (LogLevel::Info, false) => "info",
        (LogLevel::Error, true) => "error,bpf=debug",
        (LogLevel::Warn, true) => "warn,bpf=debug",
        (LogLevel::Info, true) => "info,bpf=debug",
        (LogLevel::Debug, _) => "debug",
        (LogLevel::Trace, _) => "trace",
    }
}

/// What to load.
pub(super) fn options<'a>(config: &Config, object: Option<&'a [u8]>) -> Options<'a> {
    Options {
        object,
        debug: config.kernel_log,
        verdicts: config.tables.verdicts,
        report_ring: config.reports.ring_bytes,
        hello_ring: config.hello.ring_bytes,
    }
}

/// What the tables hold.
pub(super) fn limits(config: &Config) -> Limits {
    let size = |entries: u32| usize::try_from(entries).unwrap_or(usize::MAX);
    Limits {
        prefixes: size(config.tables.prefixes),
        verdicts: size(config.tables.verdicts),
    }
}

/// Keys of which a change needs a restart, and that differ.
pub(super) fn restarts(before: &Config, after: &Config) -> Vec<&'static str> {
    let pairs = [
        ("agent.user", before.agent.user != after.agent.user),
        ("agent.pin_dir", before.agent.pin_dir != after.agent.pin_dir),
        ("agent.run_dir", before.agent.run_dir != after.agent.run_dir),
        (
            "agent.state_dir",
            before.agent.state_dir != after.agent.state_dir,
        ),
        ("[control]", before.control != after.control),
        (
            "tables.verdicts",
            before.tables.verdicts != after.tables.verdicts,
        ),
        (
            "hello.ring_bytes",
            before.hello.ring_bytes != after.hello.ring_bytes,
        ),
        (
            "reports.ring_bytes",
            before.reports.ring_bytes != after.reports.ring_bytes,
        ),
        ("log.format", before.log.format != after.log.format),
        ("log.level", before.log.level != after.log.level),
        ("debug.kernel_log", before.kernel_log != after.kernel_log),
    ];
    pairs
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| key)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let texts = vec![("test.toml".into(), text.to_owned())];
        Config::from_texts(texts).unwrap().0
    }

    #[test]
    fn configured_ports_replace_found_ones() {
        let served = Served {
            tcp: [80].into_iter().collect(),
            udp: [53].into_iter().collect(),
        };
        let found = ports(&config(""), &served, [22].into_iter());
        assert!(found.served_tcp.contains(80) && found.served_udp.contains(53));
        assert!(found.hello.contains(443) && found.failsafe.contains(22));
        let config = config(
            "[services]\ntcp = [8080]\n[hello]\nports = \"any\"\n[protect]\nfailsafe_ports = [2222]\n",
        );
        let configured = ports(&config, &served, [22].into_iter());
        assert!(configured.served_tcp.contains(8080) && !configured.served_tcp.contains(80));
        assert_eq!(configured.hello, PortSet::all());
        assert!(configured.failsafe.contains(2222) && !configured.failsafe.contains(22));
    }

    #[test]
    fn the_start_mode_is_the_configured_or_the_last() {
        assert_eq!(mode(&config(""), None), Mode::Monitor);
        assert_eq!(mode(&config(""), Some(Mode::Enforce)), Mode::Enforce);
        let monitor = config("[mode]\nstart = \"monitor\"\n");
        assert_eq!(mode(&monitor, Some(Mode::Enforce)), Mode::Monitor);
    }

    #[test]
    fn changes_that_need_a_restart_are_named() {
        let after = config(
            "[agent]\npin_dir = \"/sys/fs/bpf/x\"\n[tables]\nprefixes = 2000\nverdicts = 2000\n",
        );
        assert_eq!(
            restarts(&config(""), &after),
            ["agent.pin_dir", "tables.verdicts"]
        );
    }
}
