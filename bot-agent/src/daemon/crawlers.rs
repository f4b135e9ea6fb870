//! Crawlers that are verified by DNS: who is asked about, and what the policy makes of them.
//!
//! Each category of theirs is as a feed of that category would be, so that a `[[policy]]` decides.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use bot_common::address::Address;

use super::Daemon;
use crate::{
    config::{Crawlers as Configured, Feed, FeedSource, Role, Verify},
    feeds::{
        category::Category,
        crawler::{
            desk::{Asked, Limits},
            index::{Crawlers, Index},
            resolver::{Options, Verifier},
            verify::{Finding, Outcome},
        },
        entry::{Entry, Parsed},
        snapshot::Snapshot,
    },
    rules::{prefix::Prefix, rule::Scope, time::Now},
};

/// Waits for a finding; for ever while nobody is asked.
pub(super) async fn found(verifier: Option<&mut Verifier>) -> Finding {
    match verifier {
        Some(verifier) => verifier.found().await,
        None => std::future::pending().await,
    }
}

/// Begins to verify, if that is wanted.
pub(super) fn verifier(config: &Configured) -> Result<Option<Verifier>, String> {
    if config.verify == Verify::Off {
        return Ok(None);
    }
    let mut crawlers = Crawlers::built_in();
    if let Some(file) = &config.index {
        crawlers = crawlers.with(index(file)?);
    }
    let options = Options {
        server: config.resolver,
        limits: Limits {
            per_second: config.queries_per_second,
            ..Limits::default()
        },
        ..Options::default()
    };
    let verifier = Verifier::start(crawlers, options);
    verifier.map(Some).map_err(|error| error.to_string())
}

fn index(file: &Path) -> Result<Index, String> {
    let bytes = fs::read(file).map_err(|error| format!("reading {}: {error}", file.display()))?;
    Index::read(&bytes).map_err(|error| format!("{}: {error}", file.display()))
}

impl Daemon {
    /// Verifies as configured from now on. Whoever was verified has to be verified again.
    pub(super) fn follow_crawlers(&mut self) {
        match verifier(&self.config.crawlers) {
            Ok(verifier) => {
                self.verifier = verifier;
                self.trouble("verifying crawlers", None);
            }
            Err(why) => self.trouble("verifying crawlers", Some(why)),
        }
        // The lists follow at the next tick.
    }

    /// Asks who a source is that says hello, or that a feed would drop.
    pub(super) fn ask_who(&mut self, source: Address) {
        if let Some(verifier) = &mut self.verifier {
            // What is known already, or too much at the moment, is no news.
            let _: Asked = verifier.ask(source);
        }
    }

    /// Somebody is found out. The lists follow at the next tick.
    pub(super) fn found_out(finding: &Finding) {
        if let Outcome::Verified(crawler) = &finding.outcome {
            tracing::debug!("{} is {}", finding.address.to_ip(), crawler.name);
        }
    }

    /// Who is verified now, by category.
    pub(super) fn verified(&self, now: Now) -> Vec<(Feed, Arc<Snapshot>)> {
        let mut by_category: BTreeMap<Category, Vec<Entry>> = BTreeMap::new();
        let verified = self.verifier.iter().flat_map(Verifier::verified);
        for (address, crawler, _) in verified {
            let prefix = Prefix::host(address.to_ip());
            let entries = by_category.entry(crawler.category).or_default();
            entries.push(Entry::sure(prefix.into()));
        }
        let feeds = by_category.into_iter().map(|(category, entries)| {
            let parsed = Parsed {
                entries,
                ..Parsed::default()
            };
            let feed = as_feed(category);
            let (snapshot, _) = Snapshot::next(None, &parsed, now.wall, feed.grace);
            (feed, Arc::new(snapshot))
        });
        feeds.collect()
    }
}

/// The verified crawlers of a category.
fn as_feed(category: Category) -> Feed {
    let name = format!("verified:{category}");
    Feed {
        group: name.clone(),
        name,
        source: FeedSource::File("/".into()),
        format: None,
        every: Duration::from_hours(24),
        role: Role::ByCategory,
        category: Some(category),
        min_confidence: 0,
        half_life: None,
        grace: Duration::ZERO,
        scope: Scope::Services,
        monitor: false,
        loosen: BTreeSet::new(),
    }
}
