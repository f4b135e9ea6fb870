//! Feeds: from the `[[feed]]`s and what belongs to them to what is to be fetched and what it is good
//! for.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use crate::{
    feeds::{category::Category, rail::Rail},
    policy::Score,
    rules::rule::Scope,
};

/// A `[[feed]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Feed {
    /// Its name, told apart from those of all other feeds and lists.
    pub name: String,
    /// Where it comes from.
    pub source: FeedSource,
    /// Name of its format; nothing: found out from the content.
    pub format: Option<String>,
    /// How often it is fetched.
    pub every: Duration,
    /// What its entries are good for.
    pub role: Role,
    /// What kind of sources it names.
    pub category: Option<Category>,
    /// Feeds that copy each other share one; its own name unless configured.
    pub group: String,
    /// Entries of which the publisher is less sure are left out, 0 to 100.
    pub min_confidence: u8,
    /// Time after which an entry that was not seen again weighs half.
    pub half_life: Option<Duration>,
    /// How long an entry stays after it was last seen in the feed.
    pub grace: Duration,
    /// Which packets.
    pub scope: Scope,
    /// Only count and report.
    pub monitor: bool,
    /// Rails that it is trusted to go without.
    pub loosen: BTreeSet<Rail>,
}

/// Where a feed comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FeedSource {
    /// A file of this host.
    File(PathBuf),
    /// A web server.
    Http(Http),
    /// A `CrowdSec` Local API, of which decisions are asked as a bouncer does.
    CrowdSec(Http),
}

/// How to ask a web server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Http {
    /// `http://` or `https://`.
    pub url: String,
    /// Names of header fields, and files with their secret values.
    pub headers: Vec<(String, PathBuf)>,
    /// A file with a bearer token.
    pub bearer: Option<PathBuf>,
    /// A file with `user:password`.
    pub basic: Option<PathBuf>,
    /// A file with certificates (PEM) to believe besides the system's.
    pub ca: Option<PathBuf>,
    /// For the whole answer.
    pub timeout: Duration,
    /// Longest body, packed and unpacked.
    pub max_bytes: u64,
}

/// What the entries of a feed are good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// They are exempt from feeds, ASN and country rules.
    Allow,
    /// Too many people share them: exempt from feeds and scores.
    Guard,
    /// This happens to their packets.
    Act(FeedAction),
    /// Evidence of this weight.
    Weigh(Score),
    /// What the policy for its category says.
    ByCategory,
}

/// What happens to sources that a feed names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FeedAction {
    /// Counted and reported.
    Monitor,
    /// Slowed down.
    Throttle,
    /// Passed on, to be challenged by a proxy.
    Challenge,
    /// Dropped.
    Block,
}
