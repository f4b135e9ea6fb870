//! One question to a web server, redirects included.
//!
//! Secrets go to the origin that is configured and no further.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use reqwest::{
    Response, StatusCode, Url, Version,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, DATE, HeaderMap,
        HeaderName, HeaderValue, LOCATION, RETRY_AFTER, TRANSFER_ENCODING,
    },
};

use super::{
    Fetched, blocking, client,
    error::{FetchError, Why},
    retry_after,
    secret::Secret,
    trust::{Bearer, Trust},
    url,
    validators::Validators,
};
use crate::{config::Http, rules::prefix::quoted};

/// Redirects that are followed.
const REDIRECTS: usize = 3;
/// Ways to pack a body that can be unpacked later.
const CODINGS: [&str; 5] = ["", "identity", "gzip", "x-gzip", "zstd"];
/// Memory that a body gets on its server's word.
const TRUSTED_LENGTH: u64 = 1 << 20;

/// Asks for what is behind a feed's URL, unless it is what `validators` are of.
pub(super) async fn fetch(
    http: Http,
    validators: Option<Validators>,
    credentials: Option<&Path>,
) -> Result<Fetched, FetchError> {
    let mut question = Question::new(&http.url)?;
    question.validators = validators;
    let packed = HeaderValue::from_static("gzip, zstd");
    question.headers.insert(ACCEPT_ENCODING, packed);
    question.ask(&http, authorization, credentials).await
}

/// What is asked of a web server.
pub(super) struct Question {
    /// Where.
    pub(super) url: Url,
    /// Header fields that everybody may read.
    pub(super) headers: HeaderMap,
    /// Of what is here already.
    pub(super) validators: Option<Validators>,
}

impl Question {
    /// A question about a URL.
    pub(super) fn new(text: &str) -> Result<Self, FetchError> {
        let url = url::parse(text).ok_or_else(|| FetchError::new(url::shown(text), Why::Url))?;
        Ok(Self {
            url,
            headers: HeaderMap::new(),
            validators: None,
        })
    }

    /// Asks, within the time that is configured for everything together.
    pub(super) async fn ask(
        self,
        http: &Http,
        bearer: Bearer,
        credentials: Option<&Path>,
    ) -> Result<Fetched, FetchError> {
        let whole = async {
            let (of, credentials) = (http.clone(), credentials.map(Path::to_owned));
            let trust = blocking(move || Trust::read(&of, bearer, credentials.as_deref()));
            let trust = trust.await?;
            self.follow(http, &trust).await
        };
        let result = tokio::time::timeout(http.timeout, whole).await;
        let result = result.unwrap_or(Err(Failure::from(Why::Timeout(http.timeout))));
        result.map_err(|failure| FetchError {
            place: match failure.mirror {
                Some(mirror) => format!("{}, redirected to {mirror}", url::shown(&http.url)),
                None => url::shown(&http.url),
            },
            why: failure.why,
            retry_after: failure.retry_after,
        })
    }

    async fn follow(self, http: &Http, trust: &Trust) -> Result<Fetched, Failure> {
        let mut asked = self.url.clone();
        let mut at_home = true;
        for _ in 0..=REDIRECTS {
            let step = self.step(&asked, at_home, http, trust).await;
            let step = step.map_err(|failure| Failure {
                mirror: (asked != self.url).then(|| url::shown(asked.as_str())),
                ..failure
            });
            match step? {
                Step::Fetched(fetched) => return Ok(fetched),
                Step::Redirect(next) => {
                    at_home &= url::same_origin(&self.url, &next);
                    asked = next;
                }
            }
        }
        Err(Why::Redirects(REDIRECTS).into())
    }

    /// Asks one server. Only `at_home` does it learn who we are.
    async fn step(
        &self,
        asked: &Url,
        at_home: bool,
        http: &Http,
        trust: &Trust,
    ) -> Result<Step, Failure> {
        let conditions = match &self.validators {
            Some(validators) => validators.conditions(&http.url, asked),
            None => HeaderMap::new(),
        };
        let conditional = !conditions.is_empty();
        let (to, ca) = (asked.clone(), Arc::clone(&trust.ca));
        let client = blocking(move || client::new(&to, &ca)).await?;
        let request = client.get(asked.clone());
        let mut request = request.headers(self.headers.clone()).headers(conditions);
        if at_home {
            request = trust.vouch(request);
        }
        let response = request.send().await;
        let response = response.map_err(|error| client::unreachable(&error))?;
        match response.status() {
            StatusCode::OK => {
                let validators = Validators::of_answer(&http.url, asked, response.headers());
                let bytes = body(response, http.max_bytes).await?;
                Ok(Step::Fetched(Fetched::Body { bytes, validators }))
            }
            StatusCode::NOT_MODIFIED if conditional => Ok(Step::Fetched(Fetched::NotModified)),
            StatusCode::NOT_MODIFIED => Err(Why::Unconditional.into()),
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => {
                Ok(Step::Redirect(next(asked, response.headers())?))
            }
            status => Err(Failure {
                retry_after: asked_wait(response.headers()),
                ..Why::Status { status }.into()
            }),
        }
    }
}

/// What one server says.
enum Step {
    Fetched(Fetched),
    Redirect(Url),
}

/// A failure whose place is not said yet.
struct Failure {
    why: Why,
    /// Where a redirect led, if it is from there.
    mirror: Option<String>,
    retry_after: Option<Duration>,
}

impl From<Why> for Failure {
    fn from(why: Why) -> Self {
        Self {
            why,
            mirror: None,
            retry_after: None,
        }
    }
}

fn authorization(secret: &Secret) -> Option<(HeaderName, HeaderValue)> {
    Some((AUTHORIZATION, secret.header("Bearer ")?))
}

/// Where a redirect leads.
fn next(asked: &Url, headers: &HeaderMap) -> Result<Url, Why> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let next = location.and_then(|location| asked.join(location).ok());
    let next = next.and_then(|next| url::parse(next.as_str()));
    let next = next.ok_or(Why::BadRedirect)?;
    if asked.scheme() == "https" && next.scheme() != "https" {
        return Err(Why::Downgrade);
    }
    Ok(next)
}

fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    retry_after::wait(text(RETRY_AFTER)?, text(DATE), Timestamp::now())
}

/// The whole body, as it was sent.
async fn body(mut response: Response, longest: u64) -> Result<Vec<u8>, Why> {
    let headers = response.headers();
    let coding = headers
        .get(CONTENT_ENCODING)
        .map(|value| value.to_str().unwrap_or("?"));
    let coding = coding.map(|coding| coding.trim().to_ascii_lowercase());
    if let Some(coding) = coding.filter(|coding| !CODINGS.contains(&coding.as_str())) {
        return Err(Why::Encoding(quoted(&coding)));
    }
    let framed = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    if response.version() <= Version::HTTP_11 && !framed {
        return Err(Why::Endless);
    }
    let announced = response.content_length().unwrap_or_default();
    if announced > longest {
        return Err(Why::TooLong(longest));
    }
    let at_first = usize::try_from(announced.min(TRUSTED_LENGTH)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(at_first);
    while let Some(chunk) = response.chunk().await.map_err(|error| cut(&error))? {
        if (bytes.len() + chunk.len()) as u64 > longest {
            return Err(Why::TooLong(longest));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn cut(error: &reqwest::Error) -> Why {
    Why::Cut(client::innermost(error))
}
