//! One feed as the agent knows it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::content::Content;
use crate::{
    config::{Feed as Configured, FeedSource},
    control::feeds::ThrownView,
    feeds::{
        crowdsec::{DecisionType, Decisions},
        fetch::Validators,
        folder::Folder,
        schedule::{Random, Schedule, is_stale},
        snapshot::Snapshot,
    },
    rules::{
        subject::Subject,
        time::{Deadline, Now},
    },
};

/// How often a file is looked at. `every` says how often it should be another one.
const LOOK: Duration = super::PERIOD;

/// One feed.
pub(super) struct Feed {
    pub(super) config: Configured,
    /// Where it is kept; nothing: the disk cannot be written, and it is fetched anew at each start.
    pub(super) folder: Option<Folder>,
    /// What is in force.
    pub(super) content: Option<Content>,
    /// What a `CrowdSec` decided.
    pub(super) decisions: Decisions,
    /// What `rollback` puts into force again: how many entries, fetched when.
    pub(super) previous: Option<(usize, Timestamp)>,
    /// An update that waits.
    pub(super) held: Option<Held>,
    pub(super) schedule: Schedule,
    /// When it was last looked for what has lingered long enough, as time since boot.
    pub(super) expired: Duration,
    /// What the next fetch need not bring again.
    pub(super) seen: Option<Validators>,
    pub(super) digesting: Digesting,
    /// Why the last fetch gave nothing.
    pub(super) error: Option<String>,
    pub(super) notes: Notes,
}

/// Whether a content is being understood. There is never more than one of a feed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Digesting {
    /// None is.
    No,
    /// One is.
    Yes,
    /// One is, and nobody wants it any more.
    InVain,
}

/// An update that waits to be accepted.
pub(super) struct Held {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) why: String,
    pub(super) since: Timestamp,
    pub(super) about: About,
}

/// What is remembered of a feed besides its entries.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Notes {
    /// By what the content in force is known.
    pub(super) validators: Option<Validators>,
    /// Where the content is from, and how it was read.
    pub(super) place: String,
    pub(super) reading: String,
    /// An operator said to take no updates.
    pub(super) paused: bool,
    /// What is in force is from before the last update.
    pub(super) rolled_back: bool,
    /// When it was last fetched with success, new or not.
    pub(super) checked: Option<Timestamp>,
    /// About the content in force.
    pub(super) about: About,
    /// About the update that is held: why, and since when.
    pub(super) held: Option<(String, Timestamp, About)>,
    /// Of a `CrowdSec`: what was decided.
    pub(super) decisions: Vec<(Subject, DecisionType, Deadline)>,
}

/// About a content.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct About {
    pub(super) format: Option<String>,
    pub(super) added: usize,
    pub(super) removed: usize,
    pub(super) bad_lines: usize,
    pub(super) bad_shown: Vec<String>,
    pub(super) thrown: Vec<ThrownView>,
    /// Entries that only a database of ASNs gives a meaning.
    pub(super) networks: usize,
}

impl About {
    /// Whether it names the same as what was in force before.
    pub(super) fn is_same(&self) -> bool {
        (self.added, self.removed) == (0, 0)
    }
}

impl Feed {
    /// A feed of which nothing is known.
    pub(super) fn new(config: Configured, now: Now, random: Random) -> Self {
        let every = period(&config);
        Self {
            schedule: Schedule::new(every, since_boot(now), None, random),
            config,
            expired: Duration::ZERO,
            folder: None,
            content: None,
            decisions: Decisions::default(),
            previous: None,
            held: None,
            seen: None,
            digesting: Digesting::No,
            error: None,
            notes: Notes::default(),
        }
    }

    /// When the publisher had news, as far as is known.
    pub(super) fn fetched(&self) -> Option<Timestamp> {
        let snapshot = self.content.as_ref().and_then(Content::snapshot);
        self.notes.checked.max(snapshot.map(|it| it.fetched()))
    }

    /// When the publisher made it.
    pub(super) fn made(&self) -> Option<Timestamp> {
        let snapshot = self.content.as_ref().and_then(Content::snapshot);
        let by_server = || self.notes.validators.as_ref()?.made();
        snapshot.and_then(|it| it.made()).or_else(by_server)
    }

    /// Whether the publisher has had no news for too long.
    pub(super) fn is_stale(&self, missed: u32, now: Timestamp) -> bool {
        self.fetched()
            .is_some_and(|fetched| is_stale(now, self.made(), fetched, self.config.every, missed))
    }

    /// What is being understood comes to nothing.
    pub(super) fn digest_in_vain(&mut self) {
        if self.digesting == Digesting::Yes {
            self.digesting = Digesting::InVain;
        }
    }

    /// A content is understood; whether it is wanted. If not, it is fetched again.
    pub(super) fn is_digested(&mut self, now: Now) -> bool {
        let digested = std::mem::replace(&mut self.digesting, Digesting::No);
        let wanted = digested == Digesting::Yes;
        if !wanted {
            self.seen.clone_from(&self.notes.validators);
            self.schedule.hurry(since_boot(now));
        }
        wanted
    }

    /// The publisher has nothing new: what is in force was in the feed until now, unless what he has is
    /// held.
    pub(super) fn is_unchanged(&mut self, now: Now) {
        self.notes.checked = Some(now.wall);
        if self.held.is_none()
            && let Some(Content::Entries(snapshot)) = &mut self.content
        {
            Arc::make_mut(snapshot).unchanged(now.wall);
        }
    }

    /// Whether it is a file of this host.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.config.source, FeedSource::File(_))
    }

    /// Forgets what has lingered for its grace; whether there was something. Of a grace a tenth may pass unnoticed, a
    /// minute at most.
    pub(super) fn expire(&mut self, now: Now) -> bool {
        let pause = (self.config.grace / 10).min(Duration::from_mins(1));
        let Some(Content::Entries(snapshot)) = &mut self.content else {
            return false;
        };
        if snapshot.listed() == snapshot.len() || since_boot(now) < self.expired + pause {
            return false;
        }
        self.expired = since_boot(now);
        Arc::make_mut(snapshot).expire(now.wall, self.config.grace) > 0
    }

    /// Writes down what is remembered; why that cannot be done.
    pub(super) fn note(&self) -> Option<String> {
        let folder = self.folder.as_ref()?;
        folder
            .note(&self.notes)
            .err()
            .map(|error| error.to_string())
    }
}

/// How often it is fetched.
pub(super) fn period(config: &Configured) -> Duration {
    match config.source {
        FeedSource::File(_) => LOOK,
        FeedSource::Http(_) | FeedSource::CrowdSec(_) => config.every,
    }
}

/// The clock of schedules.
pub(super) fn since_boot(now: Now) -> Duration {
    Duration::from_nanos(now.boot_ns)
}

/// Where a content is from: with another place it is another feed, and nothing of it is known.
pub(super) fn place(config: &Configured) -> String {
    let place = match &config.source {
        FeedSource::File(path) => format!("file {}", path.display()),
        FeedSource::Http(http) => format!("http {}", http.url),
        FeedSource::CrowdSec(http) => format!("crowdsec {}", http.url),
    };
    // A URL may hold a key.
    hex(&place)
}

/// What else a content depends on: with anything else it has to be fetched again, and what is in
/// force stays until then.
pub(super) fn reading(config: &Configured) -> String {
    let Configured {
        format,
        min_confidence,
        loosen,
        ..
    } = config;
    hex(&format!("{format:?} {min_confidence} {loosen:?}"))
}

fn hex(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let digest = digest
        .first_chunk::<16>()
        .map_or(0, |half| u128::from_be_bytes(*half));
    format!("{digest:032x}")
}
