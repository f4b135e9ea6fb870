//! Precedence: which rule wins where several cover an address.
//!
//! 1. The class ([`Precedence`], best first). 2. The longest prefix. 3. The later deadline, none
//!    being the latest. 4. The newer rule.
//!
//! The order of the classes keeps a block from weakening another: a block of everything comes
//! before one of services, and one that only watches comes last, whatever their prefixes.

use std::cmp::Reverse;

use serde::Serialize;

use crate::policy::Group;
use crate::rules::{
    prefix::Prefix,
    rule::{Origin, Rule, RuleAction, RuleId, Scope},
    time::Now,
};

/// Class of a rule, best first.
///
/// Room for later sources: allow lists come behind [`Self::BlockServices`], and feeds, ASN rules
/// and scores behind those, before [`Self::Monitor`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Precedence {
    /// An operator's or the configuration's allow.
    Allow,
    /// A block with `--force`, of every packet.
    ForcedAll,
    /// A block with `--force`, of packets to services.
    ForcedServices,
    /// The agent keeps the address reachable.
    Protected,
    /// A block of every packet.
    BlockAll,
    /// A block of packets to services.
    BlockServices,
    /// A block that only watches, forced or not.
    Monitor,
}

impl Precedence {
    /// The class of a rule.
    pub fn of(rule: &Rule) -> Self {
        match (rule.action, rule.monitor, rule.forced, rule.scope) {
            (RuleAction::Allow, ..) => match rule.origin {
                Origin::Protected(_) => Self::Protected,
                Origin::Config | Origin::Operator | Origin::Learned => Self::Allow,
            },
            (RuleAction::Block, true, ..) => Self::Monitor,
            (RuleAction::Block, _, true, Scope::All) => Self::ForcedAll,
            (RuleAction::Block, _, true, Scope::Services) => Self::ForcedServices,
            (RuleAction::Block, _, false, Scope::All) => Self::BlockAll,
            (RuleAction::Block, _, false, Scope::Services) => Self::BlockServices,
        }
    }

    /// Stable name, as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::ForcedAll => "forced_all",
            Self::ForcedServices => "forced_services",
            Self::Protected => "protected",
            Self::BlockAll => "block_all",
            Self::BlockServices => "block_services",
            Self::Monitor => "monitor",
        }
    }
}

/// "No deadline", in [`Candidate::ends`].
pub(super) const NEVER: u64 = u64::MAX;

/// A rule where it competes, reduced to what decides. Orders by precedence, best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Candidate {
    pub(super) class: Precedence,
    bits: Reverse<u8>,
    /// Deadline on `CLOCK_BOOTTIME`, nanoseconds; [`NEVER`] without one.
    ends: Reverse<u64>,
    id: Reverse<RuleId>,
    pub(super) group: Group,
    pub(super) services: bool,
    pub(super) forced: bool,
}

impl Candidate {
    pub(super) fn new(rule: &Rule, prefix: Prefix, now: Now) -> Self {
        let ends = |deadline: crate::rules::time::Deadline| deadline.on_boot_clock(now);
        Self {
            class: Precedence::of(rule),
            bits: Reverse(prefix.bits()),
            ends: Reverse(rule.deadline.map_or(NEVER, ends)),
            id: Reverse(rule.id),
            group: Group::from(&rule.origin),
            services: rule.scope == Scope::Services,
            forced: rule.forced,
        }
    }

    pub(super) fn ends(&self) -> u64 {
        self.ends.0
    }

    pub(super) fn rule(&self) -> RuleId {
        self.id.0
    }
}
