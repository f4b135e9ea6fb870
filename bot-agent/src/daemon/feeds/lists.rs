//! From what all feeds say to lists of the policy in force, and what speaks against them.

use std::time::Duration;

use bot_common::address::Address;

use super::content::Content;
use crate::{
    control::protocol::Failure,
    daemon::{Daemon, fronts},
    feeds::{
        rail::Rail,
        rails::{Hold, newly_dropped},
        reputation::{self, Evidence, evidence},
    },
    host,
    policy::{Inputs, List},
    rules::time::Now,
};

/// How often the lists are made anew without an update.
const RENEW: Duration = Duration::from_mins(10);

impl Daemon {
    /// The lists of files, of proxies and of all feeds.
    pub(in crate::daemon) fn all_lists(&mut self, now: Now) -> Vec<List> {
        self.lists_with(None, now)
    }

    /// The same; `changed` has this content in place of its own.
    pub(super) fn lists_with(&mut self, changed: Option<(&str, &Content)>, now: Now) -> Vec<List> {
        let database = self.databases.get().ok();
        let ids = &mut self.list_ids;
        let told = self.feeds.told(changed);
        let policies = &self.config.policies;
        let of_feeds = reputation::lists(&told, policies, database, now.wall, &mut |name| {
            ids.of(name)
        });
        let mut lists = self.file_lists.clone();
        let proxies = &self.config.proxies;
        lists.extend(fronts::lists(proxies, &lists, &told, database, ids));
        lists.extend(of_feeds);
        lists
    }

    /// What feeds say about an address.
    pub(in crate::daemon) fn evidence(&self, address: Address, now: Now) -> Evidence {
        let told = self.feeds.told(None);
        let database = self.databases.get().ok();
        evidence(&told, address, database, self.config.tiers, now.wall)
    }

    /// Makes the lists anew where time has changed what feeds say: scores decay, what lingered goes,
    /// crawlers are verified.
    pub(in crate::daemon) fn renew_feeds(&mut self) {
        let now = host::now();
        let verified = self.verified(now);
        if !self.feeds.are_verified(&verified) {
            self.feeds.set_verified(verified);
            self.feeds.changed();
        }
        let period = u64::try_from(RENEW.as_nanos()).unwrap_or(u64::MAX);
        let is_fresh = |made: u64| now.boot_ns.saturating_sub(made) < period;
        if self.feeds.made_ns.is_some_and(is_fresh) {
            return;
        }
        self.feeds.made_ns = Some(now.boot_ns);
        let lists = self.all_lists(now);
        let result = self.put_lists(lists, now);
        let message = result.err().map(|failure| failure.to_string());
        self.trouble("making the lists of feeds anew", message);
    }

    /// Puts other lists into force; an error leaves everything as it was.
    pub(super) fn put_lists(&mut self, lists: Vec<List>, now: Now) -> Result<(), Failure> {
        let configured = self.configured(&self.config.clone(), lists);
        self.filter.configure(configured, now).map(drop)
    }

    /// Why sources known to be good speak against lists; nothing: they do not.
    pub(super) fn objection_of_known_good(
        &self,
        name: &str,
        lists: &[List],
        now: Now,
    ) -> Option<Hold> {
        let feed = self.feeds.all.get(name)?;
        if feed.config.loosen.contains(&Rail::KnownGood) {
            return None;
        }
        let before = self.filter.inputs();
        let after = Inputs { lists, ..before };
        let good = self.known_good.iter().map(|(address, _)| address);
        let dropped = newly_dropped(&before, &after, good, now);
        let limit = usize::try_from(self.config.rails.known_good).unwrap_or(usize::MAX);
        (dropped.len() > limit).then(|| Hold::KnownGood {
            dropped: dropped.into_iter().map(|address| address.to_ip()).collect(),
            limit,
        })
    }
}
