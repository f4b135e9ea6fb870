//! URLs: which may be fetched, which belong together, and how they are shown.

use std::net::IpAddr;

use reqwest::Url;

/// A URL that may be fetched: of the web, without a user in it.
pub(super) fn parse(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_web = ["http", "https"].contains(&url.scheme()) && url.has_host();
    let names_nobody = url.username().is_empty() && url.password().is_none();
    (is_web && names_nobody).then_some(url)
}

/// Without what may be secret: user, query, fragment.
pub(super) fn shown(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return "the url".to_owned();
    };
    let has_query = url.query().is_some();
    url.set_query(None);
    url.set_fragment(None);
    // These fail only for URLs that cannot have users.
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return format!("the {}: url", url.scheme());
    }
    format!("{url}{}", if has_query { "?..." } else { "" })
}

/// Whether who runs one runs the other, so that it may have the same secrets.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin()
}

/// Whether it is on this host, where no proxy is asked.
pub(super) fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_web_and_nobody_in_it() {
        for (text, good) in [
            ("https://feeds.example/list.txt", true),
            ("http://[2001:db8::1]:8080/?a=b", true),
            ("ftp://feeds.example/list.txt", false),
            ("file:///etc/passwd", false),
            ("https://user:secret@feeds.example/", false),
            ("https://user@feeds.example/", false),
            ("feeds.example/list.txt", false),
            ("https://", false),
        ] {
            assert_eq!(parse(text).is_some(), good, "{text}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        for (text, expected) in [
            (
                "https://feeds.example/a?key=secret",
                "https://feeds.example/a?...",
            ),
            (
                "https://user:secret@feeds.example/a#secret",
                "https://feeds.example/a",
            ),
            ("mailto:secret@feeds.example", "the mailto: url"),
            ("secret", "the url"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn another_port_is_another_origin() {
        let url = |text| parse(text).unwrap();
        let home = url("https://feeds.example/a");
        for (other, same) in [
            ("https://feeds.example:443/b", true),
            ("https://feeds.example:8443/a", false),
            ("http://feeds.example/a", false),
            ("https://www.feeds.example/a", false),
        ] {
            assert_eq!(same_origin(&home, &url(other)), same, "{other}");
        }
    }

    #[test]
    fn this_host_is_here() {
        for (text, here) in [
            ("http://127.0.0.1:8080/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://192.0.2.1/", false),
            ("http://localhost.example/", false),
        ] {
            assert_eq!(is_here(&parse(text).unwrap()), here, "{text}");
        }
    }
}
