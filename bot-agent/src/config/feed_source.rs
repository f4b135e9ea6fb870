//! Where feeds come from: files, web servers and `CrowdSec`, as `[[feed]]`s say it.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;
use toml::Spanned;

use super::{
    error::ConfigError,
    feeds::{number, time},
    keys::wrong,
    layers::{Lines, Place},
    raw,
};

/// Where a feed comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FeedSource {
    /// A file of this host.
    File(PathBuf),
    /// A web server.
    Http(Http),
    /// A `CrowdSec` Local API, of which decisions are asked as a bouncer does.
    CrowdSec(Http),
}

/// How to ask a web server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Http {
    /// `http://` or `https://`.
    pub url: String,
    /// Names of header fields, and files with their secret values.
    pub headers: Vec<(String, PathBuf)>,
    /// A file with a bearer token.
    pub bearer: Option<PathBuf>,
    /// A file with `user:password`.
    pub basic: Option<PathBuf>,
    /// A file with certificates (PEM) to believe besides the system's.
    pub ca: Option<PathBuf>,
    /// For the whole answer.
    pub timeout: Duration,
    /// Longest body, packed and unpacked.
    pub max_bytes: u64,
}

/// Longest body, unless configured.
const MAX_BYTES: u64 = 256 << 20;
/// For a whole answer, unless configured.
const TIMEOUT: Duration = Duration::from_mins(1);

/// One of `file`, `url` and `crowdsec`.
pub(super) fn source(
    feed: &raw::Feed,
    place: &Place,
    lines: Lines<'_>,
) -> Result<FeedSource, ConfigError> {
    match (&feed.file, &feed.url, &feed.crowdsec) {
        (Some(file), None, None) => {
            if let Some((key, at)) = of_http(feed, lines) {
                return Err(wrong(key, &at, "a file needs none"));
            }
            path("file", file, lines).map(FeedSource::File)
        }
        (None, Some(url), None) => http("url", url, feed, lines).map(FeedSource::Http),
        (None, None, Some(url)) => {
            let http = http("crowdsec", url, feed, lines)?;
            if http.bearer.is_none() {
                let what = "needs `bearer`, a file with the key that `cscli bouncers add` gave";
                return Err(wrong("crowdsec", &lines.place(url), what));
            }
            Ok(FeedSource::CrowdSec(http))
        }
        _ => {
            let what = "says where it comes from by one of `file`, `url` and `crowdsec`";
            Err(wrong("feed", place, what))
        }
    }
}

/// A key that only has a meaning for web servers, if one is set.
fn of_http(feed: &raw::Feed, lines: Lines<'_>) -> Option<(&'static str, Place)> {
    let texts = [
        ("bearer", &feed.bearer),
        ("basic", &feed.basic),
        ("ca", &feed.ca),
        ("timeout", &feed.timeout),
    ];
    let set = texts
        .into_iter()
        .find_map(|(key, field)| Some((key, lines.place(field.as_ref()?))));
    let header = feed.headers.values().next();
    set.or_else(|| Some(("headers", lines.place(header?))))
}

fn http(
    key: &str,
    url: &Spanned<String>,
    feed: &raw::Feed,
    lines: Lines<'_>,
) -> Result<Http, ConfigError> {
    let at = lines.place(url);
    let parsed = Url::parse(url.get_ref()).map_err(|error| wrong(key, &at, error))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        let what = "is no address of a web server (http://... or https://...)";
        return Err(wrong(key, &at, what));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        let what = "must not name a user; put `user:password` into a file and name it in `basic`";
        return Err(wrong(key, &at, what));
    }
    let secret = |key, field: &Option<Spanned<String>>| {
        let place = field.as_ref();
        place.map(|place| secret(key, place, lines)).transpose()
    };
    let headers = feed.headers.iter();
    let headers = headers.map(|(name, file)| {
        if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
            let what = format!("`{name}` is no name of a header field");
            return Err(wrong("headers", &lines.place(file), what));
        }
        Ok((name.clone(), self::secret("headers", file, lines)?))
    });
    Ok(Http {
        url: url.get_ref().clone(),
        headers: headers.collect::<Result<_, _>>()?,
        bearer: secret("bearer", &feed.bearer)?,
        basic: secret("basic", &feed.basic)?,
        ca: feed
            .ca
            .as_ref()
            .map(|ca| path("ca", ca, lines))
            .transpose()?,
        timeout: time("timeout", feed.timeout.as_ref(), lines)?.unwrap_or(TIMEOUT),
        max_bytes: number("max_bytes", feed.max_bytes.as_ref(), 1 << 32, lines)?
            .unwrap_or(MAX_BYTES),
    })
}

/// A file with a secret: an absolute path, or `credential:NAME` for what systemd hands over
/// (`LoadCredential=`).
fn secret(key: &str, file: &Spanned<String>, lines: Lines<'_>) -> Result<PathBuf, ConfigError> {
    if let Some(name) = file.get_ref().strip_prefix("credential:") {
        if name.is_empty() || name.contains('/') {
            let what = format!("`{name}` is no name of a credential");
            return Err(wrong(key, &lines.place(file), what));
        }
        return Ok(PathBuf::from(file.get_ref()));
    }
    path(key, file, lines)
}

fn path(key: &str, file: &Spanned<String>, lines: Lines<'_>) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(file.get_ref());
    if !path.is_absolute() {
        let what = format!("`{}` is no absolute path", path.display());
        return Err(wrong(key, &lines.place(file), what));
    }
    Ok(path)
}
