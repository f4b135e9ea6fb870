//! Names of hosts, and the suffixes that crawlers' names have.
//!
//! A name of DNS may hold any byte, a dot inside a label among them. What stands here is made of
//! letters, digits, hyphens and underscores only, so that dots part labels and nothing else does.

use std::fmt;

/// Longest name, in characters (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 253;
/// Longest label.
const LONGEST_LABEL: usize = 63;

/// A host name in lower case, without the dot at its end.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostName(Box<str>);

/// The end of the names of an operator's machines: two labels or more.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Suffix(HostName);

/// A suffix that would fit the names of strangers, or none at all.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no suffix of host names; it needs two labels or more, like googlebot.com")]
pub struct SuffixError(String);

impl HostName {
    /// The name that a text is; case and a dot at the end do not matter.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let fits = text.len() <= LONGEST_NAME && text.split('.').all(is_label);
        fits.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Suffix {
    /// The suffix that a text is; `*.` or `.` may stand before it.
    pub fn parse(text: &str) -> Result<Self, SuffixError> {
        let bare = text.trim();
        let bare = bare.strip_prefix('*').unwrap_or(bare);
        let bare = bare.strip_prefix('.').unwrap_or(bare);
        let name = HostName::parse(bare).filter(|name| name.as_str().contains('.'));
        name.map(Self).ok_or_else(|| SuffixError(text.to_owned()))
    }

    /// Whether a host is below this suffix: whole labels, one more at least.
    pub fn covers(&self, host: &HostName) -> bool {
        host.as_str()
            .strip_suffix(self.as_str())
            .is_some_and(|before| before.ends_with('.'))
    }

    /// The suffix as text, without a dot before it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

fn is_label(label: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(fits)
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(suffix: &str, host: &str) -> bool {
        let suffix = Suffix::parse(suffix).unwrap();
        HostName::parse(host).is_some_and(|host| suffix.covers(&host))
    }

    #[test]
    fn a_suffix_ends_at_a_label() {
        assert!(covers("googlebot.com", "crawl-66-249-66-1.googlebot.com"));
        assert!(covers("googlebot.com", "CRAWL.a.GoogleBot.COM."));
        assert!(covers("*.search.msn.com", "msnbot-1.search.msn.com"));
        assert!(!covers("googlebot.com", "evilgooglebot.com"));
        assert!(!covers("googlebot.com", "crawl.googlebot.com.example.net"));
        assert!(!covers("googlebot.com", "googlebot.com"));
    }

    #[test]
    fn names_with_a_dot_or_anything_odd_inside_a_label_are_no_host_names() {
        for text in [
            r"x\.googlebot.com",
            r"a\046googlebot.com",
            "a b.googlebot.com",
            "a..googlebot.com",
            ".googlebot.com",
            "crawl.googlebot.com..",
            "",
            ".",
            "gööglebot.com",
        ] {
            assert_eq!(HostName::parse(text), None, "{text}");
        }
        assert_eq!(HostName::parse(&"a.".repeat(128)), None);
        assert_eq!(HostName::parse(&format!("{}.com", "a".repeat(64))), None);
    }

    #[test]
    fn suffixes_of_one_label_would_fit_strangers() {
        for text in ["com", ".com", "*.com", "", ".", "*", "a b.com"] {
            let error = Suffix::parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{text}` is no suffix")),
                "{error}"
            );
        }
    }
}
