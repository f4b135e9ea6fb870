//! One rule: what it is about, what to do with it, for how long, and who said so and why.

use std::{fmt, time::Duration};

use bot_common::abi::verdict;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    subject::{self, Subject},
    time::{Deadline, Now},
};

/// Longest reason of a rule, bytes.
pub const MAX_REASON: usize = 512;

/// Identity of a rule, never used twice within a store.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RuleId(pub u64);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Exempts from blocks.
    Allow,
    /// Drops, or would.
    Block,
}

/// Which packets a rule covers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every packet of the source.
    All,
    /// Packets to served ports and bare SYNs.
    Services,
}

impl From<Scope> for verdict::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::All => Self::All,
            Scope::Services => Self::Services,
        }
    }
}

/// Who stands behind a rule.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Origin {
    /// The agent itself keeps the address reachable; the name says what it is (gateway, dns, ...).
    Protected(String),
    /// A `[[rule]]` of the configuration.
    Config,
    /// The command line or the control socket.
    Operator,
    /// The agent itself, from traffic.
    Learned,
}

impl Origin {
    /// Whether the agent itself keeps the address reachable.
    pub fn is_protection(&self) -> bool {
        matches!(self, Self::Protected(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected(what) => write!(f, "protected ({what})"),
            Self::Config => f.write_str("config"),
            Self::Operator => f.write_str("operator"),
            Self::Learned => f.write_str("learned"),
        }
    }
}

/// A rule as it is stored and shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rule {
    /// Identity.
    pub id: RuleId,
    /// What it is about.
    #[serde(flatten, with = "subject::field")]
    pub subject: Subject,
    /// What to do.
    pub action: RuleAction,
    /// Which packets.
    pub scope: Scope,
    /// Only count and report, also in enforce mode.
    pub monitor: bool,
    /// The operator said `--force`: beats protection.
    pub forced: bool,
    /// When it ends; `None`: it does not.
    pub deadline: Option<Deadline>,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// Who.
    pub origin: Origin,
    /// When it was made.
    pub created: Timestamp,
}

impl Rule {
    /// Whether it takes the place of `other`, which is about the same: the same action and origin.
    pub fn replaces(&self, other: &Self) -> bool {
        self.action == other.action && self.origin == other.origin
    }

    /// Whether its deadline lies ahead, if it has one.
    pub fn is_live(&self, now: Now) -> bool {
        self.deadline.is_none_or(|deadline| !deadline.passed(now))
    }

    /// The rule with its deadline on the running boot's clock, no farther away than it was when
    /// the rule was made.
    #[must_use]
    pub fn rebased(self, now: Now) -> Self {
        let deadline = self.deadline.map(|deadline| {
            let whole = Duration::try_from(deadline.wall.duration_since(self.created));
            deadline.rebased(now, whole.unwrap_or(Duration::ZERO))
        });
        Self { deadline, ..self }
    }
}

/// A rule that has no identity yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    /// What it is about.
    pub subject: Subject,
    /// What to do.
    pub action: RuleAction,
    /// Which packets; meaningless for allow rules, which exempt from everything.
    pub scope: Scope,
    /// Only count and report.
    pub monitor: bool,
    /// Beats protection.
    pub forced: bool,
    /// When it ends.
    pub deadline: Option<Deadline>,
    /// Why.
    pub reason: String,
    /// Who.
    pub origin: Origin,
}

impl Draft {
    /// The rule with identity `id`, made `now`.
    pub fn into_rule(self, id: RuleId, now: Now) -> Rule {
        Rule {
            id,
            subject: self.subject,
            action: self.action,
            scope: self.scope,
            monitor: self.monitor,
            forced: self.forced,
            deadline: self.deadline,
            reason: self.reason,
            origin: self.origin,
            created: now.wall,
        }
    }

    /// Whether `rule` already says all this.
    pub fn says(&self, rule: &Rule) -> bool {
        let said = Self {
            subject: rule.subject,
            action: rule.action,
            scope: rule.scope,
            monitor: rule.monitor,
            forced: rule.forced,
            deadline: rule.deadline,
            reason: rule.reason.clone(),
            origin: rule.origin.clone(),
        };
        *self == said
    }
}
