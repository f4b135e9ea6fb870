//! Feeds of publishers that answer badly: whatever they send, the last good content stays in force,
//! and the next good one comes into force.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    process::Command,
    thread,
    time::Duration,
};

use bot_tests::{
    feeds::{PORT, client, drops, enforcing, feeds, hosts, lab_with_clients, show, told},
    lab::{FRIEND, HOST, IFACE, Lab},
    privilege::is_root,
    publisher::{Answer, Delivery, Publisher},
    resident::Resident,
    traffic::{Sink, Stream},
};

/// Longest content that the feeds here take.
const LONGEST: usize = 1 << 20;

/// A feed `bad` of a publisher's `/list`.
fn config(publisher: &Publisher, rest: &str) -> String {
    let url = publisher.url("/list");
    enforcing(&format!(
        "[[feed]]\nname = \"bad\"\nurl = \"{url}\"\nevery = \"1h\"\ntimeout = \"1s\"\n\
         max_bytes = {LONGEST}\naction = \"block\"\n{rest}\n"
    ))
}

/// The content that a publisher has at a time: the first client, many others, and a mark of the time.
fn content(time: u8) -> String {
    let (many, mark) = (hosts([11, 1, 0, 0], 200), mark(time));
    format!("{}\n{many}{mark}\n", client(1))
}

fn mark(time: u8) -> IpAddr {
    Ipv4Addr::new(11, 2, 0, time).into()
}

/// The one mark that is in force.
fn mark_in_force(agent: &Resident<'_>) -> Vec<u8> {
    let times = 0..=u8::MAX;
    times.filter(|time| drops(agent, mark(*time))).collect()
}

/// What is short enough to be sent, and too long when it is unpacked.
fn bomb(agent: &Resident<'_>) -> Vec<u8> {
    let plain = agent.path("bomb");
    File::create(&plain).unwrap().set_len(64 << 20).unwrap();
    let packed = Command::new("gzip").arg("-c1").arg(&plain).output();
    fs::remove_file(&plain).unwrap();
    let packed = packed.expect("gzip").stdout;
    assert!((1..LONGEST).contains(&packed.len()));
    packed
}

/// Runs a test where its agent and its publisher see each other.
fn in_host(lab: &Lab, test: impl FnOnce() + Send) {
    lab.host.run(test);
}

#[test]
fn whatever_a_publisher_answers_the_last_good_content_stays_in_force() {
    if !is_root("whatever_a_publisher_answers") {
        return;
    }
    let lab = lab_with_clients("publishers", 1);
    in_host(&lab, || {
        let sink = Sink::new(&lab.host, PORT);
        let publisher = Publisher::start();
        publisher.put("/list", Answer::page(content(0)).with("ETag", "\"0\""));
        let mut agent = Resident::new(&lab.host, &config(&publisher, ""));
        agent.start(&["-i", IFACE]);
        told(&agent, "bad", "updated", "202 entries in force");
        let _stream = Stream::new(&lab.peer, &[client(1), FRIEND], (HOST, PORT));
        sink.wait_for_more(FRIEND, 10);
        let before = sink.count(client(1));

        // Not changed.
        let asked = publisher.asked().len();
        let said = feeds(&agent, "refresh", "bad").ok();
        assert_eq!(said, "bad: not changed\n", "after {asked} requests");
        assert_eq!(publisher.asked()[0].headers["if-none-match"], "\"0\"");
        assert_eq!(mark_in_force(&agent), [0]);

        let list = content(99);
        let redirect = Answer::redirect("/list");
        let page = |text: &str| Answer::page(text);
        let answers = [
            (
                "busy",
                Answer::status(429).with("Retry-After", "7200"),
                "429",
            ),
            ("broken", Answer::status(500), "500"),
            ("a loop", redirect, "redirect"),
            (
                "half a body",
                page(&list).sent(Delivery::ChunksWithoutEnd),
                "",
            ),
            (
                "a wrong length",
                page(&list).sent(Delivery::Length(list.len() + 1_000)),
                "",
            ),
            ("a gzip bomb", Answer::page(bomb(&agent)), "1,048,576"),
            ("a web page", page("<html>gone</html>\n"), "a web page"),
            (
                "a drip",
                page(&list).sent(Delivery::Drip(Duration::from_millis(20))),
                "within 1s",
            ),
            ("nothing", page(""), "is held: it has no entries"),
            (
                "private networks",
                page("10.0.0.0/8\n192.168.0.0/16\n"),
                "is held: it has no entries",
            ),
            (
                "everything",
                page("0.0.0.0/0\n::/0\n"),
                "is held: it has no entries",
            ),
        ];
        for (round, (what, bad, says)) in (1..).zip(answers) {
            publisher.put("/list", bad);
            let said = feeds(&agent, "refresh", "bad");
            assert_eq!(said.code, 2, "{what}: {said:?}");
            assert!(said.error_line().contains(says), "{what}: {said:?}");
            assert_eq!(mark_in_force(&agent), [round - 1], "{what}");
            let feed = show(&agent, "bad");
            assert_eq!(feed["entries"], 202, "{what}: {feed}");
            let state = if says.contains("held") {
                "held"
            } else {
                "failing"
            };
            assert_eq!(feed["state"], state, "{what}: {feed}");
            if what == "busy" {
                assert!(feed["next_seconds"].as_u64() >= Some(7_190), "{feed}");
            }
            assert_eq!(agent.cli(&["feeds", "list"]).code, 1, "{what}");

            publisher.put("/list", Answer::page(content(round)));
            let said = feeds(&agent, "refresh", "bad").ok();
            assert_eq!(
                said, "bad: 202 entries in force, 1 new, 1 gone\n",
                "after {what}"
            );
            assert_eq!(mark_in_force(&agent), [round], "after {what}");
            let feed = show(&agent, "bad");
            assert_eq!(
                (&feed["state"], &feed["prefixes"]),
                (&"ok".into(), &202.into())
            );
            assert_eq!(agent.cli(&["feeds", "list"]).code, 0, "after {what}");
        }
        sink.wait_for_more(FRIEND, 10);
        assert_eq!(sink.count(client(1)), before, "packets came through");
    });
}

#[test]
fn what_has_not_changed_was_seen_just_now() {
    if !is_root("what_has_not_changed") {
        return;
    }
    let lab = lab_with_clients("not-changed", 0);
    in_host(&lab, || {
        let publisher = Publisher::start();
        publisher.put("/list", Answer::page(content(0)).with("ETag", "\"0\""));
        let weighing = config(&publisher, "").replace("action = \"block\"", "weight = 50");
        let mut agent = Resident::new(&lab.host, &weighing);
        agent.start(&["-i", IFACE]);
        told(&agent, "bad", "updated", "202 entries in force");
        let age = || {
            let check = agent.json(&["check", &client(1).to_string()]);
            check["evidence"]["parts"][0]["age"].as_u64().unwrap()
        };
        // Longer than an answer takes.
        while age() < 4 {
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(feeds(&agent, "refresh", "bad").ok(), "bad: not changed\n");
        assert!(age() < 4);
    });
}

#[test]
fn without_its_publisher_an_agent_begins_with_the_last_good_copy() {
    if !is_root("without_its_publisher") {
        return;
    }
    let lab = lab_with_clients("no-publisher", 0);
    in_host(&lab, || {
        let publisher = Publisher::start();
        publisher.put("/list", Answer::page(content(0)));
        let mut agent = Resident::new(&lab.host, &config(&publisher, ""));
        agent.start(&["-i", IFACE]);
        told(&agent, "bad", "updated", "202 entries");
        drop(publisher);
        agent.stop();
        // As after a reboot: the kernel has nothing.
        agent.ok(&["detach"]);
        agent.start(&["-i", IFACE]);
        assert!(drops(&agent, mark(0)));
        let feed = show(&agent, "bad");
        assert_eq!(
            (&feed["entries"], &feed["state"]),
            (&202.into(), &"ok".into())
        );
        let said = feeds(&agent, "refresh", "bad").fails(2);
        assert!(said.contains("refused"), "{said}");
        assert!(drops(&agent, mark(0)));
    });
}

#[test]
fn a_damaged_copy_is_told_and_fetched_anew() {
    if !is_root("a_damaged_copy") {
        return;
    }
    let lab = lab_with_clients("damaged-copy", 0);
    in_host(&lab, || {
        let publisher = Publisher::start();
        publisher.put("/list", Answer::page(content(0)).with("ETag", "\"0\""));
        let mut agent = Resident::new(&lab.host, &config(&publisher, ""));
        agent.start(&["-i", IFACE]);
        told(&agent, "bad", "updated", "202 entries");
        agent.stop();
        agent.ok(&["detach"]);
        let copy = agent.path("state/feeds/bad/current");
        let whole = fs::read(&copy).unwrap();
        fs::write(&copy, &whole[..whole.len() / 2]).unwrap();
        agent.start(&["-i", IFACE]);
        agent.event("the damage", |event| {
            event["event"] == "error" && event.to_string().contains("/bad/current: ")
        });
        told(&agent, "bad", "updated", "202 entries");
        assert!(drops(&agent, mark(0)));
        assert_eq!(show(&agent, "bad")["state"], "ok");
        assert_eq!(fs::read(&copy).unwrap().len(), whole.len());

        // What was damaged is not what a rollback goes back to.
        publisher.put("/list", Answer::page(content(1)));
        feeds(&agent, "refresh", "bad").ok();
        feeds(&agent, "rollback", "bad").ok();
        assert_eq!(mark_in_force(&agent), [0]);
    });
}

#[test]
fn who_waits_for_a_fetch_is_answered_when_the_feed_is_paused() {
    if !is_root("who_waits_for_a_fetch") {
        return;
    }
    let lab = lab_with_clients("paused-fetch", 0);
    in_host(&lab, || {
        let publisher = Publisher::start();
        publisher.put("/list", Answer::page(content(0)));
        let config = config(&publisher, "").replace("\"1s\"", "\"1m\"");
        let mut agent = Resident::new(&lab.host, &config);
        agent.start(&["-i", IFACE]);
        told(&agent, "bad", "updated", "202 entries");
        publisher.asked();
        let drip = Delivery::Drip(Duration::from_millis(100));
        publisher.put("/list", Answer::page(content(1)).sent(drip));
        thread::scope(|scope| {
            let waits = scope.spawn(|| feeds(&agent, "refresh", "bad"));
            while publisher.asked().is_empty() {
                thread::yield_now();
            }
            feeds(&agent, "pause", "bad").ok();
            let said = waits.join().unwrap().fails(2);
            assert!(said.contains("paused"), "{said}");
        });
        assert_eq!(mark_in_force(&agent), [0]);
    });
}
