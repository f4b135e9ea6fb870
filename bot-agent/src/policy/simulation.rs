//! For tests: a kernel that is simulated, and the policy in plain words.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bot_common::{
    abi::verdict::{Action, Flags, MAX_CHAIN, Verdict, VerdictId},
    address::Address,
};
use jiff::Timestamp;

use super::{Limits, Step};
use crate::rules::{
    prefix::Prefix,
    rule::{Draft, Origin, Rule, RuleAction, Scope},
    set::RuleSet,
    time::{BootId, Deadline, Now},
};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const ROOMY: Limits = Limits {
    prefixes: 1000,
    verdicts: 1000,
};

pub(super) fn at(seconds: u64) -> Now {
    Now {
        wall: Timestamp::from_second(1_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
        boot_ns: (100 + seconds) * SECOND,
        boot: BootId(7),
    }
}

pub(super) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(super) fn ip(text: &str) -> Address {
    Address::from(text.parse::<IpAddr>().unwrap())
}

/// The kernel: its maps, its look-up, and a check that nobody rewrites what a packet may be reading.
#[derive(Clone, Default)]
pub(super) struct Kernel {
    pub(super) trie: BTreeMap<Prefix, VerdictId>,
    pub(super) verdicts: BTreeMap<VerdictId, Verdict>,
    last_reachable: BTreeMap<VerdictId, u64>,
    reset: BTreeSet<VerdictId>,
}

impl Kernel {
    pub(super) fn apply(&mut self, step: Step, now: u64) {
        for id in self.reachable() {
            self.last_reachable.insert(id, now);
        }
        match step {
            Step::ResetHits(id) => {
                self.check_free(id, now);
                self.reset.insert(id);
            }
            Step::WriteVerdict(id, verdict) => {
                self.check_free(id, now);
                let used_before = self.last_reachable.contains_key(&id);
                assert!(
                    !used_before || self.reset.remove(&id),
                    "{id:?} keeps old hits"
                );
                self.verdicts.insert(id, verdict);
            }
            Step::Upsert(prefix, id) => {
                assert!(id == VerdictId::NONE || self.verdicts.contains_key(&id));
                self.trie.insert(prefix, id);
            }
            Step::Remove(prefix) => assert!(self.trie.remove(&prefix).is_some()),
        }
    }

    /// The agent is another one now: no packet of the earlier one's time is in flight.
    pub(super) fn outlive_agent(&mut self) {
        let reachable = self.reachable();
        for (id, last) in &mut self.last_reachable {
            if !reachable.contains(id) {
                *last = 0;
            }
        }
    }

    fn check_free(&self, id: VerdictId, now: u64) {
        assert_ne!(id, VerdictId::NONE);
        let last = self.last_reachable.get(&id);
        assert!(
            last.is_none_or(|last| now >= last + 5 * SECOND),
            "{id:?} was in use"
        );
    }

    fn reachable(&self) -> BTreeSet<VerdictId> {
        let chains = self.trie.values().flat_map(|id| self.ids(*id));
        chains.collect()
    }

    fn ids(&self, head: VerdictId) -> Vec<VerdictId> {
        let then = |id: &VerdictId| self.verdicts.get(id).map(|verdict| verdict.then);
        std::iter::successors(Some(head), then)
            .take_while(|id| *id != VerdictId::NONE)
            .collect()
    }

    pub(super) fn lookup(&self, address: Address, boot_ns: u64) -> Answer {
        let matching = self
            .trie
            .iter()
            .filter(|(prefix, _)| prefix.encloses(address));
        let longest = matching.max_by_key(|(prefix, _)| prefix.bits());
        let mut id = longest.map_or(VerdictId::NONE, |(_, id)| *id);
        for _ in 0..MAX_CHAIN {
            match self.verdicts.get(&id) {
                Some(verdict) if verdict.expired(boot_ns) => id = verdict.then,
                Some(verdict) => return Answer::of(verdict),
                None => return Answer::PASS,
            }
        }
        Answer::PASS
    }

    /// The table without ids: what two ways of filling it must agree on.
    pub(super) fn meaning(&self) -> BTreeMap<Prefix, Vec<Verdict>> {
        let terms = |id: VerdictId| Verdict {
            then: VerdictId::NONE,
            ..self.verdicts[&id]
        };
        let chain = |head: &VerdictId| self.ids(*head).into_iter().map(terms).collect();
        self.trie
            .iter()
            .map(|(prefix, head)| (*prefix, chain(head)))
            .collect()
    }
}

/// What happens to packets; deadlines and ids aside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    action: u8,
    scope: u8,
    flags: u8,
}

impl Answer {
    pub(super) const PASS: Self = Self {
        action: Action::Pass as u8,
        scope: 0,
        flags: 0,
    };

    pub(super) fn of(verdict: &Verdict) -> Self {
        Self {
            action: verdict.action,
            scope: verdict.scope,
            flags: verdict.flags,
        }
    }

    pub(super) fn drop(services: bool, flags: u8) -> Self {
        Self {
            action: Action::Drop as u8,
            scope: u8::from(services),
            flags,
        }
    }

    pub(super) fn drops(self) -> bool {
        self.action == Action::Drop as u8
    }
}

/// The reference: precedence in plain words, over every rule, at one time.
pub(super) fn reference(rules: &RuleSet, address: Address, now: Now) -> Answer {
    let covering: Vec<&Rule> = rules
        .iter()
        .filter(|rule| rule.is_live(now))
        .filter(|rule| {
            let prefix = rule.subject.prefix();
            prefix.is_some_and(|prefix| prefix.contains(address))
        })
        .collect();
    let any = |test: &dyn Fn(&Rule) -> bool| covering.iter().any(|rule| test(rule));
    let block = |rule: &Rule| rule.action == RuleAction::Block && !rule.monitor;
    let all = |rule: &Rule| rule.scope == Scope::All;
    let protection = |rule: &Rule| matches!(rule.origin, Origin::Protected(_));

    if any(&|rule| rule.action == RuleAction::Allow && !protection(rule)) {
        return Answer::PASS;
    }
    let protected = any(&|rule| rule.action == RuleAction::Allow && protection(rule));
    let everything = any(&|rule| block(rule) && all(rule) && (rule.forced || !protected));
    if any(&|rule| block(rule) && rule.forced) {
        return Answer::drop(!everything, Flags::FORCED.0);
    }
    if protected {
        return Answer::PASS;
    }
    if any(&block) {
        return Answer::drop(!everything, 0);
    }
    let watching = covering
        .iter()
        .filter(|rule| rule.action == RuleAction::Block);
    let watching = watching.max_by_key(|rule| {
        let ends = rule.deadline.map_or(u64::MAX, |deadline| deadline.boot_ns);
        (rule.subject.prefix().map(Prefix::bits), ends, rule.id)
    });
    watching.map_or(Answer::PASS, |rule| {
        let forced = if rule.forced { Flags::FORCED.0 } else { 0 };
        Answer::drop(!all(rule), Flags::MONITOR_ONLY.0 | forced)
    })
}

/// The rules made at `now`, some of which are over already.
pub(super) fn rule_set(drafts: &[(Draft, Option<u64>)], now: Now) -> RuleSet {
    let mut set = RuleSet::default();
    for (draft, expiry) in drafts {
        let deadline = expiry.and_then(|s| Deadline::after(now, Duration::from_secs(s)));
        let draft = Draft {
            deadline,
            ..draft.clone()
        };
        let rule = draft.into_rule(set.reserve_id(), now);
        set.insert(rule, now);
    }
    set
}
