//! The judge: whether an update as a whole comes into force or is held until somebody has looked.
//!
//! - An update without entries is held, also the first one: a feed that says nothing protects from
//!   nothing, and nearly always is an answer that was cut.
//! - One that shrinks or grows by more than a share is held, by entries or by addresses covered.
//!   Small changes are not: [`FEW_ENTRIES`], [`FEW_V4`], [`FEW_V6`].
//! - One that covers more than [`MOST_V4`] or [`MOST_V6`] is held. Of real lists those of all data
//!   centres are the widest: 1/11 of IPv4, and less than 1/7,000 of `2000::/3`.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use serde::Serialize;

use super::size::Size;
use crate::{
    asn::Database,
    feeds::{rail::Rail, snapshot::Snapshot},
    wording::{grouped, grouped_of, many_of, verb},
};

/// By how much an update may shrink or grow unless configured, percent.
pub const MAX_CHANGE: u32 = 50;

/// Changes by fewer entries are no news about a feed.
const FEW_ENTRIES: usize = 20;
/// Nor are changes by less than a /16,
const FEW_V4: u128 = 1 << 16;
/// or a /32.
const FEW_V6: u128 = 1 << 96;
/// An eighth of IPv4.
const MOST_V4: u128 = 1 << 29;
/// A thousandth of `2000::/3`.
const MOST_V6: u128 = 1 << 115;

/// What an update may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// By how much it may shrink or grow, percent.
    pub max_change: u32,
    /// Rails that the feed is trusted to go without.
    pub loosen: &'a BTreeSet<Rail>,
}

/// What becomes of an update.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It comes into force.
    Take,
    /// What was in force stays, until somebody has looked.
    Hold(Hold),
}

/// Why an update is held.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Hold {
    /// It has no entries.
    Empty {
        /// Entries of the update before.
        before: usize,
    },
    /// It has many fewer or many more entries.
    Entries {
        /// Entries of the update before.
        before: usize,
        /// Its own.
        after: usize,
        /// What was allowed, percent.
        max_change: u32,
    },
    /// It covers many fewer or many more addresses.
    Addresses {
        /// Of which family.
        family: &'static str,
        /// What the update before covered.
        before: u128,
        /// What it covers.
        after: u128,
        /// What was allowed, percent.
        max_change: u32,
    },
    /// It covers more than any real list does.
    Coverage {
        /// Of which family.
        family: &'static str,
        /// What it covers.
        covered: u128,
        /// What was allowed.
        most: u128,
    },
    /// It would drop sources known to be good.
    KnownGood {
        /// Those that it would newly drop.
        dropped: Vec<IpAddr>,
        /// So many would have been allowed.
        limit: usize,
    },
}

impl Hold {
    /// The same for people, with the command that takes the update.
    pub fn of_feed<'a>(&'a self, name: &'a str) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            write!(
                f,
                "the update of {name} is held: {self}; what was in force stays. \
                 `bot-agent feeds accept {name}` takes it"
            )
        })
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { before: 0 } => write!(f, "it has no entries"),
            Self::Empty { before } => {
                write!(
                    f,
                    "it has no entries, and had {} before",
                    grouped_of(*before)
                )
            }
            Self::Entries {
                before,
                after,
                max_change,
            } => write!(
                f,
                "it has {} {}, {} before ({}, more than {max_change} %)",
                grouped_of(*after),
                verb(of(*after), "entry", "entries"),
                grouped_of(*before),
                Change(of(*before), of(*after)),
            ),
            Self::Addresses {
                family,
                before,
                after,
                max_change,
            } => write!(
                f,
                "it covers {} {family} addresses, {} before ({}, more than {max_change} %)",
                grouped(*after),
                grouped(*before),
                Change(*before, *after),
            ),
            Self::Coverage {
                family,
                covered,
                most,
            } => write!(
                f,
                "it covers {} {family} addresses, more than any list should ({})",
                grouped(*covered),
                grouped(*most),
            ),
            Self::KnownGood { dropped, limit } => {
                let names: Vec<String> = dropped.iter().take(10).map(IpAddr::to_string).collect();
                let more = if dropped.len() > names.len() {
                    ", ..."
                } else {
                    ""
                };
                write!(
                    f,
                    "it would drop {} known to be good, more than {limit} ({}{more})",
                    many_of(dropped.len(), "source"),
                    names.join(", "),
                )
            }
        }
    }
}

/// A change in percent of what was before.
struct Change(u128, u128);

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(before, after) = *self;
        let share = before.abs_diff(after).saturating_mul(100) / before.max(1);
        let sign = if after < before { '-' } else { '+' };
        write!(f, "{sign}{} %", grouped(share))
    }
}

/// Judges an update by what is in the update before, and what would come into force. Nothing can be
/// said about the change of a feed that had no entries.
pub fn judge(
    before: Option<&Snapshot>,
    next: &Snapshot,
    database: Option<&Database>,
    limits: &Limits<'_>,
) -> Verdict {
    let on = |rail| !limits.loosen.contains(&rail);
    let before = before.map_or(Size::default(), |before| Size::of_update(before, database));
    let after = Size::of_update(next, database);
    let change = on(Rail::Change).then(|| change(before, after, limits.max_change));
    let coverage = on(Rail::Coverage).then(|| coverage(Size::of_all(next, database)));
    let hold = change.flatten().or(coverage.flatten());
    hold.map_or(Verdict::Take, Verdict::Hold)
}

fn change(before: Size, after: Size, max_change: u32) -> Option<Hold> {
    let is_much = |before: u128, after: u128, few: u128| {
        let changed = before.abs_diff(after);
        // Without a product that IPv6 would not fit into.
        let share = |part: u128| part.saturating_mul(max_change.into());
        let most = share(before / 100).saturating_add(share(before % 100) / 100);
        changed >= few && changed > most
    };
    if after.entries == 0 {
        let before = before.entries;
        return Some(Hold::Empty { before });
    }
    if before.entries == 0 {
        return None;
    }
    if is_much(of(before.entries), of(after.entries), of(FEW_ENTRIES)) {
        return Some(Hold::Entries {
            before: before.entries,
            after: after.entries,
            max_change,
        });
    }
    let families = [
        ("IPv4", before.v4, after.v4, FEW_V4),
        ("IPv6", before.v6, after.v6, FEW_V6),
    ];
    let found = families
        .into_iter()
        .find(|(_, before, after, few)| is_much(*before, *after, *few));
    found.map(|(family, before, after, _)| Hold::Addresses {
        family,
        before,
        after,
        max_change,
    })
}

fn coverage(size: Size) -> Option<Hold> {
    let families = [("IPv4", size.v4, MOST_V4), ("IPv6", size.v6, MOST_V6)];
    let found = families
        .into_iter()
        .find(|(_, covered, most)| covered > most);
    found.map(|(family, covered, most)| Hold::Coverage {
        family,
        covered,
        most,
    })
}

fn of(count: usize) -> u128 {
    u128::try_from(count).unwrap_or(u128::MAX)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
