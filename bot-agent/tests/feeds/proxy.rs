//! A proxy that the environment names. An environment is a process's, so there is one for it.

use std::{env, process::Command};

use crate::{
    publisher::{Answer, Publisher},
    world::{body, fetch, http},
};

/// What is asked of the proxy.
const FAR: &str = "http://feeds.example/list";
/// Names the URL of a server on this host.
const NEAR: &str = "BOT_TEST_NEAR";

#[test]
fn a_proxy_is_asked_for_everything_but_this_host() {
    match env::var(NEAR) {
        Ok(near) => with_a_proxy(&near),
        Err(_) => start_with_a_proxy(),
    }
}

/// Runs this test again, in another environment.
fn start_with_a_proxy() {
    let (proxy, near) = (Publisher::start(), Publisher::start());
    proxy.put(FAR, Answer::page("by the proxy"));
    near.put("/list", Answer::page("from here"));
    let fetched = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "proxy::a_proxy_is_asked_for_everything_but_this_host",
        ])
        .env("HTTP_PROXY", proxy.url(""))
        .env(NEAR, near.url("/list"))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("http_proxy")
        .output()
        .unwrap();
    assert!(fetched.status.success(), "{fetched:?}");
    let asked = |of: &Publisher| of.asked().into_iter().map(|asked| asked.target);
    assert_eq!(asked(&proxy).collect::<Vec<_>>(), [FAR]);
    assert_eq!(asked(&near).collect::<Vec<_>>(), ["/list"]);
}

fn with_a_proxy(near: &str) {
    assert_eq!(body(fetch(&http(FAR))).0, b"by the proxy");
    assert_eq!(body(fetch(&http(near))).0, b"from here");
}
