//! Decisions of a `CrowdSec` Local API, asked for as a bouncer does.

use std::path::Path;

use reqwest::header::{HeaderName, HeaderValue};

use super::{Fetched, error::FetchError, http::Question, secret::Secret, url};
use crate::{
    config::Http,
    feeds::crowdsec::{Answer, Poll},
};

/// Where decisions are.
const PATH: &[&str] = &["v1", "decisions", "stream"];
/// Without it a Local API answers for addresses and ranges only.
const SCOPES: &str = "ip,range,as,country";

/// Asks the Local API at `http.url`, whose key is in `http.bearer`.
pub(super) async fn fetch(
    http: Http,
    poll: Poll,
    credentials: Option<&Path>,
) -> Result<Fetched, FetchError> {
    let mut question = Question::new(&http.url)?;
    if let Ok(mut path) = question.url.path_segments_mut() {
        path.pop_if_empty().extend(PATH);
    }
    let startup = match poll {
        Poll::Whole => "true",
        Poll::Changes => "false",
    };
    question
        .url
        .query_pairs_mut()
        .append_pair("startup", startup)
        .append_pair("scopes", SCOPES)
        // Of several decisions for one address the server would leave out all but the longest, and
        // not name the others when that is lifted.
        .append_pair("dedup", "false");
    match question.ask(&http, api_key, credentials).await? {
        Fetched::Body { bytes, .. } => {
            let answer = Answer::parse(poll, &bytes);
            let answer = answer.map_err(|error| FetchError::new(url::shown(&http.url), error))?;
            Ok(Fetched::Decisions(answer))
        }
        unchanged @ (Fetched::NotModified | Fetched::Decisions(_)) => Ok(unchanged),
    }
}

fn api_key(secret: &Secret) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_static("x-api-key"), secret.header("")?))
}
