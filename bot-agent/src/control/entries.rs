//! Which entries of `[[list]]`s `list` shows, a page at a time, and how many there are of each kind.
//!
//! Pure. A page costs a bounded number of entries looked at. The cursor is a list's name and an
//! entry of it: lists come by name and their entries in order, so between two pages any list may be
//! read anew, come or go, and every entry that was there all the time is shown once.

use std::{collections::BTreeMap, fmt};

use bot_common::abi::verdict::Action;
use serde::{Deserialize, Serialize};

use super::list::{Family, List, OriginName, PAGE};
use crate::{
    policy::{self, ListKind, Score, Selection, Tiers},
    rules::{
        prefix::Prefix,
        rule::{RuleAction, Scope},
    },
};

/// Entries that are looked at for one page.
const LOOKED_AT: usize = 20_000;

/// The lists, and what scores lead to.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// The lists, in any order.
    pub lists: &'a [policy::List],
    /// From which score on what happens.
    pub tiers: Tiers,
}

/// An entry of a list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EntryView {
    /// What it is about.
    pub prefix: Prefix,
    /// What happens to its packets, unless something else decides.
    pub action: EntryAction,
    /// Which packets.
    pub scope: Scope,
    /// The list's name.
    pub list: String,
    /// How bad it is, in lists with scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// Only counts and reports.
    #[serde(default, skip_serializing_if = "super::protocol::is_false")]
    pub monitor: bool,
}

/// What an entry does: `allow` and `block` as in rules, all else as the kernel's verdicts are called.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryAction {
    /// Drops.
    Block,
    /// Exempts.
    Allow,
    /// Asks for a proof.
    Challenge,
    /// Refuses with an answer.
    Reject,
    /// Slows down.
    Throttle,
    /// Counts and reports.
    Monitor,
    /// Nothing: a score below all tiers, for one.
    Pass,
}

/// Where a page ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EntryCursor {
    /// The list's name.
    pub list: String,
    /// The last entry that was looked at.
    pub prefix: Prefix,
}

/// Some of the entries.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EntryPage {
    /// The entries, by list, then in order; may be none although more follow.
    pub entries: Vec<EntryView>,
    /// Behind which entry to go on; nothing: this was all.
    pub next: Option<EntryCursor>,
}

/// Entries of one kind.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EntryCount {
    /// Always [`OriginName::List`].
    pub origin: OriginName,
    /// The list's name.
    pub list: String,
    /// What they do.
    pub action: EntryAction,
    /// Their family.
    pub family: Family,
    /// How many.
    pub entries: usize,
}

impl List {
    /// The next entries that meet the conditions: `limit` at most, and never more than [`PAGE`].
    pub fn entries(&self, lists: Lists<'_>) -> EntryPage {
        let limit = self.limit.unwrap_or(PAGE).clamp(1, PAGE);
        let after = self.after_entry.as_ref();
        let mut page = EntryPage::default();
        let mut last: Option<(&policy::List, Prefix)> = None;
        let mut looked_at = 0;
        for list in self.selected_lists(lists) {
            let here = after.filter(|after| after.list == **list.name());
            let selected = list.select(self.selection(), here.map(|after| after.prefix));
            for (prefix, score) in selected {
                if page.entries.len() == limit || looked_at == LOOKED_AT {
                    page.next = last.map(|(list, prefix)| EntryCursor {
                        list: list.name().to_string(),
                        prefix,
                    });
                    return page;
                }
                looked_at += 1;
                last = Some((list, prefix));
                let entry = EntryView::of(list, prefix, score, lists.tiers);
                if self.wants(entry.action) {
                    page.entries.push(entry);
                }
            }
        }
        page
    }

    /// How many entries meet the conditions. Looks at all of them: a million take some hundredths of
    /// a second.
    pub fn count_entries(&self, lists: Lists<'_>) -> Vec<EntryCount> {
        let mut counts = Vec::new();
        for list in self.selected_lists(lists) {
            let mut of_list: BTreeMap<(EntryAction, Family), usize> = BTreeMap::new();
            for (prefix, score) in list.select(self.selection(), None) {
                let kind = (
                    EntryAction::of(list.kind(), score, lists.tiers),
                    Family::of_prefix(prefix),
                );
                *of_list.entry(kind).or_default() += 1;
            }
            let wanted = of_list.into_iter();
            let wanted = wanted.filter(|((action, _), _)| self.wants(*action));
            counts.extend(wanted.map(|((action, family), entries)| EntryCount {
                origin: OriginName::List,
                list: list.name().to_string(),
                action,
                family,
                entries,
            }));
        }
        counts
    }

    /// By name, those from the cursor's on. No two lists have one name.
    fn selected_lists<'a>(&self, lists: Lists<'a>) -> Vec<&'a policy::List> {
        let from = self.after_entry.as_ref().map(|after| after.list.as_str());
        let mut selected: Vec<&policy::List> = lists
            .lists
            .iter()
            .filter(|list| {
                self.list
                    .as_ref()
                    .is_none_or(|name| **list.name() == **name)
            })
            .filter(|list| from.is_none_or(|from| from <= &**list.name()))
            .collect();
        selected.sort_unstable_by_key(|list| list.name());
        selected
    }

    fn selection(&self) -> Selection {
        Selection {
            v4: self.family != Some(Family::V6),
            v6: self.family != Some(Family::V4),
            within: self.within,
            overlaps: self.overlaps,
        }
    }

    fn wants(&self, action: EntryAction) -> bool {
        self.action.is_none_or(|wanted| action == wanted.into())
    }
}

impl EntryView {
    fn of(list: &policy::List, prefix: Prefix, badness: Score, tiers: Tiers) -> Self {
        let (scope, monitor) = match list.kind() {
            ListKind::Allow | ListKind::VerifiedCrawler | ListKind::Popular | ListKind::Admit => {
                (Scope::All, false)
            }
            ListKind::Only { monitor } => (Scope::All, monitor),
            ListKind::Category { scope, monitor, .. } | ListKind::Score { scope, monitor } => {
                (scope, monitor)
            }
        };
        let scored = matches!(list.kind(), ListKind::Score { .. });
        Self {
            prefix,
            action: EntryAction::of(list.kind(), badness, tiers),
            scope,
            list: list.name().to_string(),
            score: scored.then_some(badness.get()),
            monitor,
        }
    }
}

impl EntryAction {
    fn of(kind: ListKind, score: Score, tiers: Tiers) -> Self {
        let action = match kind {
            ListKind::Allow | ListKind::VerifiedCrawler | ListKind::Popular | ListKind::Admit => {
                return Self::Allow;
            }
            ListKind::Only { .. } => Action::Drop,
            ListKind::Category { action, .. } => action,
            ListKind::Score { .. } => tiers.action(score),
        };
        match action {
            Action::Drop => Self::Block,
            Action::Challenge => Self::Challenge,
            Action::Reject => Self::Reject,
            Action::Throttle => Self::Throttle,
            Action::Monitor => Self::Monitor,
            Action::Pass => Self::Pass,
        }
    }
}

impl From<RuleAction> for EntryAction {
    fn from(action: RuleAction) -> Self {
        match action {
            RuleAction::Allow => Self::Allow,
            RuleAction::Block => Self::Block,
        }
    }
}

impl fmt::Display for EntryAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Challenge => "challenge",
            Self::Monitor => "monitor",
            Self::Pass => "pass",
            Self::Reject => "reject",
            Self::Throttle => "throttle",
        })
    }
}

#[cfg(test)]
#[path = "entries_tests.rs"]
mod tests;
