//! What may be asked of feeds, and what is answered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::view::HitsView;
use crate::feeds::rails::Thrown;
pub use crate::feeds::reputation::Amount;

/// What to do with feeds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Feeds {
    /// What.
    #[serde(rename = "do")]
    pub verb: Verb,
    /// With which; nothing: all, where that has a meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of an overlap: the other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
}

/// What can be done with feeds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Take the update that is held.
    Accept,
    /// Show all, or one.
    List,
    /// Say what two feeds have in common.
    Overlap,
    /// Take no more updates; what is in force stays.
    Pause,
    /// Fetch now.
    Refresh,
    /// Take updates again.
    Resume,
    /// Put what was in force before the last update into force again, and pause.
    Rollback,
}

/// How a feed is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// In force and current.
    Ok,
    /// Never fetched yet.
    Waiting,
    /// An update waits to be accepted.
    Held,
    /// An operator said to take no updates.
    Paused,
    /// The publisher has had no news for too long.
    Stale,
    /// The last fetch did not succeed; what is in force stays.
    Failing,
}

/// A feed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FeedView {
    /// Its name.
    pub name: String,
    /// Where it comes from, without secrets.
    pub source: String,
    /// The format of its last content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What it is good for: an action, `weight N` or `by category`.
    pub role: String,
    /// What kind of sources it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Feeds of one group count once.
    pub group: String,
    /// How it is.
    pub state: Health,
    /// Entries that should be in force, those that linger included.
    pub entries: usize,
    /// Of these: gone from the feed, and kept for its grace.
    pub lingering: usize,
    /// Prefixes that these entries are; ASNs and countries have many.
    pub prefixes: usize,
    /// Prefixes that the kernel's table was last made of. Both agree unless the kernel refused.
    pub enforced: usize,
    /// Entries that came with the last update.
    pub added: usize,
    /// Entries that went.
    pub removed: usize,
    /// When it was last fetched with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Timestamp>,
    /// Seconds since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// When the publisher made it, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Timestamp>,
    /// Seconds until it is fetched again; nothing: it is not, or right now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_seconds: Option<u64>,
    /// Why the last fetch gave nothing; nothing: it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The update that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldView>,
    /// What `rollback` would put into force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousView>,
    /// Lines of the last content that could not be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bad_lines: usize,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad_shown: Vec<String>,
    /// Entries of the last content that were thrown out, by reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thrown: Vec<ThrownView>,
    /// What its entries matched so far, where they decided.
    pub hits: HitsView,
}

/// An update that waits to be accepted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HeldView {
    /// Its entries.
    pub entries: usize,
    /// Since when.
    pub since: Timestamp,
    /// Why, and what to do.
    pub why: String,
}

/// What was in force before the last update.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PreviousView {
    /// Its entries.
    pub entries: usize,
    /// When it was fetched.
    pub fetched: Timestamp,
}

/// Entries that were thrown out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ThrownView {
    /// Why.
    pub why: String,
    /// How many.
    pub count: usize,
    /// The first of them.
    pub examples: Vec<String>,
}

/// What two feeds have in common.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct OverlapView {
    /// One.
    pub one: OverlapSide,
    /// The other.
    pub other: OverlapSide,
    /// What both have: entries just so, and addresses.
    pub common: Amount,
}

/// A feed in an overlap.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct OverlapSide {
    /// Its name.
    pub name: String,
    /// What it has.
    pub amount: Amount,
}

impl Feeds {
    /// Something that is done with all feeds, or with one.
    pub fn with(verb: Verb, name: Option<String>) -> Self {
        Self {
            verb,
            name,
            other: None,
        }
    }
}

impl ThrownView {
    /// The same in words.
    pub fn of(thrown: &Thrown) -> Self {
        Self {
            why: thrown.why.to_string(),
            count: thrown.count,
            examples: thrown.shown.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Health {
    /// Its word in tables and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Paused => "paused",
            Self::Stale => "stale",
            Self::Failing => "failing",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}
