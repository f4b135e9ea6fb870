//! Why nothing was fetched, in words for an operator.

use std::{io, time::Duration};

use reqwest::StatusCode;

use super::secret::SecretError;
use crate::{feeds::crowdsec::answer::AnswerError, rules::duration, wording::grouped};

/// A fetch that failed. Its text names no secret: of a URL, user and query are left out.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {why}")]
pub struct FetchError {
    /// The file, or the URL as it may be shown.
    pub place: String,
    /// Why.
    pub why: Why,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// What the system said about a file.
    #[error("{0}")]
    Io(io::Error),
    /// A folder, a device or a pipe.
    #[error("is no file")]
    NoFile,
    /// It was written to while it was read.
    #[error("changes while it is read; write a new file beside it and rename that")]
    Changing,
    /// Longer than it may be.
    #[error("is longer than {} bytes; `max_bytes` is the limit", grouped((*.0).into()))]
    TooLong(u64),
    /// Not a URL that can be fetched.
    #[error(
        "is no http:// or https:// URL, or has a user in it; secrets belong into files (`basic`, `bearer`, `headers`)"
    )]
    Url,
    /// A secret that cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A header field that cannot be sent.
    #[error("`{0}` is no name of a header field")]
    Header(String),
    /// Certificates to believe that cannot be read.
    #[error("{path}: {what}; `ca` needs a file with certificates in PEM")]
    Ca {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// No connection, or none that can be trusted.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// No whole answer in time.
    #[error("gives no whole answer within {}; `timeout` is the limit", duration::format(*.0))]
    Timeout(Duration),
    /// The server says that there is nothing to have.
    #[error("answers {status}{}", hint(*.status))]
    Status {
        /// What it says.
        status: StatusCode,
    },
    /// Not modified since when?
    #[error("answers 304 Not Modified to a question without conditions")]
    Unconditional,
    /// On and on.
    #[error("redirects more than {0} times")]
    Redirects(usize),
    /// To a place where anybody on the way can read and write.
    #[error("redirects from https to http, where anybody on the way could change it: refused")]
    Downgrade,
    /// To nowhere.
    #[error("redirects without a place to go to that can be fetched")]
    BadRedirect,
    /// It ended early.
    #[error("breaks off in the middle: {0}")]
    Cut(String),
    /// It does not say where it ends.
    #[error(
        "says neither how long it is nor where it ends, so half of it would look like all of it"
    )]
    Endless,
    /// Packed in a way that was not asked for.
    #[error("is packed as `{0}`; only gzip and zstd can be unpacked")]
    Encoding(String),
    /// Not what a Local API answers.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// A bug of the agent.
    #[error("broke ({0}); this is a bug of the agent")]
    Broken(String),
}

impl FetchError {
    pub(super) fn new(place: String, why: impl Into<Why>) -> Self {
        Self {
            place,
            why: why.into(),
            retry_after: None,
        }
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": does the secret (`bearer`, `basic`, `headers`) hold?"
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => ": has it moved? look at `url`",
        StatusCode::TOO_MANY_REQUESTS => ": it is asked too often, look at `every`",
        _ => "",
    }
}
