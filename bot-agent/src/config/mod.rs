//! The configuration: TOML files to one validated [`Config`].
//!
//! `raw` is what the files may say, `layers` lays them over one another and knows the line of
//! everything, `resolve` checks and fills in. Reading the files ([`Config::load`]) is the only I/O.

mod error;
mod feed_source;
mod feeds;
mod keys;
mod layers;
mod lists;
mod only;
mod policies;
mod proxies;
mod raw;
mod resolve;
mod show;
mod show_feeds;
mod standing;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

#[cfg(test)]
pub(crate) use self::policies::TIERS;
pub use self::{
    error::ConfigError,
    feed_source::{FeedSource, Http},
    feeds::{Feed, FeedAction, Role},
    layers::{Place, Places},
    lists::{List, ListAction},
    policies::{Policy, PolicyAction},
    proxies::Proxy,
    raw::{LogFormat, LogLevel, Start, Verify, XdpMode},
    show::show,
};
use crate::{
    policy::{Only, Tiers},
    rules::{prefix::Prefix, rule::Draft},
};

/// The commented example, which says every key with its default. Also `config default`.
pub const EXAMPLE: &str = include_str!("../../../packaging/bot-agent.toml");

/// Where the configuration is unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/bot-agent/bot-agent.toml";

/// The effective configuration. Every value is within its documented range.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// Names and places.
    pub agent: Agent,
    /// The control socket.
    pub control: Control,
    /// `[mode] start`: the mode at start.
    pub start: Start,
    /// How the program is attached.
    pub xdp: Xdp,
    /// What this host serves.
    pub services: Services,
    /// Which hellos are copied to the agent.
    pub hello: Hello,
    /// What stays reachable.
    pub protect: Protect,
    /// `[asn] database`: files that say who has which addresses; of two that disagree, the earlier
    /// is believed.
    pub asn_databases: Vec<PathBuf>,
    /// Whether crawlers are verified, and which.
    pub crawlers: Crawlers,
    /// Sizes of the kernel's tables.
    pub tables: Tables,
    /// Drop reports.
    pub reports: Reports,
    /// The agent's log.
    pub log: Log,
    /// `[block] default_duration`: how long a host is blocked that comes without a duration.
    pub block_duration: Duration,
    /// `[debug] kernel_log`: the program's own debug channel.
    pub kernel_log: bool,
    /// The `[[rule]]`s, one draft for each subject; of two for the same subject and action, the later.
    pub rules: Vec<Draft>,
    /// The `[[list]]`s.
    pub lists: Vec<List>,
    /// `[feeds]`: what holds for all feeds.
    pub rails: Rails,
    /// `[reputation]`: from which scores on what happens.
    pub tiers: Tiers,
    /// The `[[feed]]`s.
    pub feeds: Vec<Feed>,
    /// The `[[policy]]`s.
    pub policies: Vec<Policy>,
    /// The `[[proxy]]`s.
    pub proxies: Vec<Proxy>,
    /// The `[[only]]`s: ports that are for the addresses of some lists.
    pub onlys: Vec<Only>,
}

/// `[feeds]`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rails {
    /// An update of which more lines cannot be read is refused, percent.
    pub bad_lines: u8,
    /// An update that shrinks or grows by more is held, percent.
    pub max_change: u16,
    /// An update that newly drops more sources known to be good is held.
    pub known_good: u32,
    /// Periods without news after which a feed is called stale.
    pub stale_after: u32,
}

/// `[agent]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agent {
    /// Devices to filter on.
    pub interfaces: Vec<String>,
    /// The user that the agent runs as when it is started as root.
    pub user: String,
    /// A folder on a bpffs.
    pub pin_dir: PathBuf,
    /// For the socket and the lock; may vanish with a reboot.
    pub run_dir: PathBuf,
    /// For the store.
    pub state_dir: PathBuf,
}

/// `[control]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Control {
    /// Path of the control socket.
    pub socket: PathBuf,
    /// The group that may use it; `None`: the agent's own.
    pub group: Option<String>,
}

/// `[xdp]`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Xdp {
    /// Native, generic, or what works.
    pub mode: XdpMode,
    /// Whether a foreign program is replaced.
    pub replace: bool,
}

/// Ports, or the word that stands for what the agent finds out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ports {
    /// What listening sockets say, kept current.
    Auto,
    /// These.
    Only(BTreeSet<u16>),
}

/// `[services]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Services {
    /// TCP ports.
    pub tcp: Ports,
    /// UDP ports.
    pub udp: Ports,
}

/// Ports on which hellos are looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HelloPorts {
    /// Every port.
    Any,
    /// These.
    Only(BTreeSet<u16>),
}

/// `[hello]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Where.
    pub ports: HelloPorts,
    /// Segments that each CPU may copy in a second.
    pub per_second: u32,
    /// Bytes of the hello ring, a power of two.
    pub ring_bytes: u32,
}

/// `[protect]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Protect {
    /// TCP ports that stay open; [`Ports::Auto`] is where sshd listens.
    pub failsafe_ports: Ports,
    /// Prefixes protected besides those that are found.
    pub addresses: Vec<Prefix>,
}

/// `[crawlers]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Crawlers {
    /// A file of crawlers, besides those that are built in.
    pub index: Option<PathBuf>,
    /// Whether DNS is asked.
    pub verify: Verify,
    /// How often.
    pub queries_per_second: u32,
    /// The only server that is asked; `None`: those of `/etc/resolv.conf`.
    pub resolver: Option<SocketAddr>,
}

/// `[tables]`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tables {
    /// Prefixes.
    pub prefixes: u32,
    /// Verdict ids, the one for "no rule" included.
    pub verdicts: u32,
}

/// `[reports]`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reports {
    /// Reports that each CPU may send in a second.
    pub per_second: u32,
    /// Bytes of the report ring, a power of two.
    pub ring_bytes: u32,
}

/// `[log]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: LogLevel,
    /// A file besides stderr.
    pub file: Option<PathBuf>,
    /// Size at which the file is rotated.
    pub rotate_bytes: u64,
    /// Rotated files that are kept.
    pub keep_files: u32,
    /// Lines a second of each kind of event; what is beyond goes into a summary line.
    pub budget_per_second: u32,
}

impl Config {
    /// Reads the file at `path` and lays the `*.toml` files of `conf_d` over it, in order of name.
    /// `conf_d` is `conf.d` beside the file unless given, and may be missing.
    ///
    /// Later files override earlier ones; lists and `[[rule]]`s are appended instead.
    pub fn load(path: &Path, conf_d: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with_places(path, conf_d).map(|(config, _)| config)
    }

    /// The same, with the place where each value was set, for [`show()`].
    pub fn load_with_places(
        path: &Path,
        conf_d: Option<&Path>,
    ) -> Result<(Self, Places), ConfigError> {
        let read = |file: PathBuf| match fs::read_to_string(&file) {
            Ok(text) => Ok((file, text)),
            Err(error) => Err(ConfigError::file(&file, error.to_string())),
        };
        let texts = files(path, conf_d)?.into_iter().map(read);
        Self::from_texts(texts.collect::<Result<_, _>>()?)
    }

    /// The configuration of file contents, the main file first.
    pub fn from_texts(texts: Vec<(PathBuf, String)>) -> Result<(Self, Places), ConfigError> {
        resolve::resolve(&layers::Layers::parse(texts)?)
    }
}

impl Default for Config {
    /// What an empty file says.
    fn default() -> Self {
        resolve::defaults()
    }
}

/// The files that [`Config::load`] reads, the main one first.
pub fn files(path: &Path, conf_d: Option<&Path>) -> Result<Vec<PathBuf>, ConfigError> {
    let beside = path.with_file_name("conf.d");
    let mut files = vec![path.to_owned()];
    files.extend(snippets(conf_d.unwrap_or(&beside))?);
    Ok(files)
}

/// The `*.toml` files of a folder in order of name, hidden ones left out.
fn snippets(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let at_folder = |error: std::io::Error| ConfigError::file(folder, error.to_string());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at_folder(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(at_folder)?.path();
        let hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
        if path.extension() == Some(OsStr::new("toml")) && !path.file_name().is_some_and(hidden) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
