//! By what a content is known the next time, so that it need not come again.

use std::{
    fmt::Write as _,
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use reqwest::{
    Url,
    header::{
        ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::retry_after;

/// What a content is known by. It holds for the place that it is from and for no other: with another
/// path or URL it says nothing.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Validators {
    /// Of a file.
    File {
        /// The file.
        path: PathBuf,
        /// What differs when it is another one.
        stamp: Stamp,
    },
    /// Of a web server's answer.
    Http {
        /// Digest of the URL as configured, which may hold secrets.
        url: String,
        /// What was asked last, behind all redirects, without its query: that changes with each
        /// redirect at some.
        from: String,
        /// `ETag`.
        etag: Option<String>,
        /// `Last-Modified`.
        modified: Option<String>,
    },
}

/// What differs when a file is another one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: i64,
    changed_ns: i64,
    /// When its content was made.
    #[serde(default)]
    modified: i64,
}

impl Validators {
    /// When the publisher made the content, by the word of the web server or of the file.
    pub fn made(&self) -> Option<Timestamp> {
        match self {
            Self::File { stamp, .. } => Timestamp::from_second(stamp.modified).ok(),
            Self::Http { modified, .. } => retry_after::timestamp(modified.as_deref()?),
        }
    }

    pub(super) fn of_file(path: &Path, stamp: Stamp) -> Self {
        Self::File {
            path: path.to_owned(),
            stamp,
        }
    }

    pub(super) fn of_answer(url: &str, asked: &Url, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self::Http {
            url: digest(url),
            from: without_query(asked),
            etag: text(ETAG),
            modified: text(LAST_MODIFIED),
        }
    }

    /// The conditions under which `asked` need not answer in full, when `url` is configured.
    pub(super) fn conditions(&self, configured: &str, asked: &Url) -> HeaderMap {
        let mut conditions = HeaderMap::new();
        let Self::Http {
            url,
            from,
            etag,
            modified,
        } = self
        else {
            return conditions;
        };
        if *url != digest(configured) || *from != without_query(asked) {
            return conditions;
        }
        for (name, value) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, modified)] {
            let value = value
                .as_ref()
                .and_then(|value| HeaderValue::try_from(value).ok());
            if let Some(value) = value {
                conditions.insert(name, value);
            }
        }
        conditions
    }
}

impl From<&Metadata> for Stamp {
    fn from(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            changed: file.ctime(),
            changed_ns: file.ctime_nsec(),
            modified: file.mtime(),
        }
    }
}

fn digest(url: &str) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(url) {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://feeds.example/list?key=hush";

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn validators() -> Validators {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("W/\"abc\""));
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        headers.insert(LAST_MODIFIED, date);
        Validators::of_answer(URL, &url("https://cdn.example/list?signature=1"), &headers)
    }

    #[test]
    fn both_conditions_are_sent_where_the_content_came_from() {
        let asked = url("https://cdn.example/list?signature=2");
        let conditions = validators().conditions(URL, &asked);
        assert_eq!(conditions[IF_NONE_MATCH], "W/\"abc\"");
        assert_eq!(
            conditions[IF_MODIFIED_SINCE],
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
    }

    #[test]
    fn another_url_or_another_place_is_another_content() {
        let asked = url("https://cdn.example/list");
        for (configured, asked) in [
            ("https://feeds.example/list?key=other", asked),
            (URL, url(URL)),
            (URL, url("https://cdn.example/list2")),
        ] {
            assert!(validators().conditions(configured, &asked).is_empty());
        }
    }

    #[test]
    fn they_are_kept_without_secrets() {
        let text = serde_json::to_string(&validators()).unwrap();
        assert!(
            !text.contains("hush") && !text.contains("signature"),
            "{text}"
        );
        assert_eq!(
            serde_json::from_str::<Validators>(&text).unwrap(),
            validators()
        );
    }

    #[test]
    fn the_server_says_when_it_was_made() {
        let made = validators().made().unwrap();
        assert_eq!(made.to_string(), "1994-11-06T08:49:37Z");
    }
}
