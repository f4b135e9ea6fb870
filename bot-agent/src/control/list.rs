//! What may be asked of `list`; which rules it shows, a page at a time, and how many there are of each kind.
//!
//! Pure. A page costs a bounded number of rules looked at, whatever the conditions, so that the
//! task that owns the rules is never held up. The cursor is a rule's id, and ids only grow: between
//! two pages rules may come and go, and every rule that was there all the time is shown once.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::entries::{EntryCount, EntryCursor};
use crate::rules::{
    prefix::Prefix,
    rule::{Origin, Rule, RuleAction, RuleId},
    set::RuleSet,
    subject::Subject,
};

/// Most rules of a page.
pub const PAGE: usize = 1_000;
/// Rules that are looked at for one page.
const LOOKED_AT: usize = 20_000;

/// Which rules to list.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<RuleAction>,
    /// Only rules of this origin; protection is among them only by name, or with `protected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginName>,
    /// Only entries of the list of this name; the same as the origin `list`, of one list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// Only rules about addresses of this family; an ASN or a country has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Only rules that overlap this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlaps: Option<Prefix>,
    /// Only rules all of whose addresses are in this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Prefix>,
    /// Also what the agent protects by itself.
    #[serde(default, skip_serializing_if = "super::protocol::is_false")]
    pub protected: bool,
    /// Only the numbers.
    #[serde(default, skip_serializing_if = "super::protocol::is_false")]
    pub summary: bool,
    /// Only rules after this one: where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RuleId>,
    /// Of entries of lists: only those behind this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_entry: Option<EntryCursor>,
    /// At most so many rules or entries, and where to go on; nothing: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// An origin as conditions name it.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum OriginName {
    /// The command line or the control socket.
    Operator,
    /// A `[[rule]]` of the configuration.
    Config,
    /// What the agent keeps reachable by itself.
    Protected,
    /// The agent itself, from traffic.
    Learned,
    /// A `[[list]]` of the configuration: no rules, but its entries.
    List,
}

/// An address family; in JSON its number.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, clap::ValueEnum,
)]
#[serde(into = "u8", try_from = "u8")]
pub enum Family {
    /// IPv4.
    #[value(name = "4")]
    V4,
    /// IPv6.
    #[value(name = "6")]
    V6,
}

/// Part of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page<'a> {
    /// The rules, oldest identity first; may be none although more follow.
    pub rules: Vec<&'a Rule>,
    /// After which rule to go on; nothing: this was all.
    pub next: Option<RuleId>,
}

/// How many rules, and entries of lists, there are.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// All rules that meet the conditions.
    pub rules: usize,
    /// The same by origin, action and family; kinds without a rule are left out.
    pub counts: Vec<Count>,
    /// All entries of lists that meet the conditions.
    #[serde(default)]
    pub entries: usize,
    /// The same by list, action and family; kinds without an entry are left out.
    #[serde(default)]
    pub lists: Vec<EntryCount>,
    /// Why the kernel's table is not what the rules say; nothing: it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<String>,
}

/// Rules of one kind.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Count {
    /// Who made them.
    pub origin: OriginName,
    /// Allow or block.
    pub action: RuleAction,
    /// The family; nothing: rules about ASNs and countries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// How many.
    pub rules: usize,
}

impl List {
    /// Whether entries of lists are asked for, not rules.
    pub fn is_of_entries(&self) -> bool {
        self.list.is_some() || self.origin == Some(OriginName::List)
    }

    /// What is wrong with the conditions, given the names of all lists that are configured.
    pub fn objection<'a>(&self, lists: impl Iterator<Item = &'a str>) -> Option<String> {
        if self.list.is_some() && self.origin.is_some_and(|origin| origin != OriginName::List) {
            return Some("a list has entries and no rules: leave out the origin".into());
        }
        if self.after.is_some() && self.is_of_entries() {
            return Some("entries of lists go on behind `after_entry`, not `after`".into());
        }
        if self.after_entry.is_some() && !self.is_of_entries() {
            return Some("rules go on behind `after`, not `after_entry`".into());
        }
        // A list that is gone when its next page is asked for has no more entries.
        let name = self.list.as_ref().filter(|_| self.after_entry.is_none())?;
        let lists: Vec<&str> = lists.collect();
        if lists.contains(&name.as_str()) {
            return None;
        }
        let name = name.escape_debug();
        Some(if lists.is_empty() {
            format!("there is no list `{name}`, nor any other: the configuration has no `[[list]]`")
        } else {
            format!("there is no list `{name}`; there are: {}", lists.join(", "))
        })
    }

    /// Whether `rule` meets the conditions. Without one on origins, protection meets them only if
    /// `protected` says so.
    pub fn selects(&self, rule: &Rule) -> bool {
        let origin = OriginName::of(&rule.origin);
        let shown = match self.origin {
            Some(wanted) => origin == wanted,
            None => self.protected || origin != OriginName::Protected,
        };
        shown && self.meets_others(rule)
    }

    fn meets_others(&self, rule: &Rule) -> bool {
        let subject = rule.subject;
        let prefix = subject.prefix();
        let with = |wanted: Option<Prefix>, fits: fn(Prefix, Prefix) -> bool| {
            wanted.is_none_or(|wanted| prefix.is_some_and(|prefix| fits(wanted, prefix)))
        };
        self.action.is_none_or(|action| rule.action == action)
            && self
                .family
                .is_none_or(|family| Family::of(subject) == Some(family))
            && with(self.within, Prefix::covers)
            && with(self.overlaps, |wanted, prefix| {
                wanted.covers(prefix) || prefix.covers(wanted)
            })
    }

    /// The next rules that meet the conditions: `limit` at most, and never more than [`PAGE`].
    pub fn page<'a>(&self, rules: &'a RuleSet) -> Page<'a> {
        let limit = self.limit.unwrap_or(PAGE).clamp(1, PAGE);
        let mut page = Page {
            rules: Vec::new(),
            next: None,
        };
        let mut last = None;
        for (looked_at, rule) in rules.after(self.after).enumerate() {
            if page.rules.len() == limit || looked_at == LOOKED_AT {
                page.next = last;
                break;
            }
            last = Some(rule.id);
            if self.selects(rule) {
                page.rules.push(rule);
            }
        }
        page
    }

    /// How many rules meet the conditions (entries of lists are counted elsewhere), those of every origin unless one is named. Looks at all
    /// rules: a million of them take some hundredths of a second.
    pub fn summarize(&self, rules: &RuleSet) -> Summary {
        let everything = Self {
            protected: true,
            ..self.clone()
        };
        let mut counts: BTreeMap<(OriginName, bool, Option<Family>), usize> = BTreeMap::new();
        for rule in rules.iter().filter(|rule| everything.selects(rule)) {
            let allows = rule.action == RuleAction::Allow;
            let kind = (
                OriginName::of(&rule.origin),
                allows,
                Family::of(rule.subject),
            );
            *counts.entry(kind).or_default() += 1;
        }
        let counts = counts
            .into_iter()
            .map(|((origin, allows, family), rules)| Count {
                origin,
                action: if allows {
                    RuleAction::Allow
                } else {
                    RuleAction::Block
                },
                family,
                rules,
            });
        let counts: Vec<Count> = counts.collect();
        Summary {
            rules: counts.iter().map(|count| count.rules).sum(),
            counts,
            ..Summary::default()
        }
    }
}

impl OriginName {
    /// The name of an origin.
    pub fn of(origin: &Origin) -> Self {
        match origin {
            Origin::Protected(_) => Self::Protected,
            Origin::Config => Self::Config,
            Origin::Operator => Self::Operator,
            Origin::Learned => Self::Learned,
        }
    }
}

impl fmt::Display for OriginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Config => "config",
            Self::Protected => "protected",
            Self::Learned => "learned",
            Self::List => "list",
        })
    }
}

impl Family {
    /// The family of what a rule is about.
    pub fn of(subject: Subject) -> Option<Self> {
        subject.prefix().map(Self::of_prefix)
    }

    /// The family of a prefix.
    pub fn of_prefix(prefix: Prefix) -> Self {
        if prefix.is_v4() { Self::V4 } else { Self::V6 }
    }
}

impl From<Family> for u8 {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => 4,
            Family::V6 => 6,
        }
    }
}

impl TryFrom<u8> for Family {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, &'static str> {
        match number {
            4 => Ok(Self::V4),
            6 => Ok(Self::V6),
            _ => Err("an address family is 4 or 6"),
        }
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
