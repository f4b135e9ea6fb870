//! What a feed says: entries, or the decisions of a `CrowdSec`.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    config::{Feed as Configured, FeedAction, Role},
    feeds::{
        crowdsec::{DecisionType, Decisions},
        entry::{Entry, Parsed},
        rails::{Screen, screen},
        reputation::Told,
        snapshot::Snapshot,
    },
    rules::time::Now,
};

/// What a feed says.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Entries that are all good for the same.
    Entries(Arc<Snapshot>),
    /// Decisions by type, each as if it were a feed of its own.
    Decisions(Vec<(Configured, Arc<Snapshot>)>),
}

impl Content {
    /// What `decisions` say now.
    pub(super) fn of_decisions(feed: &Configured, decisions: &Decisions, now: Now) -> Self {
        let entries = decisions.entries(now);
        let types = [
            DecisionType::Ban,
            DecisionType::Captcha,
            DecisionType::Throttle,
        ];
        let parts = types.map(|kind| {
            let subjects = entries.iter().filter(|(_, other, _)| *other == kind);
            let parsed = Parsed {
                entries: subjects
                    .map(|(subject, ..)| Entry::sure(*subject))
                    .collect(),
                ..Parsed::default()
            };
            let rails = Screen {
                min_confidence: 0,
                loosen: &feed.loosen,
            };
            let update = screen(parsed, &rails).update;
            let (snapshot, _) = Snapshot::next(None, &update, now.wall, feed.grace);
            (of_type(feed, kind), Arc::new(snapshot))
        });
        let parts = parts
            .into_iter()
            .filter(|(_, snapshot)| !snapshot.is_empty());
        Self::Decisions(parts.collect())
    }

    /// The same for the policy.
    pub(super) fn told<'a>(&'a self, feed: &'a Configured) -> Vec<Told<'a>> {
        match self {
            Self::Entries(snapshot) => vec![Told { feed, snapshot }],
            Self::Decisions(parts) => parts
                .iter()
                .map(|(feed, snapshot)| Told { feed, snapshot })
                .collect(),
        }
    }

    /// How many entries.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Entries(snapshot) => snapshot.len(),
            Self::Decisions(parts) => parts.iter().map(|(_, snapshot)| snapshot.len()).sum(),
        }
    }

    /// Those of them that linger.
    pub(super) fn lingering(&self) -> usize {
        match self {
            Self::Entries(snapshot) => snapshot.len() - snapshot.listed(),
            Self::Decisions(_) => 0,
        }
    }

    /// What is remembered of it when another content takes its place.
    pub(super) fn as_previous(&self) -> Option<(usize, Timestamp)> {
        let snapshot = self.snapshot()?;
        Some((snapshot.len(), snapshot.fetched()))
    }

    /// The entries, if they are all good for the same.
    pub(super) fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        match self {
            Self::Entries(snapshot) => Some(snapshot),
            Self::Decisions(_) => None,
        }
    }
}

/// What a type of decisions is good for. Bans do what is configured.
fn of_type(feed: &Configured, kind: DecisionType) -> Configured {
    let (name, role) = match kind {
        DecisionType::Ban => return feed.clone(),
        DecisionType::Captcha => ("captcha", FeedAction::Challenge),
        DecisionType::Throttle => ("throttle", FeedAction::Throttle),
    };
    Configured {
        name: format!("{}-{name}", feed.name),
        role: Role::Act(role),
        ..feed.clone()
    }
}
