//! Lists: what the policy makes of all feeds together.

use std::sync::Arc;

use bot_common::abi::verdict::Action;
use jiff::Timestamp;

use super::{
    Told,
    resolve::resolved,
    score::{Weighing, combine},
};
use crate::{
    asn::Database,
    config::{Feed, FeedAction, Policy, PolicyAction, Role},
    feeds::{category::Category, rail::Rail, rails::popular},
    policy::{List, ListId, ListKind, Ports, Score},
    rules::{prefix::Prefix, rule::Scope},
};

/// Name of the list of scores.
pub const SCORES: &str = "scores";
/// Name of the list of the popular-network guard's own table.
pub const POPULAR: &str = "popular-networks";

/// The lists of the feeds, of the scores that they make together, and of the popular-network guard, where
/// there is a feed to guard against. `id` finds the identity of a list by its name.
pub fn lists(
    told: &[Told<'_>],
    policies: &[Policy],
    database: Option<&Database>,
    now: Timestamp,
    id: &mut dyn FnMut(&str) -> ListId,
) -> Vec<List> {
    if told.is_empty() {
        return Vec::new();
    }
    let guard = popular().map(|network| (network.prefix, Score::MAX));
    let mut lists = vec![List::new(
        id(POPULAR),
        POPULAR.into(),
        ListKind::Popular,
        guard,
    )];
    for one in told {
        let uses = uses(one.feed, policies);
        if uses.is_empty() {
            continue;
        }
        let name: Arc<str> = one.feed.name.as_str().into();
        let entries = resolved(one.snapshot, database).map(|(prefix, _)| (prefix, Score::MAX));
        // Whatever they are good for, the entries are there once. This list itself is for nothing.
        let list = List::new(ListId(u32::MAX), name, ListKind::Allow, entries);
        let list = past_guard_if(is_past_guard(one), list);
        lists.extend(uses.into_iter().map(|Use { name, kind, ports }| {
            let list = list.with(id(&name), name.into(), kind);
            match ports {
                Some(ports) => list.about(ports),
                None => list,
            }
        }));
    }
    lists.extend(scores(told, database, now, id));
    lists
}

/// What a feed's entries are good for, as a list.
struct Use {
    name: String,
    kind: ListKind,
    /// Only for packets to these.
    ports: Option<Ports>,
}

/// What a feed's entries are good for by themselves.
fn uses(feed: &Feed, policies: &[Policy]) -> Vec<Use> {
    let kind = match feed.role {
        Role::Allow => exempts(feed.category),
        Role::Guard => ListKind::Popular,
        Role::Act(action) => category(action, feed.scope, feed.monitor),
        Role::Weigh(_) => return Vec::new(),
        Role::ByCategory => {
            let policies = policies.iter();
            let policies = policies.filter(|policy| Some(policy.category) == feed.category);
            return policies.filter_map(|it| by_policy(feed, it)).collect();
        }
    };
    vec![Use {
        name: feed.name.clone(),
        kind,
        ports: None,
    }]
}

fn by_policy(feed: &Feed, policy: &Policy) -> Option<Use> {
    let kind = match policy.action {
        PolicyAction::Allow => exempts(feed.category),
        PolicyAction::Pass => return None,
        PolicyAction::Act(action) => category(action, policy.scope, policy.monitor || feed.monitor),
    };
    let name = match &policy.ports {
        Some(ports) => format!("{}:{ports}", feed.name),
        None => feed.name.clone(),
    };
    let ports = policy.ports.clone();
    Some(Use { name, kind, ports })
}

fn exempts(category: Option<Category>) -> ListKind {
    if category.is_some_and(Category::is_crawler) {
        ListKind::VerifiedCrawler
    } else {
        ListKind::Allow
    }
}

fn category(action: FeedAction, scope: Scope, monitor: bool) -> ListKind {
    ListKind::Category {
        action: match action {
            FeedAction::Monitor => Action::Monitor,
            FeedAction::Throttle => Action::Throttle,
            FeedAction::Challenge => Action::Challenge,
            FeedAction::Block => Action::Drop,
        },
        scope,
        monitor,
    }
}

/// The scores. A score acts only so far as all of its evidence does: evidence that is only to be
/// watched drops nobody, evidence about services drops no other packets, and what the guard stands
/// above says nothing past it. So feeds that go farther than others make scores of their own besides.
fn scores(
    told: &[Told<'_>],
    database: Option<&Database>,
    now: Timestamp,
    id: &mut dyn FnMut(&str) -> ListId,
) -> Vec<List> {
    let weighing: Vec<(Reach, Weighing<'_>)> = told.iter().filter_map(weighing).collect();
    let mut lists = Vec::new();
    let mut sums: Vec<Vec<usize>> = Vec::new();
    // The farthest first: feeds that reach no less far all together need no second list.
    for reach in Reach::ALL {
        let fit = weighing.iter().enumerate();
        let fit = fit.filter(|(_, (own, _))| own.reaches(reach));
        let feeds: Vec<usize> = fit.map(|(index, _)| index).collect();
        if feeds.is_empty() || sums.contains(&feeds) {
            continue;
        }
        let some: Vec<Weighing<'_>> = feeds
            .iter()
            .filter_map(|index| Some(weighing.get(*index)?.1))
            .collect();
        sums.push(feeds);
        let name = reach.name();
        let kind = ListKind::Score {
            scope: reach.scope(),
            monitor: !reach.acts,
        };
        let entries: Vec<(Prefix, Score)> = combine(&some, database, now);
        let list = List::new(id(&name), name.into(), kind, entries);
        lists.push(past_guard_if(reach.past_guard, list));
    }
    lists
}

/// How far evidence goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Reach {
    /// It is more than watched.
    acts: bool,
    /// It is about every packet.
    all: bool,
    /// The popular-network guard takes nothing from it.
    past_guard: bool,
}

impl Reach {
    /// All there are, none before one that goes farther.
    const ALL: [Self; 8] = {
        const fn reach(acts: bool, all: bool, past_guard: bool) -> Reach {
            Reach {
                acts,
                all,
                past_guard,
            }
        }
        [
            reach(true, true, true),
            reach(true, true, false),
            reach(true, false, true),
            reach(true, false, false),
            reach(false, true, true),
            reach(false, true, false),
            reach(false, false, true),
            reach(false, false, false),
        ]
    };

    fn reaches(self, other: Self) -> bool {
        self.acts >= other.acts && self.all >= other.all && self.past_guard >= other.past_guard
    }

    fn scope(self) -> Scope {
        if self.all {
            Scope::All
        } else {
            Scope::Services
        }
    }

    fn name(self) -> String {
        let mut name = SCORES.to_owned();
        for (is, word) in [
            (self.all, "-all"),
            (self.past_guard, "-past-guard"),
            (!self.acts, "-monitor"),
        ] {
            if is {
                name.push_str(word);
            }
        }
        name
    }
}

fn weighing<'a>(told: &Told<'a>) -> Option<(Reach, Weighing<'a>)> {
    let feed = told.feed;
    let reach = Reach {
        acts: !feed.monitor,
        all: feed.scope == Scope::All,
        past_guard: is_past_guard(told),
    };
    Some((reach, Weighing::of(told)?))
}

impl<'a> Weighing<'a> {
    /// What a feed weighs, if its role is that.
    pub(super) fn of(told: &Told<'a>) -> Option<Self> {
        let Role::Weigh(weight) = told.feed.role else {
            return None;
        };
        Some(Self {
            group: &told.feed.group,
            weight,
            half_life: told.feed.half_life,
            snapshot: told.snapshot,
        })
    }
}

fn is_past_guard(told: &Told<'_>) -> bool {
    told.feed.loosen.contains(&Rail::Popular)
}

fn past_guard_if(is: bool, list: List) -> List {
    if is { list.past_guard() } else { list }
}
