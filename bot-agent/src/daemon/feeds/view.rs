//! Feeds as `feeds list`, `feeds show` and `status` tell of them.

use std::collections::BTreeMap;

use bot_common::abi::counter::Hits;

use super::{
    content::Content,
    feed::{Feed, since_boot},
};
use crate::{
    config::{Feed as Configured, FeedSource, Http, Role},
    control::{
        feeds::{FeedView, Health, HeldView, PreviousView},
        protocol::Failure,
    },
    daemon::Daemon,
    host,
    policy::{List, ListId},
    rules::time::Now,
};

/// Said of feeds with AS numbers where nobody can say which addresses they have.
const NO_DATABASE: &str =
    "its AS numbers and countries mean nothing without a database: set `database` in [asn]";

impl Daemon {
    /// All feeds, or one.
    pub(super) fn feed_views(&mut self, name: Option<&str>) -> Result<Vec<FeedView>, Failure> {
        let now = host::now();
        let hits = self.filter.list_hits();
        let hits = hits.map_err(|error| super::verbs::failed(error.to_string()))?;
        let enforced = self.filter.enforced();
        let feeds = self.feeds.all.iter();
        let feeds = feeds.filter(|(other, _)| name.is_none_or(|name| name == other.as_str()));
        Ok(feeds
            .map(|(_, feed)| self.feed_view(feed, &hits, enforced, now))
            .collect())
    }

    /// What an operator should look at.
    pub(in crate::daemon) fn feed_notes(&self) -> Vec<String> {
        let now = host::now().wall;
        let missed = self.config.rails.stale_after;
        let feeds = self.feeds.all.iter();
        feeds
            .filter_map(|(name, feed)| match &feed.held {
                Some(held) => Some(held.why.clone()),
                None if self.lacks_database(feed) => Some(format!("feed {name}: {NO_DATABASE}")),
                None if feed.is_stale(missed, now) => Some(format!(
                    "feed {name} has had no news for too long: see `bot-agent feeds show {name}`"
                )),
                None => None,
            })
            .collect()
    }

    fn feed_view(
        &self,
        feed: &Feed,
        hits: &BTreeMap<ListId, Hits>,
        in_force: &BTreeMap<ListId, usize>,
        now: Now,
    ) -> FeedView {
        let config = &feed.config;
        let about = &feed.notes.about;
        let content = feed.content.as_ref();
        let lists = self.filter.lists().iter();
        let own: Vec<_> = lists.filter(|list| is_of(list.name(), config)).collect();
        let mut sum = Hits::default();
        for found in own.iter().filter_map(|list| hits.get(&list.id())) {
            sum.packets = sum.packets.saturating_add(found.packets);
            sum.bytes = sum.bytes.saturating_add(found.bytes);
        }
        let (prefixes, enforced) = self.amount(feed, &own, in_force);
        let fetched = feed.fetched();
        let age = fetched.map(|fetched| now.wall.duration_since(fetched).as_secs());
        let left = feed
            .schedule
            .due()
            .saturating_sub(since_boot(now))
            .as_secs();
        let next = (!feed.notes.paused && !feed.is_file()).then_some(left);
        FeedView {
            name: config.name.clone(),
            source: source(&config.source),
            format: about.format.clone(),
            role: role(config),
            category: config.category.map(|category| category.name().to_owned()),
            group: config.group.clone(),
            state: self.health(feed, now),
            entries: content.map_or(0, Content::len),
            lingering: content.map_or(0, Content::lingering),
            prefixes,
            enforced,
            added: about.added,
            removed: about.removed,
            fetched,
            age_seconds: age.map(|age| u64::try_from(age).unwrap_or(0)),
            made: feed.made(),
            next_seconds: next,
            error: feed.error.clone().or_else(|| {
                let lacks = self.lacks_database(feed);
                lacks.then(|| NO_DATABASE.to_owned())
            }),
            held: feed.held.as_ref().map(|held| HeldView {
                entries: held.snapshot.len(),
                since: held.since,
                why: held.why.clone(),
            }),
            previous: feed
                .previous
                .map(|(entries, fetched)| PreviousView { entries, fetched }),
            bad_lines: about.bad_lines,
            bad_shown: about.bad_shown.clone(),
            thrown: about.thrown.clone(),
            hits: sum.into(),
        }
    }

    /// Whether entries mean nothing because there is no database that says who has which addresses.
    fn lacks_database(&self, feed: &Feed) -> bool {
        feed.notes.about.networks > 0 && self.databases.get().is_err()
    }

    /// Prefixes that should be in force, and that are. What is good for several ports counts once; what
    /// weighs is in the scores.
    fn amount(
        &self,
        feed: &Feed,
        own: &[&List],
        enforced: &BTreeMap<ListId, usize>,
    ) -> (usize, usize) {
        let content = feed.content.as_ref().map_or(0, Content::len);
        if let Role::Weigh(_) = feed.config.role {
            let in_force = self.filter.lag().is_none();
            return (content, if in_force { content } else { 0 });
        }
        let name = feed.config.name.as_str();
        let for_ports = |list: &List| {
            let rest = list.name().strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(':'))
        };
        let whole = own.iter().filter(|list| !for_ports(list));
        let mut counted: Vec<&&List> = whole.collect();
        if counted.is_empty() {
            counted.extend(own.first());
        }
        let lists = counted.iter();
        let in_force = lists.filter_map(|list| enforced.get(&list.id()));
        (counted.iter().map(|list| list.len()).sum(), in_force.sum())
    }

    fn health(&self, feed: &Feed, now: Now) -> Health {
        let missed = self.config.rails.stale_after;
        if feed.notes.paused {
            Health::Paused
        } else if feed.held.is_some() {
            Health::Held
        } else if feed.error.is_some() || self.lacks_database(feed) {
            Health::Failing
        } else if feed.is_stale(missed, now.wall) {
            Health::Stale
        } else if feed.content.is_none() {
            Health::Waiting
        } else {
            Health::Ok
        }
    }
}

/// Whether a list of the policy is a feed's: its own, one for some ports, one of a type of decisions.
fn is_of(list: &str, feed: &Configured) -> bool {
    match list.strip_prefix(feed.name.as_str()) {
        Some("") => true,
        Some(rest) => {
            let decisions = matches!(feed.source, FeedSource::CrowdSec(_));
            rest.starts_with(':') || decisions && matches!(rest, "-captcha" | "-throttle")
        }
        None => false,
    }
}

fn role(feed: &Configured) -> String {
    match feed.role {
        Role::Allow => "allow".to_owned(),
        Role::Guard => "guard".to_owned(),
        Role::Act(action) if feed.monitor => format!("{}, monitored", action.name()),
        Role::Act(action) => action.name().to_owned(),
        Role::Weigh(weight) => format!("weight {}", weight.get()),
        Role::ByCategory => "by category".to_owned(),
    }
}

/// Without a query, which may hold a key.
fn source(source: &FeedSource) -> String {
    let of_http = |http: &Http| {
        let url = http.url.split('?').next().unwrap_or_default();
        url.to_owned()
    };
    match source {
        FeedSource::File(path) => path.display().to_string(),
        FeedSource::Http(http) => of_http(http),
        FeedSource::CrowdSec(http) => format!("crowdsec {}", of_http(http)),
    }
}
