//! What a web server may answer, and what is made of it.

use std::time::{Duration, Instant};

use bot_agent::{
    config::Http,
    feeds::fetch::{Fetched, Why},
};

use crate::{
    publisher::{Answer, Delivery, Publisher},
    world::{LONGEST, body, error, fetch, fetch_again, http},
};

const LIST: &str = "192.0.2.0/24\n198.51.100.7\n";
const DATE: &str = "Sun, 22 Nov 2026 18:00:00 GMT";

/// A publisher with one page, and how to ask for it.
fn with(answer: Answer) -> (Publisher, Http) {
    let publisher = Publisher::start();
    publisher.put("/list", answer);
    let http = http(&publisher.url("/list"));
    (publisher, http)
}

#[test]
fn a_list_comes_as_it_is() {
    let (publisher, http) = with(Answer::page(LIST).with("Content-Type", "image/png"));
    assert_eq!(body(fetch(&http)).0, LIST.as_bytes());
    let asked = publisher.asked();
    let headers = &asked[0].headers;
    assert_eq!(headers["accept-encoding"], "gzip, zstd");
    assert!(headers["user-agent"].starts_with("bot-agent/"));
    assert!(!headers.contains_key("if-none-match"));
    assert!(!headers.contains_key("referer"));
}

#[test]
fn what_is_here_already_does_not_come_again() {
    for (answer, field, value) in [
        (
            Answer::page(LIST).with("ETag", "\"7\""),
            "if-none-match",
            "\"7\"",
        ),
        (
            Answer::page(LIST).with("Last-Modified", DATE),
            "if-modified-since",
            DATE,
        ),
    ] {
        let (publisher, http) = with(answer);
        let (_, validators) = body(fetch(&http));
        let again = fetch_again(&http, Some(validators.clone())).unwrap();
        assert_eq!(again, Fetched::NotModified);
        assert_eq!(publisher.asked()[1].headers[field], value);

        publisher.put("/list", Answer::page("192.0.2.9\n").with("ETag", "\"8\""));
        let (bytes, fresh) = body(fetch_again(&http, Some(validators.clone())));
        assert_eq!(bytes, b"192.0.2.9\n");
        assert_ne!(fresh, validators);
    }
}

#[test]
fn another_url_is_asked_without_conditions() {
    let (publisher, first) = with(Answer::page(LIST).with("ETag", "\"7\""));
    let (_, validators) = body(fetch(&first));
    let other = http(&publisher.url("/list?level=3"));
    assert_eq!(
        body(fetch_again(&other, Some(validators))).0,
        LIST.as_bytes()
    );
}

#[test]
fn not_modified_is_no_answer_to_a_question_without_conditions() {
    let (_publisher, http) = with(Answer::status(304));
    let error = error(fetch(&http));
    assert!(matches!(error.why, Why::Unconditional), "{error}");
}

#[test]
fn pages_that_are_no_list_are_errors_whatever_they_hold() {
    for status in [
        201, 202, 204, 206, 300, 400, 401, 403, 404, 410, 429, 500, 502, 503,
    ] {
        let (_publisher, http) = with(Answer::status(status).with("ETag", "\"7\""));
        let error = error(fetch(&http));
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert!(error.to_string().starts_with(&http.url), "{error}");
        assert_eq!(error.retry_after, None);
    }
}

#[test]
fn servers_say_when_they_want_to_be_asked_again() {
    for (status, field, seconds) in [
        (429, "120", 120),
        (503, "Sun, 22 Nov 2026 18:01:00 GMT", 60),
    ] {
        let answer = Answer::status(status).with("Date", DATE);
        let (_publisher, http) = with(answer.with("Retry-After", field));
        let error = error(fetch(&http));
        assert_eq!(error.retry_after, Some(Duration::from_secs(seconds)));
    }
}

#[test]
fn packed_bodies_come_packed() {
    let packed = b"\x1f\x8b\x08\x00not really".as_slice();
    for coding in ["gzip", "zstd", "identity"] {
        let answer = Answer::page(packed).with("Content-Encoding", coding);
        assert_eq!(body(fetch(&with(answer).1)).0, packed);
    }
    let answer = Answer::page(packed).with("Content-Encoding", "br");
    let error = error(fetch(&with(answer).1));
    assert!(error.to_string().contains("packed as `br`"), "{error}");
}

#[test]
fn an_empty_page_is_a_content() {
    let (_publisher, http) = with(Answer::page(""));
    assert_eq!(body(fetch(&http)).0, b"");
}

#[test]
fn chunks_make_a_body() {
    let list = LIST.repeat(300);
    let (_publisher, http) = with(Answer::page(list.clone()).sent(Delivery::Chunks));
    assert_eq!(body(fetch(&http)).0, list.as_bytes());
}

#[test]
fn half_a_body_is_an_error() {
    for delivery in [Delivery::Length(LIST.len() + 1), Delivery::ChunksWithoutEnd] {
        let (_publisher, http) = with(Answer::page(LIST).sent(delivery));
        let error = error(fetch(&http));
        assert!(matches!(error.why, Why::Cut(_)), "{delivery:?}: {error}");
    }
}

/// HTTP ends a body where its length says; what a server sends behind that is not of it. Whether less
/// came than before is for the rails to judge.
#[test]
fn what_comes_behind_the_announced_length_is_not_taken() {
    let (_publisher, http) = with(Answer::page(LIST).sent(Delivery::Length(13)));
    assert_eq!(body(fetch(&http)).0, b"192.0.2.0/24\n");
}

#[test]
fn a_body_without_an_end_is_an_error() {
    let (_publisher, http) = with(Answer::page(LIST).sent(Delivery::Unframed));
    let error = error(fetch(&http));
    assert!(matches!(error.why, Why::Endless), "{error}");
}

#[test]
fn what_is_too_long_is_refused_announced_or_not() {
    let longest = usize::try_from(LONGEST).unwrap();
    for (length, delivery, fits) in [
        (longest, Delivery::Whole, true),
        (longest, Delivery::Chunks, true),
        (longest + 1, Delivery::Whole, false),
        (longest + 1, Delivery::Chunks, false),
    ] {
        let (_publisher, http) = with(Answer::page(vec![b'#'; length]).sent(delivery));
        let fetched = fetch(&http);
        if fits {
            assert_eq!(body(fetched).0.len(), length);
        } else {
            let error = error(fetched);
            assert!(matches!(error.why, Why::TooLong(LONGEST)), "{error}");
        }
    }
}

#[test]
fn a_slow_drip_ends_with_the_time_for_everything() {
    let drip = Delivery::Drip(Duration::from_millis(50));
    let (_publisher, mut http) = with(Answer::page(LIST.repeat(100)).sent(drip));
    http.timeout = Duration::from_secs(1);
    let began = Instant::now();
    let error = error(fetch(&http));
    assert!(matches!(error.why, Why::Timeout(_)), "{error}");
    assert!(error.to_string().contains("within 1s"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let publisher = Publisher::start();
    let url = publisher.url("/list?key=hush");
    drop(publisher);
    let error = error(fetch(&http(&url)));
    assert!(matches!(error.why, Why::Unreachable(_)), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}
