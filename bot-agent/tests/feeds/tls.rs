//! TLS: who is believed, and that there is no way back from it.

use std::fs;

use bot_agent::feeds::fetch::Why;

use crate::{
    publisher::{Answer, Delivery, Publisher},
    world::{Secrets, body, error, fetch, http},
};

fn secure() -> Publisher {
    let publisher = Publisher::secure();
    publisher.put("/list", Answer::page("192.0.2.1\n"));
    publisher
}

#[test]
fn a_server_is_believed_with_its_authority_only() {
    let publisher = secure();
    let mut http = http(&publisher.url("/list"));
    let refused = error(fetch(&http));
    assert!(matches!(refused.why, Why::Unreachable(_)), "{refused}");
    assert!(refused.to_string().contains("certificate"), "{refused}");
    http.ca = Some(publisher.ca());
    assert_eq!(body(fetch(&http)).0, b"192.0.2.1\n");
    http.url = http.url.replace("127.0.0.1", "localhost");
    let refused = error(fetch(&http));
    assert!(refused.to_string().contains("certificate"), "{refused}");
}

#[test]
fn authorities_that_cannot_be_read_are_named() {
    let secrets = Secrets::new();
    let mut http = http(&secure().url("/list"));
    for (name, content) in [
        ("none", "nonsense"),
        (
            "broken",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
    ] {
        let path = secrets.file(name, content);
        http.ca = Some(path.clone());
        let error = error(fetch(&http));
        assert!(!error.to_string().contains("bug"), "{error}");
        assert!(
            error.to_string().contains("ca") || error.to_string().contains("ertificate"),
            "{error}"
        );
        fs::remove_file(path).unwrap();
    }
    let error = error(fetch(&http));
    assert!(
        error.to_string().contains("/broken: No such file"),
        "{error}"
    );
}

#[test]
fn from_https_nothing_leads_to_http() {
    let (publisher, open) = (secure(), Publisher::start());
    open.put("/list", Answer::page("0.0.0.0/0\n"));
    publisher.put("/moved", Answer::redirect(&open.url("/list")));
    let mut http = http(&publisher.url("/moved"));
    http.ca = Some(publisher.ca());
    let error = error(fetch(&http));
    assert!(matches!(error.why, Why::Downgrade), "{error}");
    assert!(open.asked().is_empty());
}

#[test]
fn from_http_a_redirect_may_lead_to_https() {
    let (publisher, open) = (secure(), Publisher::start());
    open.put("/list", Answer::redirect(&publisher.url("/list")));
    let mut http = http(&open.url("/list"));
    http.ca = Some(publisher.ca());
    assert_eq!(body(fetch(&http)).0, b"192.0.2.1\n");
}

#[test]
fn half_a_body_is_an_error_here_too() {
    let publisher = secure();
    publisher.put(
        "/list",
        Answer::page("192.0.2.1\n").sent(Delivery::Length(100)),
    );
    let mut http = http(&publisher.url("/list"));
    http.ca = Some(publisher.ca());
    let error = error(fetch(&http));
    assert!(matches!(error.why, Why::Cut(_)), "{error}");
}
