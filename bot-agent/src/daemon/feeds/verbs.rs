//! What operators do with feeds.

use tokio::sync::oneshot;

use super::content::Content;
use crate::{
    control::{
        feeds::{Feeds as Asked, OverlapSide, OverlapView, Verb},
        protocol::{Failure, FailureCode, Response},
        server::Answer,
    },
    daemon::Daemon,
    event::FeedWhat,
    feeds::reputation::overlap,
};

impl Daemon {
    /// Carries out a request about feeds; the answer may come later.
    pub(in crate::daemon) fn feeds_call(&mut self, asked: Asked, reply: oneshot::Sender<Answer>) {
        let Asked { verb, name, other } = asked;
        let answer = match self.known(name.as_deref(), verb) {
            Ok(()) if verb == Verb::Refresh => return self.refresh(name.as_deref(), reply),
            Ok(()) => self.feeds_answer(verb, name.as_deref(), other.as_deref()),
            Err(failure) => Err(failure),
        };
        let line = answer.unwrap_or_else(Response::Error);
        // A client that has gone does not want its answer any more.
        drop(reply.send(Answer::Lines(vec![line])));
    }

    fn feeds_answer(
        &mut self,
        verb: Verb,
        name: Option<&str>,
        other: Option<&str>,
    ) -> Result<Response, Failure> {
        let named = || name.ok_or_else(|| invalid("name a feed".to_owned()));
        let message = match verb {
            Verb::List | Verb::Refresh => return self.feed_views(name).map(Response::Feeds),
            Verb::Overlap => {
                let other = other.ok_or_else(|| invalid("name two feeds".to_owned()))?;
                self.known(Some(other), verb)?;
                let view = self.overlap(named()?, other)?;
                return Ok(Response::Overlap(Box::new(view)));
            }
            Verb::Accept => self.accept(named()?)?,
            Verb::Pause => self.pause(named()?, true)?,
            Verb::Resume => self.pause(named()?, false)?,
            Verb::Rollback => self.roll_back(named()?, "an operator rolled it back")?,
        };
        Ok(Response::Ok { message })
    }

    /// A feed that is named must be there.
    fn known(&self, name: Option<&str>, verb: Verb) -> Result<(), Failure> {
        let Some(name) = name else {
            let all = matches!(verb, Verb::List | Verb::Refresh);
            return if all {
                Ok(())
            } else {
                Err(invalid("name a feed".to_owned()))
            };
        };
        if self.feeds.all.contains_key(name) {
            return Ok(());
        }
        let names: Vec<&str> = self.feeds.all.keys().map(String::as_str).collect();
        let there_are = match names.as_slice() {
            [] => "none is configured".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        Err(invalid(format!("there is no feed `{name}`; {there_are}")))
    }

    fn pause(&mut self, name: &str, paused: bool) -> Result<String, Failure> {
        let Some(feed) = self.feeds.all.get_mut(name) else {
            return Ok(String::new());
        };
        let (change, message) = if paused {
            let message = "no updates are taken; what is in force stays";
            (FeedWhat::Paused, message)
        } else {
            (FeedWhat::Resumed, "updates are taken again")
        };
        if feed.notes.paused == paused {
            return Ok(format!("{name}: {message}"));
        }
        feed.notes.paused = paused;
        if let Some(error) = feed.note() {
            feed.notes.paused = !paused;
            return Err(failed(format!("nothing was changed: {error}")));
        }
        if paused {
            self.stop_fetching(name);
        } else {
            feed.schedule
                .hurry(super::feed::since_boot(crate::host::now()));
        }
        self.tell_feed(name, change, message.to_owned());
        Ok(format!("{name}: {message}"))
    }

    fn overlap(&self, one: &str, other: &str) -> Result<OverlapView, Failure> {
        let snapshot = |name: &str| {
            let feed = self.feeds.all.get(name);
            let content = feed.and_then(|feed| feed.content.as_ref());
            let snapshot = content.and_then(Content::snapshot);
            snapshot.ok_or_else(|| invalid(format!("{name} has no entries that could be compared")))
        };
        let found = overlap(snapshot(one)?, snapshot(other)?, self.databases.get().ok());
        let side = |name: &str, amount| OverlapSide {
            name: name.to_owned(),
            amount,
        };
        Ok(OverlapView {
            one: side(one, found.one),
            other: side(other, found.other),
            common: found.common,
        })
    }
}

pub(super) fn invalid(message: String) -> Failure {
    Failure::new(FailureCode::Invalid, message)
}

pub(super) fn failed(message: String) -> Failure {
    Failure::new(FailureCode::Failed, message)
}
