//! Precedence: who decides where several rules and lists cover an address.
//!
//! 1. The place of the source ([`Place`], best first).
//! 2. The strength of what it says ([`Strength`]).
//! 3. How narrowly it names the address: the longest prefix; where rules of one place name prefixes,
//!    ASNs and countries, in this order.
//! 4. The later deadline, none being the latest.
//! 5. The newer rule.
//!
//! Four rules keep one source from weakening another where that was not meant:
//!
//! - In one place a block of every packet comes before one of services, and both before what only
//!   slows down, whatever their prefixes.
//! - A block of services does not take other packets off a block of everything beneath it: both hold,
//!   unless an exemption stands between them.
//! - What only watches never hides what acts. It decides where nothing else does, or where what acts
//!   is an exemption beneath it: there it tells what it would drop if it were a block. Among
//!   themselves sources that watch are in the order of blocks, and the first two rules hold for them
//!   as they do for blocks.
//! - The popular-network guard ([`Place::Popular`]) takes feeds and scores off an address, and
//!   nothing else: rules decide as if it were not there, and so do lists that are past it
//!   ([`super::List::past_guard`]).
//!
//! Lists may be about packets to some ports. For each set of ports that a packet can be for, the above
//! holds among what is about it and what is about any port; for all other packets, among the latter.

use bot_common::address::MAPPED_BITS;
use serde::Serialize;

use crate::rules::{
    prefix::Prefix,
    rule::{Origin, Rule, RuleAction, Scope},
    subject::Subject,
};

/// Who says something, best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// An operator's or the configuration's allow of addresses.
    Allow,
    /// A block with `--force`, whatever it names.
    Forced,
    /// The agent keeps the address reachable.
    Protected,
    /// An operator's or the configuration's block of addresses.
    Block,
    /// A lock of some ports to the addresses of some lists.
    Only,
    /// A list of crawlers that were verified.
    VerifiedCrawler,
    /// An allow list.
    AllowList,
    /// A block of addresses that the agent learned from traffic.
    Learned,
    /// The popular-network guard: exempts from [`Self::Category`] and [`Self::Score`] only.
    Popular,
    /// The policy for a category of a feed.
    Category,
    /// A rule about an ASN.
    Asn,
    /// A rule about a country.
    Country,
    /// The tier of a score.
    Score,
}

/// What is said, best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// Packets pass.
    Exempt,
    /// Every packet is dropped.
    DropAll,
    /// Packets to services are dropped.
    DropServices,
    /// Packets are slowed down, challenged or rejected.
    Limit,
    /// Packets pass; that every packet would be dropped is told.
    WatchAll,
    /// Packets pass; that those to services would be dropped is told.
    WatchServices,
    /// Packets pass; that they would be slowed down, or only that they came, is told.
    Watch,
}

impl Strength {
    /// Whether it only tells.
    pub const fn watches(self) -> bool {
        matches!(self, Self::WatchAll | Self::WatchServices | Self::Watch)
    }
}

/// Class of a rule or a list entry, best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Precedence {
    /// Who says it.
    pub place: Place,
    /// What is said.
    pub strength: Strength,
}

impl Place {
    /// Whether the popular-network guard stands above it, unless the list is past it.
    pub(super) const fn is_feed(self) -> bool {
        matches!(self, Self::Category | Self::Score)
    }
}

impl Precedence {
    /// The class of a rule.
    pub fn of(rule: &Rule) -> Self {
        let strength = match (rule.action, rule.monitor, rule.scope) {
            (RuleAction::Allow, ..) => Strength::Exempt,
            (RuleAction::Block, true, Scope::All) => Strength::WatchAll,
            (RuleAction::Block, true, Scope::Services) => Strength::WatchServices,
            (RuleAction::Block, false, Scope::All) => Strength::DropAll,
            (RuleAction::Block, false, Scope::Services) => Strength::DropServices,
        };
        let place = match (&rule.origin, strength) {
            (Origin::Protected(_), _) => Place::Protected,
            (Origin::Learned, _) => Place::Learned,
            (_, Strength::DropAll | Strength::DropServices | Strength::Limit) if rule.forced => {
                Place::Forced
            }
            (Origin::Config | Origin::Operator, _) => match rule.subject {
                Subject::Asn(_) => Place::Asn,
                Subject::Country(_) => Place::Country,
                Subject::Prefix(_) if strength == Strength::Exempt => Place::Allow,
                Subject::Prefix(_) => Place::Block,
            },
        };
        Self { place, strength }
    }
}

/// How narrowly a source names an address; the greater, the narrower.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Narrowness(u8);

impl Narrowness {
    /// A prefix of `bits` in its own family.
    pub(super) const fn prefix(bits: u8) -> Self {
        Self(bits.saturating_add(2))
    }

    /// A prefix.
    pub(super) fn of(prefix: Prefix) -> Self {
        let mapped = if prefix.is_v4() { MAPPED_BITS } else { 0 };
        Self::prefix(prefix.bits().saturating_sub(mapped))
    }

    /// An ASN or a country; `None` for a prefix.
    pub(super) const fn network(subject: Subject) -> Option<Self> {
        match subject {
            Subject::Prefix(_) => None,
            Subject::Asn(_) => Some(Self(1)),
            Subject::Country(_) => Some(Self(0)),
        }
    }
}

/// Origins whose hits are counted together once rules share verdicts.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// What the agent keeps reachable.
    Protected,
    /// The configuration.
    Config,
    /// The command line or the control socket.
    Operator,
    /// What the agent learned from traffic.
    Learned,
}

impl From<&Origin> for Group {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::Protected(_) => Self::Protected,
            Origin::Config => Self::Config,
            Origin::Operator => Self::Operator,
            Origin::Learned => Self::Learned,
        }
    }
}
