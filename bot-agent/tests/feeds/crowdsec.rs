//! Decisions: of a server that answers badly, and of a real `CrowdSec`.

use std::{
    thread,
    time::{Duration, Instant},
};

use bot_agent::{
    config::Http,
    feeds::{
        crowdsec::{Decisions, Poll},
        fetch::{FetchError, Fetched, Request, Why},
    },
    host::clock::now,
};

use crate::{
    local_api::CrowdSec,
    publisher::{Answer, Publisher},
    world::{Secrets, error, http, wait},
};

const STREAM: &str = "/v1/decisions/stream";
const TWO: &str = r#"{"deleted":null,"new":[
    {"id":1,"scope":"Ip","value":"192.0.2.7","type":"ban","duration":"1h0m0s"},
    {"id":2,"scope":"Range","value":"198.51.100.0/24","type":"captcha","duration":"1h0m0s"}]}"#;

/// Asks for what is missing, and takes it over.
fn poll(decisions: &mut Decisions, http: &Http) -> Result<Poll, FetchError> {
    let poll = decisions.ask(now());
    let fetched = wait(Request::CrowdSec(http.clone(), poll).fetch(None))?;
    let Fetched::Decisions(answer) = fetched else {
        panic!("{fetched:?}");
    };
    decisions.apply(&answer, now());
    Ok(poll)
}

/// What is decided, without the time that is left.
fn decided(decisions: &Decisions) -> Vec<String> {
    let entries = decisions.entries(now());
    let texts = entries
        .iter()
        .map(|(subject, kind, _)| format!("{subject} {kind}"));
    texts.collect()
}

#[test]
fn all_come_first_and_then_changes() {
    let (publisher, secrets) = (Publisher::start(), Secrets::new());
    publisher.put(STREAM, Answer::page(TWO));
    let mut http = http(&publisher.url("/"));
    http.bearer = Some(secrets.file("key", "hush\n"));
    let mut decisions = Decisions::default();
    assert_eq!(poll(&mut decisions, &http).unwrap(), Poll::Whole);
    assert_eq!(poll(&mut decisions, &http).unwrap(), Poll::Changes);
    let asked = publisher.asked();
    assert_eq!(
        asked[0].target,
        "/v1/decisions/stream?startup=true&scopes=ip%2Crange%2Cas%2Ccountry&dedup=false"
    );
    assert!(asked[1].target.contains("startup=false"), "{asked:?}");
    assert_eq!(asked[0].headers["x-api-key"], "hush");
    assert!(!asked[0].headers.contains_key("authorization"));
}

#[test]
fn bad_answers_lift_nothing_and_all_is_asked_for_again() {
    let (publisher, secrets) = (Publisher::start(), Secrets::new());
    let mut http = http(&publisher.url(""));
    http.bearer = Some(secrets.file("key", "hush"));
    let mut decisions = Decisions::default();
    for bad in [
        Answer::status(500),
        Answer::status(403),
        Answer::page(""),
        Answer::page("{}"),
        Answer::page("<html>maintenance</html>"),
        Answer::page(&TWO[..TWO.len() / 2]),
    ] {
        publisher.put(STREAM, Answer::page(TWO));
        poll(&mut decisions, &http).unwrap();
        publisher.put(STREAM, bad);
        let failed = error(poll(&mut decisions, &http).map(|_| Fetched::NotModified));
        assert!(
            matches!(failed.why, Why::Status { .. } | Why::Answer(_)),
            "{failed}"
        );
        assert_eq!(
            decided(&decisions),
            ["192.0.2.7 ban", "198.51.100.0/24 captcha"]
        );
        publisher.put(STREAM, Answer::page(TWO));
        assert_eq!(poll(&mut decisions, &http).unwrap(), Poll::Whole);
    }
}

/// Polls until that is decided.
#[track_caller]
fn becomes(decisions: &mut Decisions, http: &Http, expected: &[&str]) {
    let began = Instant::now();
    loop {
        poll(decisions, http).unwrap();
        let found = decided(decisions);
        if found == expected {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{found:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_real_server_is_followed() {
    let Some(mut server) = CrowdSec::start() else {
        return;
    };
    let mut http = http(&server.url());
    http.bearer = Some(server.key_file());
    let mut decisions = Decisions::default();

    server.decide(&["--ip", "192.0.2.7", "--duration", "1h"]);
    server.decide(&["--range", "198.51.100.9/24", "--type", "captcha"]);
    server.decide(&["--scope", "AS", "--value", "64500"]);
    server.decide(&["--scope", "Country", "--value", "DE", "--type", "throttle"]);
    server.decide(&["--scope", "user", "--value", "joe"]);
    let all = [
        "192.0.2.7 ban",
        "198.51.100.0/24 captcha",
        "AS64500 ban",
        "country:DE throttle",
    ];
    assert_eq!(poll(&mut decisions, &http).unwrap(), Poll::Whole);
    assert_eq!(decided(&decisions), all);

    // A second origin of the same ban, which ends first; the other stays.
    server.decide(&["--ip", "192.0.2.7", "--duration", "4h"]);
    becomes(&mut decisions, &http, &all);
    server.decide(&["--ip", "2001:db8::7", "--duration", "2s"]);
    let with_v6 = [all[0], all[1], "2001:db8::7 ban", all[2], all[3]];
    becomes(&mut decisions, &http, &with_v6);
    becomes(&mut decisions, &http, &all);

    server.lift(&["--value", "DE"]);
    becomes(&mut decisions, &http, &all[..3]);
    server.lift(&["--range", "198.51.100.9/24"]);
    becomes(&mut decisions, &http, &[all[0], all[2]]);

    server.stop();
    let failed = error(poll(&mut decisions, &http).map(|_| Fetched::NotModified));
    assert!(matches!(failed.why, Why::Unreachable(_)), "{failed}");
    assert_eq!(decided(&decisions), [all[0], all[2]], "what is known stays");
    server.run();
    assert_eq!(poll(&mut decisions, &http).unwrap(), Poll::Whole);
    assert_eq!(decided(&decisions), [all[0], all[2]]);

    server.lift(&["--all"]);
    becomes(&mut decisions, &http, &[]);
}

#[test]
fn a_real_server_refuses_a_wrong_key() {
    let Some(server) = CrowdSec::start() else {
        return;
    };
    let secrets = Secrets::new();
    let mut http = http(&server.url());
    http.bearer = Some(secrets.file("key", "hush"));
    let failed = error(wait(Request::CrowdSec(http, Poll::Whole).fetch(None)));
    assert!(
        failed
            .to_string()
            .contains("403 Forbidden: does the secret"),
        "{failed}"
    );
}
