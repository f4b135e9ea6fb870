//! An update comes into force, or is held: the table first, then the names on the disk.
//!
//! An agent that dies between the two has the update in the kernel and the one before on the disk; the
//! next one puts that into force, and fetches the update again.

use std::sync::Arc;

use super::{
    content::Content,
    digest::Digest,
    feed::{About, Feed, Held, since_boot},
    fetched::random,
};
use crate::{
    control::protocol::Failure,
    daemon::Daemon,
    event::{Body, FeedChange, FeedWhat},
    feeds::{
        folder::{Folder, FolderError, Shelf, Staged},
        rails::Verdict,
    },
    host,
    rules::time::Now,
    wording::{grouped_of, many_of},
};

impl Daemon {
    /// Takes an update, or holds it.
    pub(super) fn take_update(&mut self, name: &str, digest: Digest) {
        let now = host::now();
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return;
        };
        if !feed.is_digested(now) {
            return;
        }
        feed.schedule.succeeded(since_boot(now), random());
        let Digest {
            snapshot,
            verdict,
            about,
            validators,
            staged,
            not_staged,
        } = digest;
        let stage = not_staged.map(|error| format!("{name} is not kept on disk: {error}"));
        self.trouble(&format!("storing feed {name}"), stage);
        let content = Content::Entries(Arc::clone(&snapshot));
        let lists = self.lists_with(Some((name, &content)), now);
        let hold = match verdict {
            Verdict::Hold(hold) => Some(hold),
            Verdict::Take => self.objection_of_known_good(name, &lists, now),
        };
        if let Some(hold) = hold {
            let waits = Held {
                why: hold.of_feed(name).to_string(),
                snapshot,
                since: now.wall,
                about,
            };
            if let Some(feed) = self.feeds.all.get_mut(name) {
                feed.seen = Some(validators);
            }
            return self.hold(name, waits, staged);
        }
        if let Err(failure) = self.put_lists(lists, now) {
            // It is fetched again: then it may fit.
            return self.feed_fails(name, &format!("the update is not in force: {failure}"));
        }
        let stored = match (
            self.feeds.all.get(name).and_then(|it| it.folder.as_ref()),
            staged,
        ) {
            (Some(folder), Some(staged)) if about.is_same() => folder.renew(staged),
            (Some(folder), Some(staged)) => folder.promote(staged),
            _ => Ok(()),
        };
        if let Some(feed) = self.feeds.all.get_mut(name) {
            feed.seen = Some(validators.clone());
            feed.notes.validators = Some(validators);
        }
        self.is_in_force(name, content, about, stored, now);
    }

    /// Puts the update that is held into force.
    pub(super) fn accept(&mut self, name: &str) -> Result<String, Failure> {
        let now = host::now();
        let Some(held) = self
            .feeds
            .all
            .get_mut(name)
            .and_then(|feed| feed.held.take())
        else {
            return Err(super::verbs::invalid(format!(
                "no update of {name} is held"
            )));
        };
        let content = Content::Entries(Arc::clone(&held.snapshot));
        let lists = self.lists_with(Some((name, &content)), now);
        if let Err(failure) = self.put_lists(lists, now) {
            if let Some(feed) = self.feeds.all.get_mut(name) {
                feed.held = Some(held);
            }
            return Err(failure);
        }
        let folder = self.feeds.all.get(name).and_then(|it| it.folder.as_ref());
        let stored = folder.map_or(Ok(()), Folder::accept);
        if let Some(feed) = self.feeds.all.get_mut(name) {
            feed.notes.validators.clone_from(&feed.seen);
        }
        self.is_in_force(name, content, held.about, stored, now);
        Ok(format!("{name}: {}", self.in_force(name)))
    }

    /// The decisions of a feed have changed.
    pub(super) fn take_decisions(&mut self, name: &str) {
        let now = host::now();
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return;
        };
        let decisions = feed.decisions.entries(now);
        let same = feed.notes.decisions.len() == decisions.len()
            && feed
                .notes
                .decisions
                .iter()
                .zip(&decisions)
                .all(|(old, new)| (old.0, old.1) == (new.0, new.1));
        if same && feed.content.is_some() {
            self.feed_is_well(name);
            return self.feed_done(name, Ok("not changed"));
        }
        let content = Content::of_decisions(&feed.config, &feed.decisions, now);
        let before = feed.content.as_ref().map_or(0, Content::len);
        let lists = self.lists_with(Some((name, &content)), now);
        if let Some(hold) = self.objection_of_known_good(name, &lists, now) {
            return self.feed_fails(name, &format!("decisions are not in force: {hold}"));
        }
        if let Err(failure) = self.put_lists(lists, now) {
            return self.feed_fails(name, &format!("decisions are not in force: {failure}"));
        }
        let about = About {
            added: content.len().saturating_sub(before),
            removed: before.saturating_sub(content.len()),
            ..self.about(name)
        };
        if let Some(feed) = self.feeds.all.get_mut(name) {
            feed.notes.decisions = decisions;
        }
        self.is_in_force(name, content, about, Ok(()), now);
    }

    /// Puts what was in force before the last update into force again, and takes no more updates.
    pub(in crate::daemon) fn roll_back(
        &mut self,
        name: &str,
        why: &str,
    ) -> Result<String, Failure> {
        let now = host::now();
        let folder = self.feeds.all.get(name).and_then(|it| it.folder.clone());
        let Some(folder) = folder else {
            return Err(super::verbs::invalid(format!(
                "nothing of {name} is kept on disk"
            )));
        };
        if self
            .feeds
            .all
            .get(name)
            .is_some_and(|feed| feed.notes.rolled_back)
        {
            let what = format!(
                "{name} is rolled back already; `bot-agent feeds resume {name}` takes updates again"
            );
            return Err(super::verbs::invalid(what));
        }
        let failed = |error: FolderError| super::verbs::failed(error.to_string());
        let Some((snapshot, _)) = folder.load(Shelf::Previous).map_err(failed)? else {
            let what = format!("there is nothing before the last update of {name}");
            return Err(super::verbs::invalid(what));
        };
        let content = Content::Entries(Arc::new(snapshot));
        let lists = self.lists_with(Some((name, &content)), now);
        self.put_lists(lists, now)?;
        self.stop_fetching(name);
        let stored = folder.roll_back();
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return Ok(String::new());
        };
        let entries = content.len();
        let before = feed.content.replace(content);
        feed.previous = before.as_ref().and_then(Content::as_previous);
        feed.notes.about = About::default();
        (feed.notes.paused, feed.notes.rolled_back) = (true, true);
        // What comes when updates are taken again comes whole.
        (feed.seen, feed.notes.validators) = (None, None);
        self.remember(name, stored);
        let message = format!(
            "{} in force, those before the last update; updates are paused ({why}): `bot-agent feeds resume {name}` \
             takes what its publisher has, the update that was rolled back too",
            many_of(entries, "entry")
        );
        self.tell_feed(name, FeedWhat::RolledBack, message.clone());
        Ok(format!("{name}: {message}"))
    }

    fn hold(&mut self, name: &str, held: Held, staged: Option<Staged>) {
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return;
        };
        let stored = match (&feed.folder, staged) {
            (Some(folder), Some(staged)) => folder.hold(staged),
            _ => Ok(()),
        };
        let message = held.why.clone();
        feed.notes.held = Some((held.why.clone(), held.since, held.about.clone()));
        feed.held = Some(held);
        self.feed_is_well(name);
        self.remember(name, stored);
        self.feed_done(name, Err(&message));
        self.tell_feed(name, FeedWhat::Held, message);
    }

    /// What is to be remembered and told when a content is in the table.
    fn is_in_force(
        &mut self,
        name: &str,
        content: Content,
        about: About,
        stored: Result<(), FolderError>,
        now: Now,
    ) {
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return;
        };
        let changed = !about.is_same() || feed.content.is_none();
        if let Some(before) = feed.content.replace(content)
            && let Some(previous) = before.as_previous()
            && !about.is_same()
        {
            feed.previous = Some(previous);
        }
        feed.held = None;
        feed.notes.held = None;
        feed.notes.rolled_back = false;
        feed.notes.about = about;
        feed.notes.checked = Some(now.wall);
        self.remember(name, stored);
        self.feed_is_well(name);
        if self
            .config
            .proxies
            .iter()
            .any(|proxy| proxy.from.iter().any(|from| from == name))
        {
            self.watch_fronts();
        }
        let message = self.in_force(name);
        if changed {
            self.watchdog_sees(name, now);
            self.tell_feed(name, FeedWhat::Updated, message.clone());
        }
        self.feed_done(name, Ok(&message));
    }

    /// Writes down what is remembered of a feed, and tells what is wrong with that or with what was `stored`.
    fn remember(&mut self, name: &str, stored: Result<(), FolderError>) {
        let noted = self.feeds.all.get(name).and_then(Feed::note);
        let stored = stored.err().map(|error| format!("{name}: {error}"));
        self.trouble(&format!("storing feed {name}"), stored.or(noted));
    }

    /// What is in force of a feed, in words.
    pub(super) fn in_force(&self, name: &str) -> String {
        let Some(feed) = self.feeds.all.get(name) else {
            return String::new();
        };
        let entries = feed.content.as_ref().map_or(0, Content::len);
        let About { added, removed, .. } = &feed.notes.about;
        format!(
            "{} in force, {} new, {} gone",
            many_of(entries, "entry"),
            grouped_of(*added),
            grouped_of(*removed)
        )
    }

    fn about(&self, name: &str) -> About {
        let feed = self.feeds.all.get(name);
        feed.map(|feed| feed.notes.about.clone())
            .unwrap_or_default()
    }

    pub(super) fn tell_feed(&mut self, name: &str, change: FeedWhat, message: String) {
        let about = self.about(name);
        let entries = self
            .feeds
            .all
            .get(name)
            .and_then(|feed| feed.content.as_ref());
        self.emit(Body::Feed(FeedChange {
            feed: name.to_owned(),
            change,
            entries: entries.map_or(0, Content::len),
            added: about.added,
            removed: about.removed,
            message,
        }));
    }
}
