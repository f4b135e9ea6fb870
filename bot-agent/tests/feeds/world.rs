//! One publisher, and how it is asked.

use std::{fs, path::PathBuf, time::Duration};

use bot_agent::{
    config::Http,
    feeds::fetch::{FetchError, Fetched, Request, Validators},
};

/// Longest body in these tests.
pub(crate) const LONGEST: u64 = 100_000;

/// How to ask for a URL, without secrets.
pub(crate) fn http(url: &str) -> Http {
    Http {
        url: url.to_owned(),
        headers: Vec::new(),
        bearer: None,
        basic: None,
        ca: None,
        timeout: Duration::from_secs(20),
        max_bytes: LONGEST,
    }
}

/// Runs what is asynchronous, as the agent does.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Fetches, given what is here already.
pub(crate) fn fetch_again(
    http: &Http,
    validators: Option<Validators>,
) -> Result<Fetched, FetchError> {
    wait(Request::Http(http.clone(), validators).fetch(None))
}

/// Fetches.
pub(crate) fn fetch(http: &Http) -> Result<Fetched, FetchError> {
    fetch_again(http, None)
}

/// The content that must have come, and by what it is known.
#[track_caller]
pub(crate) fn body(fetched: Result<Fetched, FetchError>) -> (Vec<u8>, Validators) {
    match fetched {
        Ok(Fetched::Body { bytes, validators }) => (bytes, validators),
        other => panic!("{other:?}"),
    }
}

/// The error that must have come; neither it nor its `Debug` may tell what is secret.
#[track_caller]
pub(crate) fn error(fetched: Result<Fetched, FetchError>) -> FetchError {
    let error = fetched.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hush"), "{text}");
    error
}

/// Files with secrets.
pub(crate) struct Secrets(tempfile::TempDir);

impl Secrets {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A file with this content.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.0.path()
    }
}
