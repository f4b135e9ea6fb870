//! Lists: many prefixes of one kind, from a feed or a file, that are no rules of the store.
//!
//! A list is made once and never changed; a new version of the feed is a new list.

use std::{fmt, sync::Arc};

use bot_common::{abi::verdict::Action, address::Address};
use serde::{Deserialize, Serialize};

use super::{
    column::{Column, Entry},
    family::Family,
    ports::Ports,
};
use crate::rules::{prefix::Prefix, rule::Scope};

/// Identity of a list within an agent's life: the same for all versions of a list, and of no other.
/// Hits of verdicts count for it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ListId(pub u32);

/// How bad an address is, 0 to 100.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(into = "u8", try_from = "u8")]
pub struct Score(u8);

/// What a list is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ListKind {
    /// Exempts from categories, ASN and country rules and scores.
    Allow,
    /// The same, for the addresses of crawlers that were verified; before other allow lists.
    VerifiedCrawler,
    /// Networks that too many people share to judge them by feeds: exempts from categories and
    /// scores only.
    Popular,
    /// Addresses of one category.
    Category {
        /// What happens to packets; [`Action::Pass`]: nothing is said about them.
        action: Action,
        /// Which packets.
        scope: Scope,
        /// Only count and report.
        monitor: bool,
    },
    /// A lock: what is not in its [`Self::Admit`] lists is dropped. About some ports ([`List::about`]);
    /// its entries are both families.
    Only {
        /// Only count and report.
        monitor: bool,
    },
    /// Addresses that the lock of the same ports lets in: it says nothing about them.
    Admit,
    /// Addresses with a score, from which the [`Tiers`] make an action.
    Score {
        /// Which packets.
        scope: Scope,
        /// Only count and report.
        monitor: bool,
    },
}

/// From which score on what happens. A score below all of them, and a tier that is not set, says
/// nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tiers {
    /// Counted and reported.
    pub monitor: Option<Score>,
    /// Slowed down.
    pub throttle: Option<Score>,
    /// Challenged.
    pub challenge: Option<Score>,
    /// Dropped.
    pub block: Option<Score>,
}

/// A list. Clones share the entries.
#[derive(Clone)]
pub struct List {
    id: ListId,
    name: Arc<str>,
    kind: ListKind,
    past_guard: bool,
    ports: Option<Ports>,
    columns: Arc<Columns>,
}

/// The entries of both families.
struct Columns {
    v4: Column<u32>,
    v6: Column<u128>,
}

impl Score {
    /// The worst there is.
    pub const MAX: Self = Self(100);

    /// The score of a number; `None` above 100.
    pub const fn new(score: u8) -> Option<Self> {
        if score <= Self::MAX.0 {
            Some(Self(score))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl From<Score> for u8 {
    fn from(score: Score) -> Self {
        score.0
    }
}

impl TryFrom<u8> for Score {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        Self::new(number).ok_or_else(|| format!("{number} is not within 0 to 100"))
    }
}

impl Tiers {
    /// All that scores may lead to.
    pub(super) const ACTIONS: [Action; 5] = [
        Action::Pass,
        Action::Monitor,
        Action::Throttle,
        Action::Challenge,
        Action::Drop,
    ];

    /// What happens to addresses of a score: the hardest tier that it reaches.
    pub fn action(&self, score: Score) -> Action {
        let tiers = [
            (self.block, Action::Drop),
            (self.challenge, Action::Challenge),
            (self.throttle, Action::Throttle),
            (self.monitor, Action::Monitor),
        ];
        let reached = tiers
            .into_iter()
            .find(|(from, _)| from.is_some_and(|from| score >= from));
        reached.map_or(Action::Pass, |(_, action)| action)
    }
}

impl List {
    /// A list of prefixes with their scores, in any order; scores matter for [`ListKind::Score`]
    /// only. Of a prefix that is there twice the higher score counts.
    pub fn new(
        id: ListId,
        name: Arc<str>,
        kind: ListKind,
        entries: impl IntoIterator<Item = (Prefix, Score)>,
    ) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, score) in entries {
            if let Some((first, bits)) = u32::of(prefix) {
                v4.push(Entry { first, bits, score });
            } else if let Some((first, bits)) = u128::of(prefix) {
                v6.push(Entry { first, bits, score });
            }
        }
        Self {
            id,
            name,
            kind,
            past_guard: false,
            ports: None,
            columns: Arc::new(Columns {
                v4: Column::new(v4),
                v6: Column::new(v6),
            }),
        }
    }

    /// The same entries, shared, as another list: about packets to any port.
    #[must_use]
    pub fn with(&self, id: ListId, name: Arc<str>, kind: ListKind) -> Self {
        Self {
            id,
            name,
            kind,
            past_guard: self.past_guard,
            ports: None,
            columns: Arc::clone(&self.columns),
        }
    }

    /// The same, about packets to these TCP and UDP ports alone.
    #[must_use]
    pub fn about(self, ports: Ports) -> Self {
        Self {
            ports: Some(ports),
            ..self
        }
    }

    /// The same list, from which the popular-network guard takes nothing: of a feed that is trusted
    /// to know who of many it means.
    #[must_use]
    pub fn past_guard(self) -> Self {
        Self {
            past_guard: true,
            ..self
        }
    }

    /// Whether the popular-network guard takes nothing from it.
    pub fn is_past_guard(&self) -> bool {
        self.past_guard
    }

    /// Its identity.
    pub fn id(&self) -> ListId {
        self.id
    }

    /// Its name, for people.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it is for.
    pub fn kind(&self) -> ListKind {
        self.kind
    }

    /// The ports that it is about; nothing: packets to any port, and those to none.
    pub fn ports(&self) -> Option<&Ports> {
        self.ports.as_ref()
    }

    /// Whether its entries exempt from rules about ASNs and countries, whatever port packets are for. No
    /// list exempts from an operator's block of addresses.
    pub fn exempts_from_networks(&self) -> bool {
        let exempts = match self.kind {
            ListKind::Allow | ListKind::VerifiedCrawler => true,
            ListKind::Popular
            | ListKind::Category { .. }
            | ListKind::Only { .. }
            | ListKind::Admit
            | ListKind::Score { .. } => false,
        };
        exempts && self.ports.is_none()
    }

    /// How many prefixes it has.
    pub fn len(&self) -> usize {
        self.v4().len() + self.v6().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The prefixes with their scores, IPv4 before IPv6, each before all that it covers.
    pub fn entries(&self) -> impl Iterator<Item = (Prefix, Score)> {
        let v4 = self.v4().entries(0..self.v4().len()).map(Entry::prefix);
        let v6 = self.v6().entries(0..self.v6().len()).map(Entry::prefix);
        v4.chain(v6)
    }

    /// The prefixes that cover `address`, narrowest first.
    pub fn covering(&self, address: Address) -> impl Iterator<Item = (Prefix, Score)> {
        let host = Prefix::host(address.to_ip());
        let v4 = u32::of(host).map(|(first, bits)| self.v4().covering(first, bits));
        let v6 = u128::of(host).map(|(first, bits)| self.v6().covering(first, bits));
        let v4 = v4.into_iter().flatten().map(Entry::prefix);
        v4.chain(v6.into_iter().flatten().map(Entry::prefix))
    }

    pub(super) fn v4(&self) -> &Column<u32> {
        &self.columns.v4
    }

    pub(super) fn v6(&self) -> &Column<u128> {
        &self.columns.v6
    }
}

/// Without the entries, which may be millions.
impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("ports", &self.ports)
            .field("entries", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> List {
        let entries = texts.iter().map(|text| (text.parse().unwrap(), Score(1)));
        List::new(ListId(1), "test".into(), ListKind::Allow, entries)
    }

    fn texts(entries: impl Iterator<Item = (Prefix, Score)>) -> Vec<String> {
        entries.map(|(prefix, _)| prefix.to_string()).collect()
    }

    #[test]
    fn entries_are_sorted_and_families_apart() {
        let list = list(&[
            "10.0.0.9",
            "::/0",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "10.0.0.9",
            "2001:db8::/32",
        ]);
        let sorted = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.0.0.9",
            "::/0",
            "2001:db8::/32",
        ];
        assert_eq!(texts(list.entries()), sorted);
        assert_eq!(list.len(), 5);
    }

    #[test]
    fn of_a_prefix_that_is_there_twice_the_higher_score_counts() {
        let entry = |score| ("10.0.0.1".parse().unwrap(), Score(score));
        let kind = ListKind::Score {
            scope: Scope::Services,
            monitor: false,
        };
        let list = List::new(
            ListId(1),
            "test".into(),
            kind,
            [entry(3), entry(70), entry(5)],
        );
        assert_eq!(
            list.entries()
                .map(|(_, score)| score.get())
                .collect::<Vec<_>>(),
            [70]
        );
    }

    #[test]
    fn what_covers_an_address_is_found_narrowest_first() {
        let list = list(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.0/24",
            "10.1.3.0/24",
            "10.2.0.0/16",
            "::/0",
        ]);
        let covering = |text: &str| {
            let ip: std::net::IpAddr = text.parse().unwrap();
            texts(list.covering(ip.into()))
        };
        assert_eq!(
            covering("10.1.3.4"),
            ["10.1.3.0/24", "10.1.0.0/16", "10.0.0.0/8"]
        );
        assert_eq!(
            covering("10.1.2.255"),
            ["10.1.2.0/24", "10.1.0.0/16", "10.0.0.0/8"]
        );
        assert_eq!(covering("10.255.0.0"), ["10.0.0.0/8"]);
        assert!(covering("11.0.0.0").is_empty());
        assert_eq!(covering("2001:db8::1"), ["::/0"]);
    }

    #[test]
    fn the_hardest_tier_that_a_score_reaches_is_meant() {
        let tiers = Tiers {
            monitor: Some(Score(20)),
            throttle: None,
            challenge: Some(Score(60)),
            block: Some(Score(90)),
        };
        let actions = [0, 19, 20, 59, 60, 89, 90, 100].map(|score| tiers.action(Score(score)));
        let (pass, monitor) = (Action::Pass, Action::Monitor);
        let (challenge, drop) = (Action::Challenge, Action::Drop);
        assert_eq!(
            actions,
            [
                pass, pass, monitor, monitor, challenge, challenge, drop, drop
            ]
        );
        assert_eq!(Tiers::default().action(Score::MAX), Action::Pass);
    }
}
