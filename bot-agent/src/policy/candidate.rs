//! Candidates: a rule or a list entry where it competes for an address, reduced to what decides.

use std::cmp::Reverse;

use bot_common::abi::{ports::Groups, verdict::Action};
use serde::Serialize;

use super::{
    deadline::Ends,
    list::{List, ListId, ListKind},
    ports::PortGroups,
    precedence::{Group, Narrowness, Place, Precedence, Strength},
};
use crate::rules::{
    rule::{Rule, RuleAction, RuleId, Scope},
    time::Now,
};

/// Who decides.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A rule.
    Rule(RuleId),
    /// An entry of a list.
    List(ListId),
}

/// Whom the hits of a verdict count for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Owner {
    /// One rule.
    Rule(RuleId),
    /// One list.
    List(ListId),
    /// All rules of a group that say the same.
    Group(Group),
    /// Found in the kernel, not yet matched with a rule or a list.
    Unknown,
}

/// Something that covers an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Candidate {
    pub(super) class: Precedence,
    pub(super) narrowness: Narrowness,
    pub(super) ends: Ends,
    pub(super) by: By,
    pub(super) sharing: Sharing,
    /// Only packets to a port of this group; none: every packet.
    pub(super) ports: Groups,
    pub(super) action: Action,
    pub(super) services: bool,
    pub(super) monitor: bool,
    pub(super) forced: bool,
    pub(super) guard: Guard,
}

/// What the popular-network guard is to a candidate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Guard {
    /// This is it.
    Itself,
    /// It takes this off an address.
    Above,
    /// Nothing.
    Aside,
}

/// With whom something shares verdict ids, and so counters.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Sharing {
    /// With its group, when half of all ids are taken.
    Soon(Group),
    /// With its group, when no id is left: a rule that covers many prefixes.
    Late(Group),
    /// Never.
    Never,
}

impl Candidate {
    /// A rule, where the prefix or the network that it names covers an address.
    pub(super) fn of_rule(rule: &Rule, narrowness: Narrowness, now: Now) -> Self {
        let class = Precedence::of(rule);
        let group = Group::from(&rule.origin);
        let exempts = class.strength == Strength::Exempt;
        Self {
            class,
            narrowness,
            ends: Ends::of(rule, now),
            by: By::Rule(rule.id),
            sharing: if rule.subject.needs_database() {
                Sharing::Late(group)
            } else {
                Sharing::Soon(group)
            },
            ports: Groups::NONE,
            action: match rule.action {
                RuleAction::Allow => Action::Pass,
                RuleAction::Block => Action::Drop,
            },
            services: rule.scope == Scope::Services && !exempts,
            monitor: rule.monitor && !exempts,
            forced: rule.forced && !exempts,
            guard: Guard::Aside,
        }
    }

    /// An entry of a list that acts so on it, apart from its narrowness; `None` where it says
    /// nothing. [`Act::of`] finds out how a list acts.
    pub(super) fn of_list(list: &List, act: Act, ports: &PortGroups) -> Option<Self> {
        let ports = match list.ports() {
            Some(own) => ports.number(own)?,
            None => Groups::NONE,
        };
        let Act {
            place,
            action,
            scope,
            monitor,
        } = act;
        let strength = match (action, monitor, scope) {
            (Action::Pass, ..) if place.is_feed() => return None,
            (Action::Pass, ..) => Strength::Exempt,
            (Action::Drop, false, Scope::All) => Strength::DropAll,
            (Action::Drop, false, Scope::Services) => Strength::DropServices,
            (Action::Drop, true, Scope::All) => Strength::WatchAll,
            (Action::Drop, true, Scope::Services) => Strength::WatchServices,
            (Action::Monitor, ..) | (_, true, _) => Strength::Watch,
            (Action::Throttle | Action::Reject | Action::Challenge, false, _) => Strength::Limit,
        };
        Some(Self {
            class: Precedence { place, strength },
            narrowness: Narrowness::prefix(0),
            ends: Ends::NEVER,
            by: By::List(list.id()),
            sharing: Sharing::Never,
            ports,
            action,
            services: scope == Scope::Services,
            monitor: monitor && action != Action::Monitor,
            forced: false,
            guard: if place == Place::Popular {
                Guard::Itself
            } else if place.is_feed() && !list.is_past_guard() {
                Guard::Above
            } else {
                Guard::Aside
            },
        })
    }

    /// The same, named so narrowly.
    pub(super) fn at(self, narrowness: Narrowness) -> Self {
        Self { narrowness, ..self }
    }

    /// Sorts best first.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        let narrowest = Reverse(self.narrowness);
        (
            self.class,
            narrowest,
            Reverse(self.ends.at),
            Reverse(self.by),
        )
    }

    /// Whether it never matters beside `narrower`, another entry of the same list.
    pub(super) fn is_covered_by(&self, narrower: &Self) -> bool {
        let same = Self {
            narrowness: narrower.narrowness,
            ..*self
        };
        self.sharing == Sharing::Never && same == *narrower
    }

    pub(super) fn exempts(&self) -> bool {
        self.class.strength == Strength::Exempt
    }

    pub(super) fn watches(&self) -> bool {
        self.class.strength.watches()
    }

    pub(super) fn is_guarded(&self) -> bool {
        self.guard == Guard::Above
    }

    /// Whether it is about packets to a port in these groups, and no other.
    pub(super) fn is_about(&self, groups: Groups) -> bool {
        groups.has_all(self.ports)
    }

    /// Whether it is a lock, or lets an address through one.
    pub(super) fn locks(&self) -> bool {
        self.class.place == Place::Only
    }

    pub(super) fn guards(&self) -> bool {
        self.guard == Guard::Itself
    }
}

/// How an entry of a list acts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act {
    pub(super) place: Place,
    pub(super) action: Action,
    pub(super) scope: Scope,
    pub(super) monitor: bool,
}

impl Act {
    /// What an entry does whose score makes `tier`; other lists than scores do not ask for it.
    pub(super) fn of(kind: ListKind, tier: Action) -> Self {
        let exempt = |place| Self {
            place,
            action: Action::Pass,
            scope: Scope::All,
            monitor: false,
        };
        match kind {
            ListKind::Allow => exempt(Place::AllowList),
            ListKind::VerifiedCrawler => exempt(Place::VerifiedCrawler),
            ListKind::Popular => exempt(Place::Popular),
            ListKind::Only { monitor } => Self {
                place: Place::Only,
                action: Action::Drop,
                scope: Scope::All,
                monitor,
            },
            ListKind::Admit => exempt(Place::Only),
            ListKind::Category {
                action,
                scope,
                monitor,
            } => Self {
                place: Place::Category,
                action,
                scope,
                monitor,
            },
            ListKind::Score { scope, monitor } => Self {
                place: Place::Score,
                action: tier,
                scope,
                monitor,
            },
        }
    }
}
