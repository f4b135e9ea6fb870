//! For tests: a kernel that is simulated, with a check that nobody rewrites what a packet may be
//! reading.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bot_common::{
    abi::{
        ports::Groups,
        verdict::{Action, Verdict, VerdictId},
    },
    address::Address,
    decide::in_force,
};
use jiff::Timestamp;

use super::{
    Assigned, Compiled, Enforced, Limits, List, ListId, ListKind, Score, TableFull, family::Family,
};
use crate::{
    rules::{
        prefix::Prefix,
        rule::{Draft, Origin, RuleAction, Scope},
        set::RuleSet,
        time::{BootId, Deadline, Now},
    },
    table::{Range, Ranges},
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

/// Half a second later: deadlines of whole seconds, and what they are rounded up to, have passed.
pub(super) fn past(seconds: u64) -> Now {
    let half = Duration::from_millis(500);
    Now {
        wall: at(seconds).wall + half,
        boot_ns: at(seconds).boot_ns + SECOND / 2,
        ..at(seconds)
    }
}

pub(super) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(super) fn ip(text: &str) -> Address {
    Address::from(text.parse::<IpAddr>().unwrap())
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

/// An operator's block of everything from a subject, for some seconds.
pub(super) fn block(text: &str, seconds: Option<u64>) -> (Draft, Option<u64>) {
    let draft = Draft {
        subject: text.parse().unwrap(),
        action: RuleAction::Block,
        scope: Scope::All,
        monitor: false,
        forced: false,
        deadline: None,
        reason: String::new(),
        origin: Origin::Operator,
    };
    (draft, seconds)
}

/// A category that is dropped.
pub(super) fn bad(id: u32, prefixes: &[&str]) -> List {
    let kind = ListKind::Category {
        action: Action::Drop,
        scope: Scope::Services,
        monitor: false,
    };
    let entries = prefixes.iter().map(|text| (prefix(text), Score::default()));
    List::new(ListId(id), "list".into(), kind, entries)
}

/// The kernel: its table and its verdicts.
#[derive(Clone, Default)]
pub(super) struct Kernel {
    pub(super) ranges: Ranges,
    pub(super) verdicts: BTreeMap<VerdictId, Verdict>,
    last_reachable: BTreeMap<VerdictId, u64>,
}

/// What a table says of every address, without ids: for each verdict that a packet may meet, where the
/// way to it branches.
type Meaning<A> = Vec<(A, A, Vec<(String, Verdict)>)>;

impl Kernel {
    /// All of a change.
    pub(super) fn enforce(
        &mut self,
        enforced: &mut Enforced,
        compiled: &Compiled,
        now: Now,
    ) -> Result<Assigned, TableFull> {
        let assigned = enforced.assign(compiled, |address| self.id_at(address), now)?;
        self.write(&assigned, now);
        self.publish(assigned.ranges.clone());
        enforced.sweep(self.live(), now);
        Ok(assigned)
    }

    /// All of a change in a region.
    pub(super) fn enforce_within(
        &mut self,
        enforced: &mut Enforced,
        region: Prefix,
        compiled: &Compiled,
        now: Now,
    ) -> Result<Assigned, TableFull> {
        let assigned = enforced.assign(compiled, |address| self.id_at(address), now)?;
        self.write(&assigned, now);
        if let Some((first, bits)) = u32::of(region) {
            replace(
                &mut self.ranges.v4,
                (first, first.last_of(bits)),
                &assigned.ranges.v4,
            );
        }
        if let Some((first, bits)) = u128::of(region) {
            replace(
                &mut self.ranges.v6,
                (first, first.last_of(bits)),
                &assigned.ranges.v6,
            );
        }
        enforced.sweep(self.live(), now);
        Ok(assigned)
    }

    /// Writes verdicts, none of which a packet may be reading.
    pub(super) fn write(&mut self, assigned: &Assigned, now: Now) {
        for id in self.reachable() {
            self.last_reachable.insert(id, now.boot_ns);
        }
        for fresh in &assigned.fresh {
            let id = fresh.id;
            assert_ne!(id, VerdictId::NONE);
            let last = self.last_reachable.get(&id);
            assert!(
                last.is_none_or(|last| now.boot_ns >= last + 5 * SECOND),
                "{id:?} was in use"
            );
            let used_before = self.verdicts.contains_key(&id);
            assert!(!used_before || fresh.reset, "{id:?} keeps old hits");
            self.verdicts.insert(id, fresh.verdict);
        }
    }

    pub(super) fn publish(&mut self, ranges: Ranges) {
        check(&ranges.v4);
        check(&ranges.v6);
        self.ranges = ranges;
        for id in self.live() {
            assert!(self.verdicts.contains_key(&id), "{id:?} says nothing");
        }
    }

    /// The agent is another one now: no packet of the earlier one's time is in flight.
    pub(super) fn outlive_agent(&mut self) {
        self.last_reachable.clear();
    }

    /// The ids that the table refers to.
    pub(super) fn live(&self) -> BTreeSet<VerdictId> {
        let v4 = self.ranges.v4.iter().map(|range| range.id);
        let v6 = self.ranges.v6.iter().map(|range| range.id);
        v4.chain(v6).collect()
    }

    pub(super) fn verdicts(&self) -> Vec<(VerdictId, Verdict)> {
        self.verdicts
            .iter()
            .map(|(id, verdict)| (*id, *verdict))
            .collect()
    }

    pub(super) fn id_at(&self, address: Address) -> VerdictId {
        let host = Prefix::host(address.to_ip());
        let v4 = u32::of(host).and_then(|(at, _)| find(&self.ranges.v4, at));
        let v6 = u128::of(host).and_then(|(at, _)| find(&self.ranges.v6, at));
        v4.or(v6).unwrap_or(VerdictId::NONE)
    }

    /// What happens to packets to any port.
    pub(super) fn lookup(&self, address: Address, now: Now) -> Answer {
        self.lookup_for(address, Groups::NONE, now)
    }

    /// What happens to packets to a port in these groups.
    pub(super) fn lookup_for(&self, address: Address, groups: Groups, now: Now) -> Answer {
        let table = |id| self.verdicts.get(&id).copied();
        let (_, verdict) = in_force(self.id_at(address), table, || groups, || now.boot_ns);
        Answer::of(&verdict)
    }

    pub(super) fn meaning(&self) -> (Meaning<u32>, Meaning<u128>) {
        (self.says(&self.ranges.v4), self.says(&self.ranges.v6))
    }

    fn says<A: Family>(&self, ranges: &[Range<A>]) -> Meaning<A> {
        let mut meaning: Meaning<A> = Vec::new();
        for range in ranges {
            let terms = |(way, id): (String, VerdictId)| {
                let verdict = Verdict {
                    then: VerdictId::NONE,
                    otherwise: VerdictId::NONE,
                    ..self.verdicts[&id]
                };
                (way, verdict)
            };
            let chain: Vec<_> = self.ways(range.id).into_iter().map(terms).collect();
            match meaning.last_mut() {
                Some((_, last, said))
                    if last.following() == Some(range.first) && *said == chain =>
                {
                    *last = range.last;
                }
                _ => meaning.push((range.first, range.last, chain)),
            }
        }
        meaning
    }

    pub(super) fn reachable(&self) -> BTreeSet<VerdictId> {
        self.live()
            .into_iter()
            .flat_map(|id| self.ways(id))
            .map(|(_, id)| id)
            .collect()
    }

    /// What lies beneath an id, itself first, and how to come there.
    fn ways(&self, head: VerdictId) -> Vec<(String, VerdictId)> {
        let mut ways = Vec::new();
        let mut waiting = vec![(String::new(), head)];
        while let Some((way, id)) = waiting.pop() {
            if let Some(verdict) = self.verdicts.get(&id).filter(|_| id != VerdictId::NONE) {
                waiting.push((format!("{way}o"), verdict.otherwise));
                waiting.push((format!("{way}t"), verdict.then));
                ways.push((way, id));
            }
        }
        ways
    }
}

fn find<A: Family>(ranges: &[Range<A>], at: A) -> Option<VerdictId> {
    let range = ranges
        .iter()
        .find(|range| range.first <= at && at <= range.last)?;
    Some(range.id)
}

/// The promises of [`Ranges`].
fn check<A: Family>(ranges: &[Range<A>]) {
    for range in ranges {
        assert!(range.first <= range.last && range.id != VerdictId::NONE);
    }
    for pair in ranges.windows(2) {
        assert!(pair[0].last < pair[1].first, "not sorted and disjoint");
        let touch = pair[0].last.following() == Some(pair[1].first);
        assert!(!touch || pair[0].id != pair[1].id, "equal neighbours");
    }
}

/// Puts `new` in place of everything from `first` to `last`.
fn replace<A: Family>(ranges: &mut Vec<Range<A>>, (first, last): (A, A), new: &[Range<A>]) {
    check(new);
    assert!(
        new.iter()
            .all(|range| first <= range.first && range.last <= last)
    );
    let mut all = new.to_vec();
    for range in ranges.iter() {
        if let Some(before) = first.preceding().filter(|before| range.first <= *before) {
            let last = range.last.min(before);
            all.push(Range { last, ..*range });
        }
        if let Some(after) = last.following().filter(|after| range.last >= *after) {
            let first = range.first.max(after);
            all.push(Range { first, ..*range });
        }
    }
    all.sort_by_key(|range| range.first);
    *ranges = all;
}

/// What happens to packets; deadlines and ids aside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) action: u8,
    pub(super) scope: u8,
    pub(super) flags: u8,
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

    pub(super) fn drops(self) -> bool {
        self.action == Action::Drop as u8
    }
}
