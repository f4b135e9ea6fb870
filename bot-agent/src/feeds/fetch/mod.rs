//! Bringing contents here: files, web servers, `CrowdSec`.
//!
//! A shell around one runtime thread; what comes is bytes or decisions, understood by others.
//! Invariants: a feed is never fetched twice at the same time; half a content is an error, never a
//! shorter one; no secret is in a log, an error or a `Debug` text.

mod client;
mod crowdsec;
mod error;
mod file;
mod http;
mod retry_after;
mod secret;
mod trust;
mod url;
mod validators;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::{AbortHandle, Id, JoinError, JoinSet},
};

pub use error::{FetchError, Why};
pub use secret::{Secret, SecretError};
pub use validators::Validators;

use super::crowdsec::{Answer, Poll};
use crate::config::{FeedSource, Http};

/// Fetches at the same time; the others wait. Each may hold a body of the longest size in memory.
const AT_ONCE: usize = 4;

/// What is to be fetched.
#[derive(Clone, Debug)]
pub enum Request {
    /// A file, unless it is the one that these are of.
    File(PathBuf, Option<Validators>),
    /// What a web server has, unless it is what these are of.
    Http(Http, Option<Validators>),
    /// Decisions.
    CrowdSec(Http, Poll),
}

/// What came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fetched {
    /// What is here already.
    NotModified,
    /// Another content, as it was sent: it may be packed, and it may be empty.
    Body {
        /// The content.
        bytes: Vec<u8>,
        /// By which it is known the next time.
        validators: Validators,
    },
    /// Decisions, to be applied to those that were asked about.
    Decisions(Answer),
}

/// A fetch that has ended.
#[derive(Debug)]
pub struct Done {
    /// Of which feed.
    pub name: String,
    /// What came of it.
    pub outcome: Result<Fetched, FetchError>,
    /// How long it took, waiting for others not counted.
    pub took: Duration,
}

/// Fetches feeds, each once at a time. Dropped, it ends all that are under way.
#[derive(Debug)]
pub struct Fetcher {
    tasks: JoinSet<(Result<Fetched, FetchError>, Duration)>,
    running: HashMap<Id, (String, AbortHandle)>,
    turns: Arc<Semaphore>,
    credentials: Option<Arc<Path>>,
}

impl Request {
    /// How a feed is fetched: `validators` are of the content that is here, `poll` is what is
    /// missing of decisions.
    pub fn of(source: &FeedSource, validators: Option<Validators>, poll: Poll) -> Self {
        match source {
            FeedSource::File(path) => Self::File(path.clone(), validators),
            FeedSource::Http(http) => Self::Http(http.clone(), validators),
            FeedSource::CrowdSec(http) => Self::CrowdSec(http.clone(), poll),
        }
    }

    /// Fetches it, once. `credentials` is the folder of systemd's credentials
    /// (`$CREDENTIALS_DIRECTORY`), where there is one.
    pub async fn fetch(self, credentials: Option<&Path>) -> Result<Fetched, FetchError> {
        match self {
            Self::File(path, validators) => file::fetch(path, validators).await,
            Self::Http(http, validators) => http::fetch(http, validators, credentials).await,
            Self::CrowdSec(http, poll) => crowdsec::fetch(http, poll, credentials).await,
        }
    }
}

impl Fetcher {
    /// A fetcher that fetches nothing yet. `credentials` as in [`Request::fetch`].
    pub fn new(credentials: Option<&Path>) -> Self {
        Self {
            tasks: JoinSet::new(),
            running: HashMap::new(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            credentials: credentials.map(Arc::from),
        }
    }

    /// Begins a fetch; false, and nothing begins, while this feed is being fetched.
    pub fn start(&mut self, name: &str, request: Request) -> bool {
        if self.is_running(name) {
            return false;
        }
        let turns = Arc::clone(&self.turns);
        let credentials = self.credentials.clone();
        let task = self.tasks.spawn(async move {
            // It is never closed; without a turn the fetch is merely not held back.
            let _turn = turns.acquire().await.ok();
            let began = Instant::now();
            let outcome = request.fetch(credentials.as_deref()).await;
            (outcome, began.elapsed())
        });
        self.running.insert(task.id(), (name.to_owned(), task));
        true
    }

    /// Whether a feed is being fetched.
    pub fn is_running(&self, name: &str) -> bool {
        self.running.values().any(|(running, _)| running == name)
    }

    /// Ends the fetch of a feed that is no longer wanted. Nothing is reported of it.
    pub fn stop(&mut self, name: &str) {
        self.running.retain(|_, (running, task)| {
            let stays = running != name;
            if !stays {
                task.abort();
            }
            stays
        });
    }

    /// Waits for the next fetch to end; for ever while there is none. Nothing is lost when the wait
    /// is given up.
    pub async fn done(&mut self) -> Done {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                std::future::pending::<()>().await;
                continue;
            };
            let (id, outcome, took) = match joined {
                Ok((id, (outcome, took))) => (id, outcome, took),
                Err(error) => (error.id(), Err(broken(&error)), Duration::ZERO),
            };
            // A stopped one is forgotten already.
            if let Some((name, _)) = self.running.remove(&id) {
                return Done {
                    name,
                    outcome,
                    took,
                };
            }
        }
    }
}

/// Does what may wait for a disk where it holds up nothing else.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Why> + Send + 'static,
{
    let result = tokio::task::spawn_blocking(work).await;
    result.unwrap_or_else(|error| Err(Why::Broken(error.to_string()).into()))
}

fn broken(error: &JoinError) -> FetchError {
    FetchError::new("the fetch".to_owned(), Why::Broken(error.to_string()))
}
