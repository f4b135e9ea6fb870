//! The feeds that the agent follows: what is known of each, what is on its way, and what that does to
//! the table.
//!
//! The way of an update: due ([`Daemon::fetch_due`]), fetched ([`Daemon::feed_news`]), digested beside the
//! loop ([`digest`]), then taken, held or refused (`take`). Invariant: a feed's entries in force are
//! those of the update that was last taken, in the table, in memory and, but for the instant between two
//! renames, on the disk.

mod content;
mod digest;
mod feed;
mod fetched;
mod follow;
mod lists;
mod refresh;
mod take;
mod verbs;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::task::{JoinError, JoinSet};

use self::{
    content::Content,
    digest::Digest,
    feed::{Digesting, Feed},
    refresh::Refresh,
};
#[cfg(doc)]
use super::Daemon;
use crate::{
    config::Feed as Configured,
    feeds::{
        fetch::{Done, Fetcher},
        reputation::Told,
        snapshot::Snapshot,
    },
};

/// How often it is looked whether a feed is due. Files are looked at each time.
pub(super) const PERIOD: Duration = Duration::from_millis(250);

/// The verified crawlers of a category, as a feed.
pub(super) type Verified = (Configured, Arc<Snapshot>);

/// All feeds.
pub(super) struct Feeds {
    state_dir: PathBuf,
    all: BTreeMap<String, Feed>,
    fetcher: Fetcher,
    digests: JoinSet<(String, Result<Box<Digest>, String>)>,
    refreshes: Vec<Refresh>,
    /// Crawlers that are verified, a feed for each category.
    verified: Vec<Verified>,
    /// When the lists were last made of all this, on the boot clock; nothing: they are to be made anew.
    made_ns: Option<u64>,
    /// Those that were told to be stale.
    stale: BTreeSet<String>,
}

/// Something that has come to its end.
pub(super) enum News {
    /// A fetch.
    Fetched(Box<Done>),
    /// A content is understood, or cannot be.
    Digested(String, Result<Box<Digest>, String>),
}

impl Feeds {
    /// No feed yet. `credentials` is the folder of systemd's credentials.
    pub(super) fn new(state_dir: &Path, credentials: Option<&Path>) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            all: BTreeMap::new(),
            fetcher: Fetcher::new(credentials),
            digests: JoinSet::new(),
            refreshes: Vec::new(),
            verified: Vec::new(),
            made_ns: None,
            stale: BTreeSet::new(),
        }
    }

    /// Waits for something to come to its end; for ever while nothing is under way.
    pub(super) async fn news(&mut self) -> News {
        loop {
            tokio::select! {
                done = self.fetcher.done() => return News::Fetched(Box::new(done)),
                Some(joined) = self.digests.join_next() => match joined {
                    Ok((name, digest)) => return News::Digested(name, digest),
                    Err(error) => self.lost(&error),
                },
            }
        }
    }

    /// A digest that broke: a bug, told when the feed is looked at.
    fn lost(&mut self, error: &JoinError) {
        tracing::error!("understanding a feed broke: {error}; this is a bug of the agent");
        // Which one it was is not said. None is digested any more once this set is empty.
        if self.digests.is_empty() {
            for feed in self.all.values_mut() {
                feed.digesting = Digesting::No;
            }
        }
    }

    /// The lists are to be made anew, at the next tick.
    pub(super) fn changed(&mut self) {
        self.made_ns = None;
    }

    /// Crawlers are verified, or not any more.
    pub(super) fn set_verified(&mut self, verified: Vec<Verified>) {
        self.verified = verified;
    }

    /// Whether these are verified, and nobody else.
    pub(super) fn are_verified(&self, verified: &[Verified]) -> bool {
        let same = |(one, other): (&Verified, &Verified)| {
            let subjects = one.1.entries().map(|known| known.subject);
            one.0 == other.0 && subjects.eq(other.1.entries().map(|known| known.subject))
        };
        self.verified.len() == verified.len() && self.verified.iter().zip(verified).all(same)
    }

    /// What all feeds say.
    pub(super) fn all_told(&self) -> Vec<Told<'_>> {
        self.told(None)
    }

    /// What all feeds say; `changed` has this content in place of its own.
    fn told<'a>(&'a self, changed: Option<(&str, &'a Content)>) -> Vec<Told<'a>> {
        let mut told: Vec<Told<'_>> = Vec::new();
        for (name, feed) in &self.all {
            let content = match changed {
                Some((other, content)) if other == name => Some(content),
                Some(_) | None => feed.content.as_ref(),
            };
            told.extend(
                content
                    .into_iter()
                    .flat_map(|content| content.told(&feed.config)),
            );
        }
        let verified = self.verified.iter();
        told.extend(verified.map(|(feed, snapshot)| Told { feed, snapshot }));
        told
    }
}
