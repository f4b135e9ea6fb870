//! Lists: what the policy makes of all feeds together.

use std::{collections::BTreeMap, sync::Arc};

use bot_common::abi::verdict::Action;
use jiff::Timestamp;

use super::{
    Told,
    resolve::resolved,
    score::{Weighing, combine},
};
use crate::{
    asn::Database,
    config::{FeedAction, Role},
    feeds::{category::Category, rail::Rail, rails::popular},
    policy::{List, ListId, ListKind, Score},
    rules::{prefix::Prefix, rule::Scope},
};

/// Name of the list of scores.
pub const SCORES: &str = "scores";
/// Name of the list of the popular-network guard's own table.
pub const POPULAR: &str = "popular-networks";

/// What happens to sources of a category.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CategoryAction {
    /// They are exempt from feeds, ASN and country rules.
    Allow,
    /// Nothing: it is only known that they belong to it.
    Pass,
    /// This.
    Act(FeedAction),
}

/// The policies for categories; nothing happens to sources of a category without one.
pub type Policies = BTreeMap<Category, CategoryAction>;

/// The lists of the feeds, of the scores that they make together, and of the popular-network guard,
/// which is always there. `id` finds the identity of a list by its name.
pub fn lists(
    told: &[Told<'_>],
    policies: &Policies,
    database: Option<&Database>,
    now: Timestamp,
    id: &mut dyn FnMut(&str) -> ListId,
) -> Vec<List> {
    let guard = popular().map(|network| (network.prefix, Score::MAX));
    let mut lists = vec![List::new(
        id(POPULAR),
        POPULAR.into(),
        ListKind::Popular,
        guard,
    )];
    for one in told {
        let Some(kind) = kind(one, policies) else {
            continue;
        };
        let name = one.feed.name.as_str();
        let entries = resolved(one.snapshot, database).map(|(prefix, _)| (prefix, Score::MAX));
        let list = List::new(id(name), Arc::from(name), kind, entries);
        lists.push(past_guard_if(is_past_guard(one), list));
    }
    lists.extend(scores(told, database, now, id));
    lists
}

/// What the list of a feed is for; nothing: it has none of its own.
fn kind(told: &Told<'_>, policies: &Policies) -> Option<ListKind> {
    let feed = told.feed;
    let action = match feed.role {
        Role::Allow => CategoryAction::Allow,
        Role::Guard => return Some(ListKind::Popular),
        Role::Act(action) => CategoryAction::Act(action),
        Role::Weigh(_) => return None,
        Role::ByCategory => *policies.get(&feed.category?)?,
    };
    match action {
        CategoryAction::Allow if feed.category.is_some_and(Category::is_crawler) => {
            Some(ListKind::VerifiedCrawler)
        }
        CategoryAction::Allow => Some(ListKind::Allow),
        CategoryAction::Pass => None,
        CategoryAction::Act(action) => Some(ListKind::Category {
            action: match action {
                FeedAction::Monitor => Action::Monitor,
                FeedAction::Throttle => Action::Throttle,
                FeedAction::Challenge => Action::Challenge,
                FeedAction::Block => Action::Drop,
            },
            scope: feed.scope,
            monitor: feed.monitor,
        }),
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
