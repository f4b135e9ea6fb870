//! What the files may say, key by key; nothing is checked here but shape.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use toml::Spanned;

use crate::{
    feeds::{category::Category, format::Format, rail::Rail},
    rules::rule::{RuleAction, Scope},
};

type Field<T> = Option<Spanned<T>>;

/// Declares a table whose keys are all optional and others refused.
macro_rules! table {
    ($name:ident { $($key:ident: $type:ty,)+ }) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name { $(pub(super) $key: $type,)+ }
    };
}

table!(Raw {
    agent: Agent,
    control: Control,
    mode: ModeTable,
    xdp: Xdp,
    services: Services,
    hello: Hello,
    protect: Protect,
    asn: Asn,
    crawlers: Crawlers,
    tables: Tables,
    reports: Reports,
    log: Log,
    block: Block,
    debug: Debug,
    feeds: Feeds,
    reputation: Reputation,
    rule: Vec<Spanned<Rule>>,
    list: Vec<Spanned<List>>,
    feed: Vec<Spanned<Feed>>,
    policy: Vec<Spanned<Policy>>,
    proxy: Vec<Spanned<Proxy>>,
    only: Vec<Spanned<Only>>,
});

table!(Agent {
    interfaces: Field<Vec<Spanned<String>>>,
    user: Field<String>,
    pin_dir: Field<String>,
    run_dir: Field<String>,
    state_dir: Field<String>,
});

table!(Control {
    socket: Field<String>,
    group: Field<String>,
});

table!(ModeTable {
    start: Field<Start>,
});

table!(Xdp {
    mode: Field<XdpMode>,
    replace: Field<bool>,
});

table!(Services {
    tcp: Field<WordOr<u16>>,
    udp: Field<WordOr<u16>>,
});

table!(Hello {
    ports: Field<WordOr<u16>>,
    hellos_per_second: Field<u64>,
    ring_bytes: Field<u64>,
});

table!(Protect {
    failsafe_ports: Field<WordOr<u16>>,
    addresses: Field<Vec<Spanned<String>>>,
});

table!(Asn {
    database: Field<WordOr<Spanned<String>>>,
});

table!(Crawlers {
    index: Field<String>,
    verify: Field<Verify>,
    queries_per_second: Field<u64>,
    resolver: Field<String>,
});

table!(Tables {
    prefixes: Field<u64>,
    verdicts: Field<u64>,
});

table!(Reports {
    per_second: Field<u64>,
    ring_bytes: Field<u64>,
});

table!(Log {
    format: Field<LogFormat>,
    level: Field<LogLevel>,
    file: Field<String>,
    rotate_bytes: Field<u64>,
    keep_files: Field<u64>,
    budget_per_second: Field<u64>,
});

table!(Block {
    default_duration: Field<String>,
});

table!(Debug {
    kernel_log: Field<bool>,
});

table!(Feeds {
    bad_lines: Field<u64>,
    max_change: Field<u64>,
    known_good: Field<u64>,
    stale_after: Field<u64>,
});

table!(Reputation {
    monitor: Field<u64>,
    throttle: Field<u64>,
    challenge: Field<u64>,
    block: Field<u64>,
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) action: Spanned<RuleAction>,
    pub(super) source: Spanned<WordOr<Spanned<String>>>,
    #[serde(default)]
    pub(super) scope: Field<Scope>,
    #[serde(default)]
    pub(super) monitor: Field<bool>,
    #[serde(default)]
    pub(super) force: Field<bool>,
    #[serde(default)]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pub(super) name: Spanned<String>,
    pub(super) file: Spanned<String>,
    pub(super) action: Spanned<ListAction>,
    #[serde(default)]
    pub(super) scope: Field<Scope>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Feed {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) file: Field<String>,
    #[serde(default)]
    pub(super) url: Field<String>,
    #[serde(default)]
    pub(super) crowdsec: Field<String>,
    #[serde(default)]
    pub(super) format: Field<Format>,
    #[serde(default)]
    pub(super) every: Field<String>,
    #[serde(default)]
    pub(super) action: Field<FeedWord>,
    #[serde(default)]
    pub(super) weight: Field<u64>,
    #[serde(default)]
    pub(super) category: Field<Category>,
    #[serde(default)]
    pub(super) group: Field<String>,
    #[serde(default)]
    pub(super) min_confidence: Field<u64>,
    #[serde(default)]
    pub(super) half_life: Field<String>,
    #[serde(default)]
    pub(super) grace: Field<String>,
    #[serde(default)]
    pub(super) scope: Field<Scope>,
    #[serde(default)]
    pub(super) monitor: Field<bool>,
    #[serde(default)]
    pub(super) loosen: Option<Vec<Spanned<Rail>>>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) bearer: Field<String>,
    #[serde(default)]
    pub(super) basic: Field<String>,
    #[serde(default)]
    pub(super) ca: Field<String>,
    #[serde(default)]
    pub(super) timeout: Field<String>,
    #[serde(default)]
    pub(super) max_bytes: Field<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) category: Spanned<Category>,
    pub(super) action: Spanned<PolicyWord>,
    #[serde(default)]
    pub(super) ports: Field<Vec<u16>>,
    #[serde(default)]
    pub(super) scope: Field<Scope>,
    #[serde(default)]
    pub(super) monitor: Field<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Only {
    pub(super) ports: Spanned<Vec<u16>>,
    pub(super) from: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) monitor: Field<bool>,
}

/// `action` of a `[[feed]]`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FeedWord {
    Allow,
    Guard,
    Monitor,
    Throttle,
    Challenge,
    Block,
}

/// `action` of a `[[policy]]`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PolicyWord {
    Allow,
    Pass,
    Monitor,
    Throttle,
    Challenge,
    Block,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proxy {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) addresses: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) from: Vec<Spanned<String>>,
}

/// What happens to sources that a list names.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListAction {
    /// They are exempt from lists that block, and from ASN and country rules.
    Allow,
    /// They are dropped.
    Block,
    /// They are counted and reported, as what would be dropped.
    Monitor,
}

/// Whether crawlers are verified.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// DNS is not asked.
    Off,
    /// DNS is asked who a source is.
    On,
}

/// The mode at start.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Watch.
    Monitor,
    /// Act.
    Enforce,
    /// As it was when the agent last ran; watch if it never did.
    Last,
}

/// How the program is attached.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum XdpMode {
    /// Native where the driver can, else generic.
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the stack.
    Generic,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human on a terminal, else JSON.
    Auto,
    /// For people.
    Human,
    /// One object a line.
    Json,
}

/// Levels of importance.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Somebody should look.
    Warn,
    /// State changes and events.
    Info,
    /// Deviations.
    Debug,
    /// Everything.
    Trace,
}

/// A word, or a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum WordOr<T> {
    Word(String),
    List(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for WordOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrList(std::marker::PhantomData))
    }
}

struct WordOrList<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for WordOrList<T> {
    type Value = WordOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list")
    }

    fn visit_str<E>(self, word: &str) -> Result<Self::Value, E> {
        Ok(WordOr::Word(word.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(WordOr::List)
    }
}
