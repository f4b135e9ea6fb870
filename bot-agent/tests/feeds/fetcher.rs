//! The fetcher: each feed once at a time, and nothing left behind.

use std::time::Duration;

use bot_agent::feeds::fetch::{Fetched, Fetcher, Request};

use crate::{
    publisher::{Answer, Delivery, Publisher},
    world::{http, wait},
};

fn request(publisher: &Publisher, path: &str) -> Request {
    Request::Http(http(&publisher.url(path)), None)
}

/// A publisher with a page that comes at once and one that does not.
fn publisher() -> Publisher {
    let publisher = Publisher::start();
    publisher.put("/fast", Answer::page("192.0.2.1\n"));
    let drip = Delivery::Drip(Duration::from_mins(1));
    publisher.put("/slow", Answer::page("192.0.2.1\n").sent(drip));
    publisher
}

#[test]
fn a_feed_is_fetched_once_at_a_time() {
    let publisher = publisher();
    wait(async {
        let mut fetcher = Fetcher::new(None);
        assert!(fetcher.start("a", request(&publisher, "/fast")));
        assert!(!fetcher.start("a", request(&publisher, "/fast")));
        assert!(fetcher.start("b", request(&publisher, "/missing")));
        let mut done = vec![fetcher.done().await, fetcher.done().await];
        done.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(
            matches!(done[0].outcome, Ok(Fetched::Body { .. })),
            "{done:?}"
        );
        assert!(done[1].outcome.is_err(), "{done:?}");
        assert!(!fetcher.is_running("a"));
        assert!(
            fetcher.start("a", request(&publisher, "/fast")),
            "and again"
        );
        assert_eq!(fetcher.done().await.name, "a");
    });
    assert_eq!(publisher.asked().len(), 3);
}

#[test]
fn a_wait_that_is_given_up_loses_nothing() {
    let publisher = publisher();
    wait(async {
        let mut fetcher = Fetcher::new(None);
        let nothing = tokio::time::timeout(Duration::from_millis(20), fetcher.done());
        assert!(nothing.await.is_err(), "there is nothing to wait for");
        fetcher.start("a", request(&publisher, "/fast"));
        let done = loop {
            let soon = tokio::time::timeout(Duration::from_micros(50), fetcher.done());
            if let Ok(done) = soon.await {
                break done;
            }
        };
        assert!(done.outcome.is_ok(), "{done:?}");
    });
}

#[test]
fn a_stopped_fetch_is_not_reported_and_a_new_one_may_begin() {
    let publisher = publisher();
    wait(async {
        let mut fetcher = Fetcher::new(None);
        fetcher.start("a", request(&publisher, "/slow"));
        fetcher.stop("a");
        assert!(!fetcher.is_running("a"));
        assert!(fetcher.start("a", request(&publisher, "/fast")));
        let done = fetcher.done().await;
        assert!(matches!(done.outcome, Ok(Fetched::Body { .. })), "{done:?}");
    });
}

#[test]
fn slow_servers_do_not_hold_up_others_for_ever() {
    let publisher = publisher();
    wait(async {
        let mut fetcher = Fetcher::new(None);
        for name in ["1", "2", "3", "4"] {
            let mut slow = http(&publisher.url("/slow"));
            slow.timeout = Duration::from_millis(500);
            fetcher.start(name, Request::Http(slow, None));
        }
        fetcher.start("5", request(&publisher, "/fast"));
        let first = fetcher.done().await;
        assert!(first.outcome.is_err(), "all turns are taken: {first:?}");
        let done = loop {
            let done = fetcher.done().await;
            if done.name == "5" {
                break done;
            }
        };
        assert!(done.outcome.is_ok(), "{done:?}");
        assert!(
            done.took < Duration::from_millis(500),
            "waiting is not counted"
        );
    });
}
