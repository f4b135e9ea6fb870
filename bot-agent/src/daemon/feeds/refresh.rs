//! Who waits for the end of a fetch, and what feeds are in trouble.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::feed::since_boot;
use crate::{
    control::{
        protocol::{Failure, FailureCode, Response},
        server::Answer,
    },
    daemon::Daemon,
    event::FeedWhat,
    host,
};

/// A `feeds refresh` that is not answered yet.
pub(super) struct Refresh {
    missing: BTreeSet<String>,
    lines: Vec<String>,
    failed: bool,
    reply: oneshot::Sender<Answer>,
}

impl Daemon {
    /// Fetches feeds now, and answers when all of them are through.
    pub(super) fn refresh(&mut self, name: Option<&str>, reply: oneshot::Sender<Answer>) {
        let now = host::now();
        let mut missing = BTreeSet::new();
        let mut paused = Vec::new();
        for (other, feed) in &mut self.feeds.all {
            if name.is_some_and(|name| name != other) {
                continue;
            }
            if feed.notes.paused {
                paused.push(format!("{other}: {}", is_paused(other)));
                continue;
            }
            // Whoever asks wants what there is from now on.
            self.feeds.fetcher.stop(other);
            feed.digest_in_vain();
            feed.schedule.hurry(since_boot(now));
            if feed.is_file() {
                // Also the same file, whatever became of it.
                feed.seen = None;
            }
            missing.insert(other.clone());
        }
        self.feeds.refreshes.push(Refresh {
            missing,
            failed: !paused.is_empty() && name.is_some(),
            lines: paused,
            reply,
        });
        self.answer_refreshes();
        self.fetch_due();
    }

    /// A feed is paused: what is under way comes to nothing.
    pub(super) fn stop_fetching(&mut self, name: &str) {
        self.feeds.fetcher.stop(name);
        if let Some(feed) = self.feeds.all.get_mut(name) {
            feed.digest_in_vain();
        }
        self.feed_done(name, Err(&is_paused(name)));
    }

    /// A feed is through, well or badly.
    pub(super) fn feed_done(&mut self, name: &str, said: Result<&str, &str>) {
        for refresh in &mut self.feeds.refreshes {
            if refresh.missing.remove(name) {
                refresh.failed |= said.is_err();
                let (Ok(text) | Err(text)) = said;
                refresh.lines.push(format!("{name}: {text}"));
            }
        }
        self.answer_refreshes();
    }

    /// Nobody is answered about a feed that is gone.
    pub(super) fn feed_gone(&mut self, name: &str) {
        self.feed_done(name, Err("not configured any more"));
    }

    fn answer_refreshes(&mut self) {
        let done = self
            .feeds
            .refreshes
            .extract_if(.., |it| it.missing.is_empty());
        for refresh in done {
            let message = refresh.lines.join("\n");
            let line = if refresh.failed {
                Response::Error(Failure::new(FailureCode::Failed, message))
            } else {
                Response::Ok { message }
            };
            // A client that has gone does not want its answer any more.
            drop(refresh.reply.send(Answer::Lines(vec![line])));
        }
    }

    /// The feed brought nothing that can be used; what was in force stays.
    pub(super) fn feed_fails(&mut self, name: &str, why: &str) {
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return;
        };
        let entries = feed
            .content
            .as_ref()
            .map_or(0, super::content::Content::len);
        feed.error = Some(why.to_owned());
        let stays = match entries {
            0 => "none of its entries is in force".to_owned(),
            1 => "its entry stays in force".to_owned(),
            many => format!(
                "its {} entries stay in force",
                crate::wording::grouped_of(many)
            ),
        };
        self.trouble(
            &format!("feed {name}"),
            Some(format!("feed {name}: {why}; {stays}")),
        );
        self.feed_done(name, Err(why));
    }

    pub(super) fn feed_is_well(&mut self, name: &str) {
        if let Some(feed) = self.feeds.all.get_mut(name) {
            feed.error = None;
        }
        self.trouble(&format!("feed {name}"), None);
    }

    /// Says so once of each publisher who has had no news for too long.
    pub(super) fn tell_stale(&mut self) {
        let now = host::now().wall;
        let missed = self.config.rails.stale_after;
        let feeds = self.feeds.all.iter();
        let stale: Vec<(String, bool)> = feeds
            .map(|(name, feed)| (name.clone(), feed.is_stale(missed, now)))
            .collect();
        for (name, is_stale) in stale {
            let was_stale = self.feeds.stale.contains(&name);
            if is_stale && !was_stale {
                let message = self.staleness(&name);
                self.tell_feed(&name, FeedWhat::Stale, message);
                self.feeds.stale.insert(name);
            } else if !is_stale {
                self.feeds.stale.remove(&name);
            }
        }
    }

    fn staleness(&self, name: &str) -> String {
        let feed = self.feeds.all.get(name);
        let since = feed.and_then(|feed| feed.made().or(feed.fetched()));
        let since = since.map(|since| format!("{since:.0}")).unwrap_or_default();
        format!(
            "no news since {since}; what it said stays in force: does its publisher still write it?"
        )
    }
}

fn is_paused(name: &str) -> String {
    format!("paused; `bot-agent feeds resume {name}` first")
}
