//! Reputation feeds at a real agent: updates that are taken, held, accepted and taken back, what a
//! feed is good for, and what becomes of packets.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    fs::File,
    net::Ipv4Addr,
    time::{Duration, Instant, SystemTime},
};

use bot_tests::{
    feeds::{
        CLIENTS, PORT, client, drops, enforcing, feeds, file_feed, hosts, lab_with_clients, show,
        told, write,
    },
    lab::{HOST, IFACE, Lab},
    privilege::is_root,
    resident::Resident,
    traffic::{is_cut_off, listen, reaches},
};

/// An agent with one feed `bad` of a file.
fn with_feed<'a>(lab: &'a Lab, rest: &str, content: &str) -> Resident<'a> {
    let mut agent = Resident::new(&lab.host, "");
    write(&agent, "bad", content);
    agent.configure(&enforcing(&file_feed(&agent, "bad", rest)));
    agent.start(&["-i", IFACE]);
    told(&agent, "bad", "updated", " in force, ");
    agent
}

#[test]
fn an_update_that_shrinks_is_held_until_it_is_accepted_and_can_be_taken_back() {
    if !is_root("an_update_that_shrinks_is_held") {
        return;
    }
    let lab = lab_with_clients("held", 0);
    let mut agent = with_feed(&lab, "action = \"block\"", &hosts([11, 0, 0, 0], 200));
    let (kept, gone) = ([11, 0, 0, 7], [11, 0, 0, 190]);
    let state = |agent: &Resident<'_>| [kept, gone].map(|host| drops(agent, Ipv4Addr::from(host)));
    assert_eq!(state(&agent), [true, true]);

    write(&agent, "bad", hosts([11, 0, 0, 0], 80));
    let held = "the update of bad is held: it has 80 entries, 200 before (-60 %, more than 50 %)";
    told(&agent, "bad", "held", held);
    let list = agent.cli(&["feeds", "list"]);
    assert_eq!(list.code, 1, "{list:?}");
    assert!(list.out.contains("held"), "{list:?}");
    let notes = agent.json(&["status"])["notes"].to_string();
    assert!(notes.contains(held), "{notes}");
    assert_eq!(show(&agent, "bad")["held"]["entries"], 80);
    assert_eq!(state(&agent), [true, true]);

    // It waits over a restart as well.
    agent.stop();
    agent.start(&["-i", IFACE]);
    assert_eq!(show(&agent, "bad")["state"], "held");
    assert_eq!(state(&agent), [true, true]);
    let said = feeds(&agent, "accept", "bad").ok();
    assert_eq!(said, "bad: 80 entries in force, 0 new, 120 gone\n");
    assert_eq!(state(&agent), [true, false]);
    assert_eq!(agent.cli(&["feeds", "list"]).code, 0);
    let none = feeds(&agent, "accept", "bad").fails(2);
    assert!(none.contains("no update of bad is held"), "{none}");

    let said = feeds(&agent, "rollback", "bad").ok();
    assert!(said.starts_with("bad: 200 entries in force, "), "{said}");
    let twice = feeds(&agent, "rollback", "bad").fails(2);
    assert!(twice.contains("bad is rolled back already"), "{twice}");
    assert_eq!(state(&agent), [true, true]);
    let feed = show(&agent, "bad");
    assert_eq!(
        (&feed["state"], &feed["entries"]),
        (&"paused".into(), &200.into())
    );
    agent.stop();
    agent.start(&["-i", IFACE]);
    assert_eq!(show(&agent, "bad")["state"], "paused");
    assert_eq!(state(&agent), [true, true]);
}

#[test]
fn a_paused_feed_takes_no_updates_until_it_is_resumed() {
    if !is_root("a_paused_feed") {
        return;
    }
    let lab = lab_with_clients("paused", 0);
    let agent = with_feed(&lab, "action = \"block\"", "11.0.0.1\n");
    feeds(&agent, "pause", "bad").ok();
    write(&agent, "bad", "11.0.0.2\n");
    let said = feeds(&agent, "refresh", "bad").fails(2);
    assert!(said.contains("feeds resume bad"), "{said}");
    assert!(drops(&agent, client(1)) && !drops(&agent, client(2)));
    assert_eq!(show(&agent, "bad")["state"], "paused");
    feeds(&agent, "resume", "bad").ok();
    feeds(&agent, "refresh", "bad").ok();
    assert!(!drops(&agent, client(1)) && drops(&agent, client(2)));
    assert_eq!(show(&agent, "bad")["state"], "ok");
}

#[test]
fn a_feed_without_news_is_called_stale_and_stays_in_force() {
    if !is_root("a_feed_without_news") {
        return;
    }
    let lab = lab_with_clients("stale", 0);
    let mut agent = Resident::new(&lab.host, "");
    let old = |name: &str, content: &str| {
        let file = File::options()
            .append(true)
            .open(write(&agent, name, content));
        let long_ago = SystemTime::now() - Duration::from_hours(24 * 4);
        file.unwrap().set_modified(long_ago).unwrap();
    };
    old("old-file", "11.0.0.1\n");
    old("weekly", "11.0.0.2\n");
    let made =
        r#"{"creationTime": "2020-01-01T00:00:00", "prefixes": [{"ipv4Prefix": "11.0.0.3/32"}]}"#;
    write(&agent, "old-stamp", made);
    let feeds_of = ["old-file", "weekly", "old-stamp"].map(|name| {
        let every = if name == "weekly" { "7d" } else { "1d" };
        file_feed(
            &agent,
            name,
            &format!("every = \"{every}\"\naction = \"block\""),
        )
    });
    agent.configure(&enforcing(&feeds_of.concat()));
    agent.start(&["-i", IFACE]);
    for name in ["old-file", "old-stamp"] {
        told(&agent, name, "stale", "no news since 20");
        assert_eq!(show(&agent, name)["state"], "stale");
    }
    assert_eq!(show(&agent, "weekly")["state"], "ok");
    assert!((1..=3).all(|last| drops(&agent, client(last))));
    assert_eq!(agent.cli(&["feeds", "list"]).code, 1);

    write(&agent, "old-file", "11.0.0.1\n");
    write(&agent, "old-stamp", "11.0.0.3\n");
    agent.ok(&["feeds", "refresh"]);
    let list = agent.cli(&["feeds", "list"]);
    assert_eq!(list.code, 0, "{list:?}");
}

#[test]
fn rails_can_be_loosened_by_name() {
    if !is_root("rails_can_be_loosened") {
        return;
    }
    let lab = lab_with_clients("loosen", 0);
    let content = hosts([11, 0, 0, 0], 200) + "198.51.100.0/24\n";
    let agent = with_feed(&lab, "action = \"block\"", &content);
    let documentation = Ipv4Addr::new(198, 51, 100, 7);
    assert!(!drops(&agent, documentation));
    let feed = show(&agent, "bad");
    assert_eq!(
        feed["thrown"][0]["examples"][0], "198.51.100.0/24",
        "{feed}"
    );

    let loose = "action = \"block\"\nloosen = [\"change\", \"reserved\"]";
    agent.configure(&enforcing(&file_feed(&agent, "bad", loose)));
    agent.ok(&["reload"]);
    told(&agent, "bad", "updated", "201 entries in force, 1 new");
    assert!(drops(&agent, documentation));
    write(&agent, "bad", "11.0.0.7\n");
    let said = feeds(&agent, "refresh", "bad").ok();
    assert_eq!(said, "bad: 1 entry in force, 0 new, 200 gone\n");
    assert!(!drops(&agent, documentation));
}

#[test]
fn a_reload_follows_what_feeds_are_configured() {
    if !is_root("a_reload_follows") {
        return;
    }
    let lab = lab_with_clients("reloaded", 0);
    // Lists that name the address, of 8.
    let agent = with_feed(
        &lab,
        "action = \"block\"",
        "11.0.0.1\t2\n11.0.0.2\t6\n11.0.0.3\t8\n",
    );
    assert_eq!(show(&agent, "bad")["format"], "ipsum");
    let dropped = |agent: &Resident<'_>| [1, 2, 3].map(|last| drops(agent, client(last)));
    assert_eq!(dropped(&agent), [true, true, true]);

    let sure = "action = \"block\"\nmin_confidence = 50";
    agent.configure(&enforcing(&file_feed(&agent, "bad", sure)));
    agent.ok(&["reload"]);
    told(
        &agent,
        "bad",
        "updated",
        "2 entries in force, 0 new, 1 gone",
    );
    assert_eq!(dropped(&agent), [false, true, true]);

    // A role is another one at once, without a new content.
    agent.configure(&enforcing(&file_feed(
        &agent,
        "bad",
        "action = \"monitor\"\nmin_confidence = 50",
    )));
    agent.ok(&["reload"]);
    assert_eq!(dropped(&agent), [false, false, false]);
    assert_eq!(show(&agent, "bad")["entries"], 2);
    agent.configure(&enforcing(&file_feed(&agent, "bad", sure)));
    agent.ok(&["reload"]);
    assert_eq!(dropped(&agent), [false, true, true]);

    agent.configure(&enforcing(""));
    agent.ok(&["reload"]);
    assert_eq!(dropped(&agent), [false, false, false]);
    let unknown = feeds(&agent, "show", "bad").fails(2);
    assert!(unknown.contains("none is configured"), "{unknown}");
}

#[test]
fn weights_of_different_groups_add_up_to_a_block_and_those_of_one_do_not() {
    if !is_root("weights_of_different_groups") {
        return;
    }
    let lab = lab_with_clients("scores", 3);
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    // The first is in feeds of two groups, the second in two of one group, the third in one.
    write(&agent, "one", "11.0.0.1\n11.0.0.2\n11.0.0.3\n");
    write(&agent, "copy", "11.0.0.2\n");
    write(&agent, "two", "11.0.0.1\n");
    let feed = |name, group: &str| {
        let rest = format!("weight = 70\ngroup = \"{group}\"\ncategory = \"abuse\"");
        file_feed(&agent, name, &rest)
    };
    let three = [feed("one", "a"), feed("copy", "a"), feed("two", "b")];
    agent.configure(&enforcing(&three.concat()));
    agent.start(&["-i", IFACE]);
    agent.ok(&["feeds", "refresh"]);

    for (last, score, tier) in [(1, 91, "block"), (2, 70, "throttle"), (3, 70, "throttle")] {
        let ran = agent.cli(&["check", &client(last).to_string(), "-o", "json"]);
        assert_eq!(ran.code == 1, tier == "block", "{ran:?}");
        let evidence = &ran.json()["evidence"];
        assert_eq!(
            (&evidence["score"], &evidence["tier"]),
            (&score.into(), &tier.into())
        );
        assert_eq!(drops(&agent, client(last)), tier == "block");
    }
    is_cut_off(&lab.peer, client(1), (HOST, PORT));
    reaches(&lab.peer, client(2), (HOST, PORT));
    reaches(&lab.peer, client(3), (HOST, PORT));

    let overlap = agent.json(&["feeds", "overlap", "one", "two"]);
    assert_eq!(overlap["common"]["entries"], 1, "{overlap}");
    assert_eq!(overlap["one"]["amount"]["addresses_v4"], 3, "{overlap}");
    assert_eq!(overlap["other"]["amount"]["addresses_v4"], 1, "{overlap}");

    // Without the second feed the first one alone is not enough.
    write(&agent, "two", "11.0.0.9\n");
    feeds(&agent, "refresh", "two").ok();
    reaches(&lab.peer, client(1), (HOST, PORT));
}

#[test]
fn guards_and_allow_lists_exempt_from_feeds_and_operators_stand_above() {
    if !is_root("guards_and_allow_lists") {
        return;
    }
    let lab = lab_with_clients("guards", 4);
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    write(&agent, "bad", CLIENTS);
    write(&agent, "shared", "11.0.0.1\n");
    write(&agent, "partners", "11.0.0.2\n");
    let three = [("bad", "block"), ("shared", "guard"), ("partners", "allow")];
    let three =
        three.map(|(name, action)| file_feed(&agent, name, &format!("action = \"{action}\"")));
    agent.configure(&enforcing(&three.concat()));
    agent.start(&["-i", IFACE]);
    agent.ok(&["feeds", "refresh"]);
    for name in ["bad", "shared", "partners"] {
        assert_eq!(show(&agent, name)["entries"], 1);
    }
    reaches(&lab.peer, client(1), (HOST, PORT));
    reaches(&lab.peer, client(2), (HOST, PORT));
    is_cut_off(&lab.peer, client(3), (HOST, PORT));
    agent.ok(&["block", "11.0.0.1", "11.0.0.2"]);
    agent.ok(&["allow", "11.0.0.3", "--permanent"]);
    is_cut_off(&lab.peer, client(1), (HOST, PORT));
    is_cut_off(&lab.peer, client(2), (HOST, PORT));
    reaches(&lab.peer, client(3), (HOST, PORT));
}

#[test]
fn answers_to_connections_of_this_host_come_in_unless_a_feed_is_about_all_packets() {
    if !is_root("answers_to_connections_of_this_host") {
        return;
    }
    let lab = lab_with_clients("outbound", 1);
    let (_server, _far) = (listen(&lab.host, PORT), listen(&lab.peer, PORT));
    let agent = with_feed(&lab, "action = \"block\"", "11.0.0.1\n");
    is_cut_off(&lab.peer, client(1), (HOST, PORT));
    // The far port is one that this host serves too: the near port of the connection is not.
    reaches(&lab.host, HOST, (client(1), PORT));

    let all = "action = \"block\"\nscope = \"all\"";
    agent.configure(&enforcing(&file_feed(&agent, "bad", all)));
    agent.ok(&["reload"]);
    is_cut_off(&lab.host, HOST, (client(1), PORT));
    is_cut_off(&lab.peer, client(1), (HOST, PORT));
}

#[test]
fn what_is_read_again_is_no_update_to_roll_back() {
    if !is_root("what_is_read_again_is_no_update") {
        return;
    }
    let lab = lab_with_clients("again", 0);
    let agent = with_feed(&lab, "action = \"block\"", &hosts([11, 0, 0, 0], 30));
    let late = Ipv4Addr::from([11, 0, 0, 31]);
    write(&agent, "bad", hosts([11, 0, 0, 0], 32));
    told(&agent, "bad", "updated", "2 new");
    for _ in 0..2 {
        write(&agent, "bad", hosts([11, 0, 0, 0], 32));
        feeds(&agent, "refresh", "bad").ok();
    }
    assert!(drops(&agent, late));
    feeds(&agent, "rollback", "bad").ok();
    assert!(!drops(&agent, late));
}

#[test]
fn a_refused_file_does_not_say_that_its_last_good_entries_were_seen() {
    if !is_root("a_refused_file_does_not_say") {
        return;
    }
    let lab = lab_with_clients("refused", 0);
    let agent = with_feed(&lab, "action = \"block\"", &hosts([11, 0, 0, 0], 30));
    write(&agent, "bad", "<html>not a list</html>\n");
    feeds(&agent, "refresh", "bad").fails(2);
    assert!(drops(&agent, Ipv4Addr::from([11, 0, 0, 7])));
    // It is looked at several times a second; each time it is the same file.
    let end = Instant::now() + Duration::from_secs(10);
    while show(&agent, "bad")["age_seconds"].as_u64() < Some(2) {
        assert!(Instant::now() < end, "{}", show(&agent, "bad"));
    }
}
