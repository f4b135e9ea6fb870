//! The feeds that the configuration names: from the disk at the start, followed on reload.

use std::sync::Arc;

use super::{
    content::Content,
    feed::{Digesting, Feed, Held, Notes, period, place, reading, since_boot},
    fetched::random,
};
use crate::{
    config::{Config, Feed as Configured, FeedSource},
    daemon::Daemon,
    feeds::{
        crowdsec::Decisions,
        folder::{Folder, FolderError, Shelf},
        schedule::Schedule,
        snapshot::Snapshot,
    },
    host,
    rules::time::Now,
};

impl Daemon {
    /// Makes the feeds those of `config`. What is on disk of new ones is theirs at once, so that a start without
    /// network protects as before. The lists are for the caller to put into force.
    pub(in crate::daemon) fn follow_feeds(&mut self, config: &Config) {
        let now = host::now();
        let gone: Vec<String> = self.feeds.all.keys().cloned().collect();
        let wanted = |name: &String| config.feeds.iter().any(|feed| feed.name == *name);
        for name in gone.into_iter().filter(|name| !wanted(name)) {
            self.feeds.fetcher.stop(&name);
            self.feeds.all.remove(&name);
            self.feed_is_well(&name);
            self.feed_gone(&name);
        }
        for configured in &config.feeds {
            let name = &configured.name;
            match self.feeds.all.get_mut(name) {
                Some(feed) if feed.config == *configured => {}
                Some(feed) if place(&feed.config) == place(configured) => {
                    self.feeds.fetcher.stop(name);
                    feed.follow(configured, now);
                }
                found => {
                    let under_way = found.map_or(Digesting::No, |feed| {
                        feed.digest_in_vain();
                        feed.digesting
                    });
                    self.feeds.fetcher.stop(name);
                    let (mut feed, trouble) = self.feeds.load(configured, now);
                    feed.digesting = under_way;
                    self.feeds.all.insert(name.clone(), feed);
                    self.trouble(&format!("storing feed {name}"), trouble);
                }
            }
        }
    }
}

impl super::Feeds {
    /// A feed with what the disk has of it, and what is wrong there.
    fn load(&self, configured: &Configured, now: Now) -> (Feed, Option<String>) {
        let mut feed = Feed::new(configured.clone(), now, random());
        let name = &configured.name;
        let folder = match Folder::open(&self.state_dir, name) {
            Ok(folder) => folder,
            Err(error) => return (feed, Some(format!("{name} is not kept on disk: {error}"))),
        };
        let trouble = load(&mut feed, &folder, now).err();
        feed.folder = Some(folder);
        (feed, trouble.map(|error| format!("{name}: {error}")))
    }
}

impl Feed {
    /// Another configuration of the same feed.
    fn follow(&mut self, configured: &Configured, now: Now) {
        let every = period(configured);
        self.schedule.set_every(every, since_boot(now), random());
        if self.config.source != configured.source {
            // Another secret or limit: what failed may succeed now.
            self.schedule.hurry(since_boot(now));
        }
        self.config = configured.clone();
        let reading = reading(configured);
        if self.notes.reading != reading {
            self.notes.reading = reading;
            (self.seen, self.notes.validators) = (None, None);
            self.digest_in_vain();
            self.schedule.hurry(since_boot(now));
        }
        if let FeedSource::CrowdSec(_) = configured.source {
            self.content = Some(Content::of_decisions(configured, &self.decisions, now));
        }
    }
}

fn load(feed: &mut Feed, folder: &Folder, now: Now) -> Result<(), FolderError> {
    let notes: Notes = folder.notes();
    let (place, reading) = (place(&feed.config), reading(&feed.config));
    if notes.place != place {
        // Another feed of this name, or a new one. What is there stays until an update takes its place.
        feed.notes = Notes {
            place,
            reading,
            paused: notes.paused,
            ..Notes::default()
        };
        return folder.release();
    }
    let same_reading = notes.reading == reading;
    feed.notes = Notes { reading, ..notes };
    if !same_reading {
        feed.notes.validators = None;
    }
    if let FeedSource::CrowdSec(_) = feed.config.source {
        let decided = feed.notes.decisions.iter().copied();
        feed.decisions = Decisions::restored(decided);
        feed.content = Some(Content::of_decisions(&feed.config, &feed.decisions, now));
        return Ok(());
    }
    let load = |shelf| {
        let loaded = folder.load(shelf);
        loaded.map(|found| found.map(|(snapshot, _): (Snapshot, _)| snapshot))
    };
    if let Some(mut snapshot) = load(Shelf::Current)? {
        let file = feed.is_file();
        if let Some(checked) = feed.notes.checked.filter(|_| !file) {
            snapshot.unchanged(checked);
        }
        let age = now.wall.duration_since(snapshot.fetched());
        let age = age.try_into().unwrap_or_default();
        let every = period(&feed.config);
        if same_reading {
            feed.schedule = Schedule::new(every, since_boot(now), Some(age), random());
        }
        feed.seen.clone_from(&feed.notes.validators);
        feed.content = Some(Content::Entries(Arc::new(snapshot)));
    }
    let previous = load(Shelf::Previous)?;
    feed.previous = previous.map(|snapshot| (snapshot.len(), snapshot.fetched()));
    if let (Some((why, since, about)), Some(snapshot)) =
        (feed.notes.held.clone(), load(Shelf::Held)?)
    {
        feed.held = Some(Held {
            snapshot: Arc::new(snapshot),
            why,
            since,
            about,
        });
    }
    Ok(())
}
