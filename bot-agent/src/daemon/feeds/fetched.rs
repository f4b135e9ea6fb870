//! When feeds are due, and what becomes of what a fetch brought.

use super::{
    News,
    digest::{Work, digest},
    feed::{Digesting, since_boot},
};
use crate::{
    config::FeedSource,
    daemon::Daemon,
    feeds::{
        crowdsec::{Answer, Poll},
        fetch::{Done, FetchError, Fetched, Request, Validators},
        schedule::Random,
    },
    host,
};

impl Daemon {
    /// Begins to fetch what is due.
    pub(in crate::daemon) fn fetch_due(&mut self) {
        let now = host::now();
        let feeds = &mut self.feeds;
        for (name, feed) in &mut feeds.all {
            let waits = feed.digesting != Digesting::No || feeds.fetcher.is_running(name);
            if waits || feed.notes.paused || !feed.schedule.is_due(since_boot(now)) {
                continue;
            }
            let poll = match feed.config.source {
                FeedSource::CrowdSec(_) => feed.decisions.ask(now),
                FeedSource::File(_) | FeedSource::Http(_) => Poll::Whole,
            };
            let request = Request::of(&feed.config.source, feed.seen.clone(), poll);
            feeds.fetcher.start(name, request);
        }
    }

    /// Something of a feed has come to its end.
    pub(in crate::daemon) fn feed_news(&mut self, news: News) {
        match news {
            News::Fetched(done) => self.fetched(*done),
            News::Digested(name, Ok(digest)) => self.take_update(&name, *digest),
            News::Digested(name, Err(why)) => self.refuse(&name, &why),
        }
    }

    fn fetched(&mut self, done: Done) {
        let Done { name, outcome, .. } = done;
        match outcome {
            Err(error) => self.not_fetched(&name, &error),
            Ok(Fetched::NotModified) => self.not_modified(&name),
            Ok(Fetched::Body { bytes, validators }) => self.begin_digest(&name, bytes, validators),
            Ok(Fetched::Decisions(answer)) => self.decided(&name, &answer),
        }
    }

    fn not_fetched(&mut self, name: &str, error: &FetchError) {
        let now = host::now();
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return;
        };
        feed.schedule
            .failed(since_boot(now), error.retry_after, random());
        self.feed_fails(name, &error.to_string());
    }

    fn not_modified(&mut self, name: &str) {
        let now = host::now();
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return;
        };
        feed.schedule.succeeded(since_boot(now), random());
        let held = feed.held.as_ref().map(|held| held.why.clone());
        // A file that was refused is still the same file.
        let refused = feed.error.clone().filter(|_| feed.is_file());
        if refused.is_none() {
            // Its entries are in it now, whenever it was written.
            feed.is_unchanged(now);
            self.feed_is_well(name);
        }
        let why = refused.or(held);
        self.feed_done(name, why.as_deref().map_or(Ok("not changed"), Err));
    }

    fn begin_digest(&mut self, name: &str, bytes: Vec<u8>, validators: Validators) {
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return;
        };
        if feed.is_file() {
            feed.seen = Some(validators.clone());
        }
        feed.digesting = Digesting::Yes;
        let work = Work {
            config: feed.config.clone(),
            rails: self.config.rails,
            bytes,
            validators,
            before: feed.content.as_ref().and_then(|it| it.snapshot().cloned()),
            database: self.databases.shared(),
            folder: feed.folder.clone(),
            now: host::now(),
        };
        let name = name.to_owned();
        self.feeds
            .digests
            .spawn_blocking(move || (name, digest(work).map(Box::new)));
    }

    /// The content is none that can be used; what was in force stays.
    fn refuse(&mut self, name: &str, why: &str) {
        let now = host::now();
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return;
        };
        if !feed.is_digested(now) {
            return;
        }
        feed.schedule.failed(since_boot(now), None, random());
        self.feed_fails(name, &format!("the content is refused: {why}"));
    }

    fn decided(&mut self, name: &str, answer: &Answer) {
        let now = host::now();
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return;
        };
        feed.schedule.succeeded(since_boot(now), random());
        feed.decisions.apply(answer, now);
        feed.notes.checked = Some(now.wall);
        feed.notes.about.bad_lines = answer.bad;
        feed.notes.about.bad_shown = answer.shown.iter().map(ToString::to_string).collect();
        self.take_decisions(name);
    }

    /// Decisions end by themselves.
    pub(in crate::daemon) fn expire_feeds(&mut self) {
        let now = host::now();
        let mut lingered = false;
        for feed in self.feeds.all.values_mut() {
            lingered |= feed.expire(now);
        }
        if lingered {
            self.feeds.changed();
        }
        let ended = self.feeds.all.iter_mut();
        let ended = ended.filter_map(|(name, feed)| {
            let ended = feed.decisions.expire(now);
            ended.then(|| name.clone())
        });
        for name in ended.collect::<Vec<_>>() {
            self.take_decisions(&name);
        }
        self.tell_stale();
    }
}

/// Spreads fetches. What cannot be had is no reason not to fetch.
pub(super) fn random() -> Random {
    Random(host::random())
}
