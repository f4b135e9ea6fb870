//! What answers show: plain values, the same over the socket, from the pinned tables, and in `-o json`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bot_common::abi::counter::{Counter, Hits};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    network::{Announced, DatabaseView, NetworkView},
    protocol::Mode,
};
use crate::{
    feeds::reputation::Evidence,
    rules::{
        prefix::Prefix,
        rule::{Rule, RuleAction, RuleId, Scope},
        subject::{self, Subject},
        time::Now,
    },
};

/// Rules shown in full in an answer about many.
pub const SHOWN_RULES: usize = 100;

/// A rule.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RuleView {
    /// Its id.
    pub rule: RuleId,
    /// Allow or block.
    pub action: RuleAction,
    /// What it is about: a field `prefix`, `asn` or `country`.
    #[serde(flatten, with = "subject::field")]
    pub subject: Subject,
    /// Which packets.
    pub scope: Scope,
    /// Whether it only counts and reports.
    pub monitor: bool,
    /// Whether it beats protection.
    pub forced: bool,
    /// When it ends; nothing: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Seconds left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
    /// Who made it.
    pub origin: String,
    /// Why; may be empty.
    pub reason: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it matched so far; nothing: not known, or it has no counter of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<HitsView>,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct HitsView {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Rules that were made, or would be.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Changed {
    /// Nothing was changed.
    pub dry_run: bool,
    /// New rules.
    pub added: usize,
    /// Rules that took the place of one with the same addresses and action.
    pub replaced: usize,
    /// Addresses they cover together.
    pub addresses: u128,
    /// Of those: exempt by allow rules, protection and, of ASNs and countries, allow lists.
    pub exempt: u128,
    /// What exempts them.
    pub exempt_by: Vec<RuleView>,
    /// Allow lists that exempt some of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exempt_by_lists: Vec<ExemptingList>,
    /// Protected addresses that stop being protected (`force`).
    pub protected: Vec<RuleView>,
    /// The rules, the first 100.
    pub rules: Vec<RuleView>,
    /// The ASNs and countries that they are about, the first 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkView>,
    /// What else to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An allow list that takes addresses off a block.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ExemptingList {
    /// Its name.
    pub list: String,
    /// Entries with addresses of the block.
    pub entries: usize,
}

/// What became of rules that were imported, or would.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Imported {
    /// Nothing was changed.
    pub dry_run: bool,
    /// New rules.
    pub added: usize,
    /// Rules that took the place of another one about the same.
    pub replaced: usize,
    /// Rules that there are already, just like that.
    pub unchanged: usize,
    /// Left out: their time is over.
    pub expired: usize,
    /// Left out: they are not an operator's.
    pub others: usize,
    /// Left out: a later one is about the same.
    pub repeated: usize,
    /// Protected addresses that stop being protected (`forced`), the first 100.
    pub protected: Vec<RuleView>,
    /// The new rules, the first 100.
    pub rules: Vec<RuleView>,
}

/// Rules that were taken back, or would be.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Taken {
    /// Nothing was changed.
    pub dry_run: bool,
    /// How many.
    pub removed: usize,
    /// The rules, the first 100.
    pub rules: Vec<RuleView>,
    /// Targets that no operator rule names, in order.
    pub unknown: Vec<Subject>,
    /// Targets to which the opposite of what was wanted still applies, in order.
    pub still: Vec<Still>,
    /// Of all targets, those that no rule names or covers: probably typos.
    #[serde(default)]
    pub absent: usize,
    /// There are more than `unknown` and `still` name: these end when either has 10,000.
    #[serde(default, skip_serializing_if = "super::protocol::is_false")]
    pub cut: bool,
}

impl Taken {
    /// The targets that are absent, as far as they are named.
    pub fn absent_named(&self) -> impl Iterator<Item = Subject> {
        let covered: BTreeSet<Subject> = self.still.iter().map(|still| still.subject).collect();
        let unknown = self.unknown.iter().copied();
        unknown.filter(move |subject| !covered.contains(subject))
    }
}

/// A target that stays covered.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Still {
    /// The target: a field `prefix`, `asn` or `country`.
    #[serde(flatten, with = "subject::field")]
    pub subject: Subject,
    /// The rule that covers it, unless it is a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RuleView>,
    /// The entry of a list that covers it, where no rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListedView>,
}

/// What happens to packets now.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// They are dropped.
    Drop,
    /// They pass.
    Pass,
    /// They pass and are reported: monitor mode, or a rule that only watches.
    WouldDrop,
}

/// What happens to an address, from the kernel's own table.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Check {
    /// The address.
    pub address: IpAddr,
    /// What happens to its packets now.
    pub effect: Effect,
    /// Whether its packets are dropped in enforce mode; what the exit code says.
    pub blocked: bool,
    /// Who has the address; nothing: not known, or there is no ASN database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
    /// The mode.
    pub mode: ModeView,
    /// The rule that decides; nothing: none covers the address, or only the agent knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleView>,
    /// The verdicts in the kernel's table: the one that applies, then what follows when it ends.
    pub kernel: Vec<KernelVerdict>,
    /// Of packets to some ports, where the verdict is another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortsCheck>,
    /// The other rules that cover the address, strongest first.
    pub beneath: Vec<RuleView>,
    /// The entries of lists that cover the address, strongest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListedView>,
    /// What feeds say about the address, and what that makes; nothing: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What else to know.
    pub notes: Vec<String>,
}

/// What happens to packets to some ports, whatever happens to all others.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PortsCheck {
    /// TCP and UDP ports.
    pub ports: Vec<u16>,
    /// What happens to packets to them now.
    pub effect: Effect,
    /// Whether they are dropped in enforce mode.
    pub blocked: bool,
    /// The rule that decides, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleView>,
    /// The list or the lock (`only 443`) that decides, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// The verdicts in the kernel's table, as for other packets.
    pub kernel: Vec<KernelVerdict>,
}

/// A lock: ports that are only for the addresses of some lists.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct OnlyView {
    /// TCP and UDP ports.
    pub ports: Vec<u16>,
    /// Names of the lists whose addresses stay.
    pub from: Vec<String>,
    /// Only counts and reports.
    pub monitor: bool,
    /// `config` or `operator`.
    pub origin: String,
    /// Prefixes of the lists together.
    pub prefixes: usize,
    /// What it matched so far.
    pub hits: HitsView,
    /// Why it is not in force; nothing: it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
}

/// An entry of a list.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ListedView {
    /// The list's name.
    pub list: String,
    /// The entry.
    pub prefix: Prefix,
    /// Whether it decides.
    pub decides: bool,
}

/// An entry of the kernel's verdict table.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct KernelVerdict {
    /// Its id.
    pub verdict: u32,
    /// `pass`, `monitor`, `throttle`, `reject` or `drop`.
    pub action: String,
    /// Which packets.
    pub scope: Scope,
    /// Only counts and reports.
    pub monitor: bool,
    /// Beats protection.
    pub forced: bool,
    /// Seconds left; nothing: it does not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
    /// Packets it matched; nothing: not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<HitsView>,
}

/// The mode in force.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ModeView {
    /// Monitor or enforce.
    pub mode: Mode,
    /// Enforcing ends then unless confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Seconds until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
    /// Bypass, which stands above the mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bypass: Option<BypassView>,
}

/// Bypass in force.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct BypassView {
    /// Until when; nothing: until `resume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Seconds until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
    /// Why; nothing: only the agent knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A filtered interface.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Interface {
    /// Name.
    pub iface: String,
    /// Index; nothing: the device is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// `native` or `generic`; nothing: not attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xdp: Option<String>,
    /// `frags` or `plain`; nothing: not attached or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// The agent and the filter.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// The agent; nothing: it is not running, and this was read from the pinned tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentView>,
    /// The mode.
    pub mode: ModeView,
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// How many rules there are; nothing: only the agent knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<RuleCounts>,
    /// The ASN database; nothing: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<DatabaseView>,
    /// Packet counters by family and name.
    pub counters: BTreeMap<String, BTreeMap<String, HitsView>>,
    /// The kernel's table; nothing: only the agent knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableView>,
    /// The lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListView>,
    /// Ports that are only for some lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub onlys: Vec<OnlyView>,
    /// Sources known to be good, of this run; nothing: only the agent knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_good: Option<usize>,
    /// Ports; nothing: only the agent knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortsView>,
    /// What an operator should look at.
    pub notes: Vec<String>,
}

/// The running agent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AgentView {
    /// Version.
    pub version: String,
    /// Process.
    pub pid: u32,
    /// Running since.
    pub since: Timestamp,
    /// Its configuration file.
    pub config: String,
}

/// The kernel's table, and how full it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TableView {
    /// Prefixes that rules and lists name, protection aside.
    pub prefixes: usize,
    /// `[tables] prefixes`.
    pub max_prefixes: usize,
    /// Verdict ids in use.
    pub verdicts: usize,
    /// `[tables] verdicts`.
    pub max_verdicts: usize,
    /// Bytes of the generation in force.
    pub bytes: u64,
    /// Of these, bytes in use.
    pub used_bytes: u64,
    /// Differences between the policy and the kernel that were found and mended; there should be none.
    pub repairs: u64,
}

/// A list.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ListView {
    /// Its name.
    pub name: String,
    /// Prefixes.
    pub entries: usize,
    /// What its entries matched so far, where they decided.
    pub hits: HitsView,
}

/// How many rules there are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RuleCounts {
    /// Blocks by operators and configuration.
    pub block: usize,
    /// Allows by operators and configuration.
    pub allow: usize,
    /// Protected prefixes; nothing: only the agent knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<usize>,
}

/// Port sets in force.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PortsView {
    /// Served TCP ports (ranges like `8000-8010`).
    pub served_tcp: Vec<String>,
    /// Served UDP ports.
    pub served_udp: Vec<String>,
    /// TCP ports on which hellos are read.
    pub hello: Vec<String>,
    /// TCP ports that stay open to everyone.
    pub failsafe: Vec<String>,
}

impl RuleView {
    /// Shows `rule` at `now`.
    pub fn of(rule: &Rule, now: Now) -> Self {
        Self {
            rule: rule.id,
            action: rule.action,
            subject: rule.subject,
            scope: rule.scope,
            monitor: rule.monitor,
            forced: rule.forced,
            until: rule.deadline.map(|deadline| whole_seconds(deadline.wall)),
            remaining_seconds: rule
                .deadline
                .map(|deadline| deadline.remaining(now).as_secs()),
            origin: rule.origin.to_string(),
            reason: rule.reason.clone(),
            created: whole_seconds(rule.created),
            hits: None,
        }
    }

    /// With what it matched.
    #[must_use]
    pub fn with_hits(self, hits: Option<Hits>) -> Self {
        Self {
            hits: hits.map(HitsView::from),
            ..self
        }
    }
}

impl From<Hits> for HitsView {
    fn from(hits: Hits) -> Self {
        Self {
            packets: hits.packets,
            bytes: hits.bytes,
        }
    }
}

impl ModeView {
    /// Exit-code question: are drop verdicts carried out now?
    pub fn enforces(&self) -> bool {
        self.bypass.is_none() && self.mode == Mode::Enforce
    }
}

/// Counters by family and name, those at zero left out.
pub fn counters(counters: &[(Counter, Hits)]) -> BTreeMap<String, BTreeMap<String, HitsView>> {
    let mut families = BTreeMap::<String, BTreeMap<String, HitsView>>::new();
    for (counter, hits) in counters {
        let (family, name) = counter.name();
        let family = families.entry(family.into()).or_default();
        if *hits != Hits::default() {
            family.insert(name.into(), (*hits).into());
        }
    }
    families
}

/// Cut to seconds: nobody reads more of a deadline.
pub fn whole_seconds(ts: Timestamp) -> Timestamp {
    Timestamp::from_second(ts.as_second()).unwrap_or(ts)
}
