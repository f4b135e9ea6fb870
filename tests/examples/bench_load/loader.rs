//! The ways of loading that are compared, each in a process of its own.

use std::{env, ffi::OsString, fmt::Write as _, fs, path::PathBuf, process::Command};

use bot_tests::{
    agent::TestAgent,
    data,
    lab::{IFACE, Lab},
    netns::Namespace,
    spent::{self, Spent},
};

use crate::files::Files;

/// Rules of operators are stored one by one; more come as lists.
const MOST_RULES: usize = 100_000;

/// One way.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Loader {
    /// The agent's own steps, from a list to a new generation.
    Table,
    /// `bot-agent reload`: a list of an agent that runs, where an empty one was.
    Reload,
    /// `bot-agent block --from-file --permanent`: rules, stored on disk, in an agent that runs.
    Block,
    /// A feed, one of five that have the entries together, whose file is another one than before. The
    /// agent has the AS table of the whole Internet besides, where reference data is there.
    Feed,
    /// An interval set, in a network namespace of its own.
    Nft,
    /// hash:net, in a network namespace of its own.
    Ipset,
    /// `BPF_MAP_TYPE_LPM_TRIE`, in batches.
    Trie,
}

impl Loader {
    /// Every one; ratios are to the first.
    pub(crate) const ALL: [Self; 7] = [
        Self::Table,
        Self::Reload,
        Self::Block,
        Self::Feed,
        Self::Nft,
        Self::Ipset,
        Self::Trie,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Reload => "bot-agent reload",
            Self::Block => "bot-agent block",
            Self::Feed => "bot-agent feed, one of five",
            Self::Nft => "nft -f",
            Self::Ipset => "ipset restore",
            Self::Trie => "trie",
        }
    }

    /// Loads once; an error is why it cannot be done here.
    pub(crate) fn run(self, files: &Files) -> Result<Spent, String> {
        spent::settle();
        match self {
            Self::Table => spent::until_ready(&mut part("table", files.list())),
            Self::Reload => reload(files),
            Self::Block => block(files),
            Self::Feed => feed(files),
            Self::Nft => apart("nft", &["-f".into(), files.nft().into()]),
            Self::Ipset => apart(
                "ipset",
                &["restore".into(), "-f".into(), files.ipset().into()],
            ),
            Self::Trie => spent::until_ready(&mut part("trie", files.list())),
        }
    }
}

fn reload(files: &Files) -> Result<Spent, String> {
    let lab = Lab::new("load");
    let mut agent = TestAgent::new();
    let list = agent.path("list.txt");
    fs::write(&list, "").map_err(|error| error.to_string())?;
    agent.configure(&format!(
        "[[list]]\nname = \"bench\"\nfile = \"{}\"\naction = \"block\"\n",
        list.display()
    ));
    agent.start(&lab.host, &["--interface", IFACE]);
    fs::copy(files.list(), &list).map_err(|error| error.to_string())?;
    command(&agent, &["reload"])
}

fn block(files: &Files) -> Result<Spent, String> {
    if files.size > MOST_RULES {
        return Err("so many come as a list, not as rules".to_owned());
    }
    let lab = Lab::new("load");
    let mut agent = TestAgent::new();
    agent.start(&lab.host, &["--interface", IFACE]);
    let list = files.list();
    let list = list.to_str().expect("UTF-8");
    command(
        &agent,
        &["block", "--permanent", "--yes", "--from-file", list],
    )
}

/// Feeds that have the entries together.
const FEEDS: usize = 5;

fn feed(files: &Files) -> Result<Spent, String> {
    let lab = Lab::new("load");
    let mut agent = TestAgent::new();
    let list = fs::read_to_string(files.list()).map_err(|error| error.to_string())?;
    let lines: Vec<&str> = list.lines().collect();
    let paths: Vec<PathBuf> = (0..FEEDS)
        .map(|number| agent.path(&format!("feed{number}.txt")))
        .collect();
    // The networks that feeds are exempt from count, too.
    let mut configuration = format!("[tables]\nprefixes = 1100000\n{}", asn_databases());
    for (number, (path, part)) in paths
        .iter()
        .zip(lines.chunks(lines.len().div_ceil(FEEDS)))
        .enumerate()
    {
        // The last one lacks some entries at first.
        let missing = if number + 1 == FEEDS {
            part.len() / 100
        } else {
            0
        };
        let part = part.get(missing..).unwrap_or_default();
        fs::write(path, part.join("\n")).map_err(|error| error.to_string())?;
        // The entries are made up, some of them of addresses that nobody has.
        let path = path.display();
        let trusted = "loosen = [\"reserved\", \"wide\", \"coverage\"]";
        writeln!(
            configuration,
            "[[feed]]\nname = \"feed{number}\"\nfile = \"{path}\"\naction = \"block\"\n{trusted}"
        )
        .map_err(|error| error.to_string())?;
    }
    agent.configure(&configuration);
    agent.start(&lab.host, &["--interface", IFACE]);
    command(&agent, &["feeds", "refresh"])?;
    let whole = lines.chunks(lines.len().div_ceil(FEEDS)).last();
    let fresh = agent.path("fresh.txt");
    fs::write(&fresh, whole.unwrap_or_default().join("\n")).map_err(|error| error.to_string())?;
    let changed = paths.last().expect("five of them");
    fs::rename(&fresh, changed).map_err(|error| error.to_string())?;
    command(&agent, &["feeds", "refresh", "feed4"])
}

/// The AS table of the whole Internet, as configuration.
fn asn_databases() -> String {
    let files = ["asn/asn-ipv4.csv.gz", "asn/asn-ipv6.csv.gz"].map(data::file);
    let files: Vec<String> = files
        .into_iter()
        .flatten()
        .map(|file| format!("\"{}\"", file.display()))
        .collect();
    format!("[asn]\ndatabase = [{}]\n", files.join(", "))
}

/// An operator's command. The peak is the agent's, which does the work.
fn command(agent: &TestAgent, arguments: &[&str]) -> Result<Spent, String> {
    let spent = spent::of(&mut agent.command(None, arguments))?;
    Ok(Spent {
        peak: spent::peak_of(agent.pid()),
        ..spent
    })
}

/// A part of this program.
fn part(name: &str, file: PathBuf) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.arg(name).arg(file);
    command
}

/// A program in a network namespace of its own: its sets touch nobody and go with the namespace.
fn apart(program: &str, arguments: &[OsString]) -> Result<Spent, String> {
    let mut command = Command::new(program);
    command.args(arguments);
    if Command::new(program).arg("--version").output().is_err() {
        return Err(format!("no {program} here"));
    }
    let namespace = Namespace::new("load");
    namespace.run(|| spent::of(&mut command))
}
