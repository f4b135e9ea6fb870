//! Redirects: followed three times, never into the open, and without what is secret.

use bot_agent::feeds::fetch::{Fetched, Why};

use crate::{
    publisher::{Answer, Publisher},
    world::{Secrets, body, error, fetch, fetch_again, http},
};

#[test]
fn three_redirects_are_followed_and_four_are_not() {
    let publisher = Publisher::start();
    for (from, to) in [("/4", "/3"), ("/3", "2"), ("/2", "/1"), ("/1", "/list")] {
        publisher.put(from, Answer::redirect(to));
    }
    publisher.put("/list", Answer::page("192.0.2.1\n"));
    assert_eq!(body(fetch(&http(&publisher.url("/3")))).0, b"192.0.2.1\n");
    let error = error(fetch(&http(&publisher.url("/4"))));
    assert!(matches!(error.why, Why::Redirects(3)), "{error}");
}

#[test]
fn a_loop_ends() {
    let publisher = Publisher::start();
    publisher.put("/list", Answer::redirect("/list"));
    let error = error(fetch(&http(&publisher.url("/list"))));
    assert!(matches!(error.why, Why::Redirects(3)), "{error}");
    assert_eq!(publisher.asked().len(), 4);
}

#[test]
fn redirects_to_nowhere_are_errors() {
    for to in [
        "",
        "ftp://127.0.0.1/list",
        "file:///etc/passwd",
        "http://a:hush@127.0.0.1/",
        "http://",
    ] {
        let publisher = Publisher::start();
        let answer = if to.is_empty() {
            Answer::status(302)
        } else {
            Answer::redirect(to)
        };
        publisher.put("/list", answer);
        let error = error(fetch(&http(&publisher.url("/list"))));
        assert!(matches!(error.why, Why::BadRedirect), "{to}: {error}");
    }
}

#[test]
fn a_list_behind_a_redirect_does_not_come_again() {
    let (publisher, mirror) = (Publisher::start(), Publisher::start());
    mirror.put("/list", Answer::page("192.0.2.1\n").with("ETag", "\"7\""));
    // As large mirrors do: another signature each time.
    publisher.put("/list", Answer::redirect(&mirror.url("/list?signature=1")));
    let http = http(&publisher.url("/list"));
    let (_, validators) = body(fetch(&http));
    publisher.put("/list", Answer::redirect(&mirror.url("/list?signature=2")));
    let again = fetch_again(&http, Some(validators)).unwrap();
    assert_eq!(again, Fetched::NotModified);
}

#[test]
fn what_fails_behind_a_redirect_is_named() {
    let (publisher, mirror) = (Publisher::start(), Publisher::start());
    publisher.put("/list", Answer::redirect(&mirror.url("/gone?key=hush")));
    let error = error(fetch(&http(&publisher.url("/list"))));
    let (list, gone) = (publisher.url("/list"), mirror.url("/gone?..."));
    let expected = format!("{list}, redirected to {gone}: answers 404 Not Found");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn secrets_go_to_the_configured_server_only() {
    let (publisher, other) = (Publisher::start(), Publisher::start());
    publisher.put("/list", Answer::redirect("/moved"));
    publisher.put("/moved", Answer::redirect(&other.url("/list")));
    // Back at home the question is another's.
    other.put("/list", Answer::redirect(&publisher.url("/end")));
    publisher.put("/end", Answer::page("192.0.2.1\n"));
    let secrets = Secrets::new();
    let mut http = http(&publisher.url("/list"));
    http.bearer = Some(secrets.file("token", "hush"));
    http.headers = vec![("X-Key".to_owned(), secrets.file("key", "hush"))];
    assert_eq!(body(fetch(&http)).0, b"192.0.2.1\n");
    let told: Vec<_> = publisher
        .asked()
        .iter()
        .map(|asked| {
            let headers = &asked.headers;
            (
                headers.contains_key("authorization"),
                headers.contains_key("x-key"),
            )
        })
        .collect();
    assert_eq!(told, [(true, true), (true, true), (false, false)]);
    let headers = &other.asked()[0].headers;
    assert!(
        !headers.values().any(|value| value.contains("hush")),
        "{headers:?}"
    );
}
