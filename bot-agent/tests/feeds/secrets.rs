//! Secrets: sent where they belong, read each time, told to nobody.

use bot_agent::{
    config::Http,
    feeds::fetch::{Request, Why},
};

use crate::{
    publisher::{Answer, Publisher},
    world::{Secrets, body, error, fetch, http, wait},
};

struct World {
    publisher: Publisher,
    secrets: Secrets,
    http: Http,
}

impl World {
    fn new() -> Self {
        let publisher = Publisher::start();
        publisher.put("/list", Answer::page("192.0.2.1\n"));
        let http = http(&publisher.url("/list?key=hush"));
        Self {
            publisher,
            secrets: Secrets::new(),
            http,
        }
    }

    /// The header field as the publisher sees it.
    fn sent(&self, name: &str) -> String {
        body(fetch(&self.http));
        self.publisher.asked()[0].headers[name].clone()
    }
}

#[test]
fn each_kind_is_sent_as_its_standard_says() {
    let mut world = World::new();
    world.http.bearer = Some(world.secrets.file("token", " hush\n"));
    assert_eq!(world.sent("authorization"), "Bearer hush");

    let mut world = World::new();
    world.http.basic = Some(world.secrets.file("login", "Aladdin:open sesame\n"));
    // The example of RFC 7617.
    assert_eq!(
        world.sent("authorization"),
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    );

    let mut world = World::new();
    let key = world.secrets.file("key", "hush\n");
    world.http.headers = vec![("Key".to_owned(), key)];
    assert_eq!(world.sent("key"), "hush");
}

#[test]
fn a_replaced_secret_is_used_the_next_time() {
    let mut world = World::new();
    world.http.bearer = Some(world.secrets.file("token", "old"));
    assert_eq!(world.sent("authorization"), "Bearer old");
    world.secrets.file("token", "new");
    assert_eq!(world.sent("authorization"), "Bearer new");
}

#[test]
fn credentials_of_systemd_are_found_by_name() {
    let world = World::new();
    world.secrets.file("token", "hush");
    let mut http = world.http.clone();
    http.bearer = Some("credential:token".into());
    let request = Request::Http(http, None);
    body(wait(request.clone().fetch(Some(world.secrets.folder()))));
    assert_eq!(
        world.publisher.asked()[0].headers["authorization"],
        "Bearer hush"
    );

    let error = error(wait(request.fetch(None)));
    assert!(
        error.to_string().contains("$CREDENTIALS_DIRECTORY"),
        "{error}"
    );
    assert!(
        world.publisher.asked().is_empty(),
        "nothing is asked without it"
    );
}

#[test]
fn secrets_that_cannot_be_used_are_named_by_their_file() {
    let mut world = World::new();
    for (name, content) in [("empty", ""), ("lines", "hush\nhush"), ("letters", "hüsh")] {
        world.http.bearer = Some(world.secrets.file(name, content));
        let error = error(fetch(&world.http));
        assert!(matches!(error.why, Why::Secret(_)), "{error}");
        assert!(error.to_string().contains(&format!("/{name}: ")), "{error}");
    }
    world.http.bearer = Some(world.secrets.folder().join("missing"));
    let error_ = error(fetch(&world.http));
    assert!(error_.to_string().contains("No such file"), "{error_}");
    world.http.bearer = None;
    world.http.basic = Some(world.secrets.file("login", "hush"));
    let error_ = error(fetch(&world.http));
    assert!(error_.to_string().contains("user:password"), "{error_}");
}

#[test]
fn errors_of_a_server_that_knows_us_name_no_secret() {
    let mut world = World::new();
    world.http.basic = Some(world.secrets.file("login", "hush:hush"));
    let key = world.secrets.file("key", "hush");
    world.http.headers = vec![("Key".to_owned(), key)];
    world.publisher.put("/list", Answer::status(403));
    let error = error(fetch(&world.http));
    let text = error.to_string();
    assert!(
        text.contains("/list?...: answers 403 Forbidden: does the secret"),
        "{text}"
    );
}

#[test]
fn a_user_in_the_url_is_refused() {
    let error = error(fetch(&http("https://hush:hush@feeds.example/list")));
    assert!(matches!(error.why, Why::Url), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("https://feeds.example/list: "),
        "{error}"
    );
}
