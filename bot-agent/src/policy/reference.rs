//! For tests: the policy in plain words, asked about one address at one time.

use bot_common::{
    abi::verdict::{Action, Flags, Scope as KernelScope},
    address::Address,
};

use super::{Inputs, List, ListKind, Ports, simulation::Answer};
use crate::rules::{
    prefix::Prefix,
    rule::{Origin, Rule, RuleAction, Scope},
    subject::{Asn, Country, Subject},
    time::Now,
};

/// Who says it: the list of the documentation, from the best on.
const ALLOW: u8 = 1;
const FORCED: u8 = 2;
const PROTECTED: u8 = 3;
const BLOCK: u8 = 4;
const ONLY: u8 = 5;
const CRAWLER: u8 = 6;
const ALLOW_LIST: u8 = 7;
const LEARNED: u8 = 8;
const CATEGORY: u8 = 9;
const ASN: u8 = 10;
const COUNTRY: u8 = 11;
const SCORE: u8 = 12;

/// One thing that is said about the address.
#[derive(Clone, Copy, Debug)]
struct Said {
    who: u8,
    action: Action,
    all: bool,
    watch: bool,
    flags: u8,
    guarded: bool,
    /// Narrower, later, newer things decide among equals.
    precise: (u8, u64, u64),
}

/// What becomes of packets from `address` to `port` at `now`; `None`: to none, or to one that no list
/// is about.
pub(super) fn reference(
    inputs: &Inputs<'_>,
    address: Address,
    port: Option<u16>,
    now: Now,
) -> Answer {
    let rules = inputs.rules.iter().filter(|rule| rule.is_live(now));
    let info = inputs
        .database
        .and_then(|database| database.lookup(address));
    let whose = info.map_or((None, None), |info| (info.asn, info.country));
    let mut said: Vec<Said> = rules
        .filter_map(|rule| by_rule(rule, address, whose))
        .collect();
    if by_lists(inputs, address, port, &mut said) {
        said.retain(|one| !one.guarded);
    }
    let best = |wanted: &dyn Fn(&Said) -> bool| {
        let wanted = said.iter().filter(|one| wanted(one));
        wanted
            .min_by_key(|one| (one.who, hardness(one), std::cmp::Reverse(one.precise)))
            .copied()
    };
    // What drops packets to services leaves the others to whoever is next.
    let widened = |one: Said, counts: &dyn Fn(&Said) -> bool| {
        let others = best(&|other| other.all && counts(other));
        let all = one.all || others.is_some_and(|others| others.action == Action::Drop);
        answer(Said { all, ..one })
    };
    let told = |watch: Said| {
        if watch.action == Action::Drop {
            widened(watch, &|_| true)
        } else {
            answer(watch)
        }
    };
    let acts = best(&|one| !one.watch);
    let watches = best(&|one| one.watch);
    match (acts, watches) {
        (None, Some(watch)) => told(watch),
        (Some(acts), Some(watch)) if acts.action == Action::Pass && watch.who < acts.who => {
            told(watch)
        }
        (Some(acts), _) if acts.action == Action::Drop => widened(acts, &|one| !one.watch),
        (Some(acts), _) => answer(acts),
        (None, None) => Answer::PASS,
    }
}

fn by_rule(
    rule: &Rule,
    address: Address,
    (asn, country): (Option<Asn>, Option<Country>),
) -> Option<Said> {
    let narrow = match rule.subject {
        Subject::Prefix(prefix) if prefix.contains(address) => own_bits(prefix) + 2,
        Subject::Asn(named) if asn == Some(named) => 1,
        Subject::Country(named) if country == Some(named) => 0,
        Subject::Prefix(_) | Subject::Asn(_) | Subject::Country(_) => return None,
    };
    let passes = rule.action == RuleAction::Allow;
    let who = match (&rule.origin, rule.subject) {
        (Origin::Protected(_), _) => PROTECTED,
        (Origin::Learned, _) => LEARNED,
        _ if rule.forced && !rule.monitor && !passes => FORCED,
        (_, Subject::Asn(_)) => ASN,
        (_, Subject::Country(_)) => COUNTRY,
        (_, Subject::Prefix(_)) if passes => ALLOW,
        (_, Subject::Prefix(_)) => BLOCK,
    };
    let ends = rule.deadline.map_or(u64::MAX, |deadline| deadline.boot_ns);
    let flag = |set: bool, flag: Flags| if set && !passes { flag.0 } else { 0 };
    Some(Said {
        who,
        action: if passes { Action::Pass } else { Action::Drop },
        all: passes || rule.scope == Scope::All,
        watch: !passes && rule.monitor,
        flags: flag(rule.monitor, Flags::MONITOR_ONLY) | flag(rule.forced, Flags::FORCED),
        guarded: false,
        precise: (narrow, ends, rule.id.0),
    })
}

/// Adds what lists say; whether the popular-network guard covers the address.
fn by_lists(
    inputs: &Inputs<'_>,
    address: Address,
    port: Option<u16>,
    said: &mut Vec<Said>,
) -> bool {
    let is_meant = |list: &&List| {
        let has = |ports: &Ports| port.is_some_and(|port| ports.iter().any(|own| own == port));
        list.ports().is_none_or(has)
    };
    let covers = |list: &&List| list.covering(address).next().is_some();
    let mut popular = false;
    for list in inputs.lists.iter().filter(is_meant) {
        let same = |other: &&List| other.ports() == list.ports() && other.kind() == ListKind::Admit;
        let is_let_in = || inputs.lists.iter().filter(same).any(|other| covers(&other));
        match list.kind() {
            ListKind::Admit => continue,
            ListKind::Only { .. } if is_let_in() => continue,
            ListKind::Only { .. }
            | ListKind::Allow
            | ListKind::VerifiedCrawler
            | ListKind::Popular
            | ListKind::Category { .. }
            | ListKind::Score { .. } => {}
        }
        let covering = list
            .entries()
            .filter(|(prefix, _)| prefix.contains(address));
        for (prefix, score) in covering {
            let exempt = (Action::Pass, Scope::All, false);
            let (who, (action, scope, monitor)) = match list.kind() {
                ListKind::Popular => {
                    popular = true;
                    continue;
                }
                ListKind::Only { monitor } => (ONLY, (Action::Drop, Scope::All, monitor)),
                ListKind::Admit => continue,
                ListKind::VerifiedCrawler => (CRAWLER, exempt),
                ListKind::Allow => (ALLOW_LIST, exempt),
                ListKind::Category {
                    action,
                    scope,
                    monitor,
                } => (CATEGORY, (action, scope, monitor)),
                ListKind::Score { scope, monitor } => {
                    let tiers = [
                        (Action::Drop, inputs.tiers.block),
                        (Action::Challenge, inputs.tiers.challenge),
                        (Action::Throttle, inputs.tiers.throttle),
                        (Action::Monitor, inputs.tiers.monitor),
                    ];
                    let reached = tiers
                        .iter()
                        .find(|(_, from)| from.is_some_and(|from| score >= from));
                    let action = reached.map_or(Action::Pass, |(action, _)| *action);
                    (SCORE, (action, scope, monitor))
                }
            };
            if action == Action::Pass && who > ALLOW_LIST {
                continue;
            }
            let monitor = monitor && action != Action::Monitor;
            said.push(Said {
                who,
                action,
                all: scope == Scope::All,
                watch: monitor || action == Action::Monitor,
                flags: if monitor { Flags::MONITOR_ONLY.0 } else { 0 },
                guarded: !list.is_past_guard() && (who == CATEGORY || who == SCORE),
                precise: (own_bits(prefix) + 2, u64::MAX, u64::from(list.id().0)),
            });
        }
    }
    popular
}

/// In one place the harder comes first, and what acts before what would.
fn hardness(one: &Said) -> u8 {
    match (one.action, one.watch, one.all) {
        (Action::Pass, ..) => 0,
        (Action::Drop, false, true) => 1,
        (Action::Drop, false, false) => 2,
        (_, false, _) if one.action != Action::Monitor => 3,
        (Action::Drop, true, true) => 4,
        (Action::Drop, true, false) => 5,
        _ => 6,
    }
}

fn answer(one: Said) -> Answer {
    let scope = if one.all {
        KernelScope::All
    } else {
        KernelScope::Services
    };
    Answer {
        action: one.action as u8,
        scope: scope as u8,
        flags: one.flags,
    }
}

fn own_bits(prefix: Prefix) -> u8 {
    prefix.bits() - if prefix.is_v4() { 96 } else { 0 }
}
