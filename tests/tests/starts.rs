//! Starts: what a refused one leaves behind, whose the files are, what is taken over and told.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use bot_agent::host::interface;
use bot_tests::{
    agent::{Ran, USER, binary},
    foreign,
    lab::{IFACE, Lab},
    privilege::is_root,
    resident::Resident,
};

/// A second interface of the host.
const OTHER: &str = "fw0";

#[test]
fn an_interface_attached_at_run_time_is_taken_over_and_detached_with_all() {
    if !is_root("an_interface_attached_at_run_time_is_taken_over") {
        return;
    }
    let lab = Lab::new("takeover");
    lab.host.ip(&[
        "link", "add", OTHER, "type", "veth", "peer", "name", "fw-peer",
    ]);
    lab.host.ip(&["link", "set", OTHER, "up"]);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["attach", OTHER]);
    let (before, other_before) = (program(&lab, IFACE), program(&lab, OTHER));
    agent.stop();
    assert_eq!(program(&lab, OTHER), other_before, "filtered on");

    agent.start(&["-i", IFACE]);
    let attach = agent.event("the adoption", |event| {
        event["event"] == "attach" && event["iface"] == OTHER
    });
    assert_eq!(attach["adopted"], true);
    assert_ne!(program(&lab, OTHER), other_before, "the old program stayed");
    assert_ne!(program(&lab, IFACE), before);
    assert_eq!(filtered(&agent), [IFACE, OTHER]);

    let said = agent.ok(&["detach"]);
    assert!(said.contains("no interface is filtered"), "{said}");
    assert_eq!(program(&lab, IFACE), None);
    assert_eq!(program(&lab, OTHER), None);
    assert!(links(&agent).is_empty(), "{:?}", links(&agent));
    assert!(filtered(&agent).is_empty());
    // The next start does not find what was detached.
    agent.stop();
    agent.start(&["-i", IFACE]);
    assert_eq!(filtered(&agent), [IFACE]);
}

#[test]
fn a_renamed_interface_is_listed_once() {
    if !is_root("a_renamed_interface_is_listed_once") {
        return;
    }
    let lab = Lab::new("renamed");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let rename = |from: &str, to: &str| {
        lab.host.ip(&["link", "set", from, "name", to]);
        agent.event("the new name", |event| {
            event["message"]
                .as_str()
                .is_some_and(|text| text.starts_with(&format!("{from} is called {to} now")))
        });
    };
    rename(IFACE, "first0");
    assert_eq!(filtered(&agent), ["first0"]);
    let attached = agent.ok(&["attach", "first0", "--output", "raw"]);
    assert_eq!(attached, "first0\n");
    rename("first0", "second0");
    assert_eq!(filtered(&agent), ["second0"]);
    rename("second0", IFACE);
    assert_eq!(filtered(&agent), [IFACE]);
}

#[test]
fn verdicts_of_an_earlier_agent_are_free_at_once() {
    if !is_root("verdicts_of_an_earlier_agent_are_free_at_once") {
        return;
    }
    let lab = Lab::new("verdicts");
    let mut agent = Resident::new(&lab.host, "[tables]\nverdicts = 1024\n");
    agent.start(&["-i", IFACE]);
    let list = |net: &str| {
        let hosts = (0..600).map(|n| format!("{net}.{}.{}\n", n / 200, n % 200));
        let path = agent.path(net);
        fs::write(&path, hosts.collect::<String>()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // Half of all verdicts are for rules alone: those of two lists are all there are.
    for net in ["20.0", "30.0"] {
        let list = list(net);
        agent.ok(&["block", "--permanent", "--yes", "--from-file", &list]);
        agent.ok(&["unblock", "--from-file", &list]);
    }
    // What was freed rests for some seconds, so these share a verdict.
    let third = list("40.0");
    let block = ["block", "--permanent", "--yes", "--from-file", &third];
    let verdicts = |agent: &Resident<'_>| agent.json(&["status"])["table"]["verdicts"].as_u64();
    let few = verdicts(&agent);
    agent.ok(&block);
    assert!(verdicts(&agent) < few.map(|few| few + 10), "{few:?}");
    assert_eq!(agent.cli(&["check", "40.0.2.199"]).code, 1);
    agent.ok(&["unblock", "--from-file", &third]);

    agent.stop();
    agent.start(&["-i", IFACE]);
    let none = verdicts(&agent);
    agent.ok(&block);
    // As many rules have one of their own as may.
    assert!(verdicts(&agent) > none.map(|none| none + 400), "{none:?}");
    assert_eq!(agent.cli(&["check", "40.0.2.199"]).code, 1);
}

#[test]
fn files_change_hands_with_the_user_in_both_directions() {
    if !is_root("files_change_hands_with_the_user") {
        return;
    }
    let lab = Lab::new("hands");
    let mut agent = Resident::new(&lab.host, "");
    let folder = agent.path("log");
    let log = folder.join("bot.log");
    let own = [
        agent.path("state"),
        agent.path("state/rules.redb"),
        agent.path("run"),
        agent.path("run/lock"),
        folder,
        log.clone(),
    ];
    let foreign = agent.path("state/rules.redb.backup");
    let rounds = ["root", USER, "root", USER];
    for (round, user) in rounds.into_iter().enumerate() {
        let path = log.display();
        agent.configure(&format!(
            "[agent]\nuser = \"{user}\"\n[log]\nfile = \"{path}\"\n"
        ));
        let uid = nix::unistd::User::from_name(user).unwrap().unwrap().uid;
        agent.start(&["-i", IFACE]);
        agent.ok(&["block", &format!("203.0.113.{round}"), "--permanent"]);
        let rules = agent.ok(&["list", "--output", "raw"]);
        assert_eq!(rules.lines().count(), round + 1, "{rules}");
        agent.stop();
        for path in &own {
            let owner = fs::symlink_metadata(path).unwrap().uid();
            assert_eq!(owner, uid.as_raw(), "round {round}: {}", path.display());
        }
        if round == 0 {
            fs::write(&foreign, "").unwrap();
        }
        assert_eq!(fs::metadata(&foreign).unwrap().uid(), 0);
        let text = fs::read_to_string(&log).unwrap();
        let starts = text
            .lines()
            .filter(|line| line.contains(r#""event":"start""#));
        assert_eq!(starts.count(), round + 1, "the log of round {round}");
    }
}

#[test]
fn a_bypass_of_a_dead_agent_is_told_with_its_reason() {
    if !is_root("a_bypass_of_a_dead_agent_is_told") {
        return;
    }
    let lab = Lab::new("bypassed");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.kill();
    // Even when somebody moved the store away meanwhile.
    fs::remove_file(agent.path("state/rules.redb")).unwrap();
    agent.ok(&["bypass", "--reason", "incident 9", "--for", "1h"]);
    let status = agent.cli(&["status", "--output", "json"]).json();
    assert_eq!(status["mode"]["bypass"]["reason"], "incident 9");

    agent.start(&["-i", IFACE]);
    let told = agent.event("the bypass", |event| event["event"] == "bypass");
    assert_eq!(told["active"], true);
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("incident 9"), "{told}");
    assert!(told["until"].is_string(), "{told}");
    let status = agent.json(&["status"]);
    assert_eq!(status["mode"]["bypass"]["reason"], "incident 9");

    agent.kill();
    agent.ok(&["resume"]);
    agent.start(&["-i", IFACE]);
    let bypasses = |agent: &Resident<'_>| {
        let is_one = |event: &serde_json::Value| event["event"] == "bypass";
        agent.log().iter().filter(|event| is_one(event)).count()
    };
    assert_eq!(bypasses(&agent), 0, "the operator's resume was stored");
}

#[test]
fn an_unprivileged_start_says_so_and_leaves_nothing() {
    if !is_root("an_unprivileged_start_says_so") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = |name: &str| folder.path().join(name);
    // Who may not read the build folder has a copy.
    let copy = path("bot-agent");
    fs::copy(binary(), &copy).unwrap();
    fs::write(path("config.toml"), "").unwrap();
    let user = nix::unistd::User::from_name(USER).unwrap().unwrap();
    let before = entries(folder.path());
    let output = Command::new(&copy)
        .args(["run", "-i", "lo"])
        .arg("--config")
        .arg(path("config.toml"))
        .arg("--run-dir")
        .arg(path("run"))
        .arg("--state-dir")
        .arg(path("state"))
        .uid(user.uid.as_raw())
        .gid(user.gid.as_raw())
        .output();
    let ran = Ran::from(output.unwrap());
    let line = ran.fails(5);
    assert!(
        line.contains("CAP_BPF") && line.contains("run as root"),
        "{line}"
    );
    assert_eq!(entries(folder.path()), before);
}

#[test]
fn a_start_that_is_refused_leaves_nothing_behind() {
    if !is_root("a_start_that_is_refused_leaves_nothing_behind") {
        return;
    }
    let lab = Lab::new("refused");
    let agent = Resident::new(&lab.host, "");
    let everything = |agent: &Resident<'_>| {
        let mut all = entries(agent.path("").as_path());
        all.extend(entries(agent.bpffs()));
        all
    };
    let before = everything(&agent);
    let unknown = agent.refuses_to_start(&["-i", "nope0"]);
    assert!(unknown.fails(2).contains("nope0"));
    assert_eq!(everything(&agent), before);

    let mut foreign = foreign::load();
    let pin = agent.bpffs().join("foreign");
    foreign::xdp(&mut foreign).pin(&pin).unwrap();
    let with_pin = everything(&agent);
    let pinned = pin.to_str().unwrap();
    lab.host
        .ip(&["link", "set", "dev", IFACE, "xdpdrv", "pinned", pinned]);
    for arguments in [&["-i", IFACE][..], &["-i", "lo", "-i", IFACE]] {
        let refused = agent.refuses_to_start(arguments);
        assert!(refused.fails(4).contains("--replace"));
        assert_eq!(everything(&agent), with_pin);
    }

    // What fails later, as the agent's user: nothing but empty folders stays where only root may
    // remove them.
    let refused = agent.refuses_to_start(&["-i", "lo", "--xdp", "native"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    let files = |paths: Vec<PathBuf>| {
        let files = paths.into_iter().filter(|path| !path.is_dir());
        files.collect::<Vec<_>>()
    };
    assert_eq!(files(everything(&agent)), files(with_pin.clone()));

    // As root not even those.
    for folder in [agent.path("run"), agent.path("state"), agent.pin_dir()] {
        drop(fs::remove_dir(folder));
    }
    assert_eq!(everything(&agent), with_pin);
    agent.configure("[agent]\nuser = \"root\"\n");
    let refused = agent.refuses_to_start(&["-i", "lo", "--xdp", "native"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert_eq!(everything(&agent), with_pin);
}

#[test]
fn a_configuration_that_the_agents_user_cannot_read_is_told_with_the_remedy() {
    if !is_root("a_configuration_that_the_agents_user_cannot_read") {
        return;
    }
    let lab = Lab::new("unreadable");
    let mut agent = Resident::new(&lab.host, "");
    let config = agent.path("bot-agent.toml");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&config, 0o600);
    agent.start(&["-i", IFACE]);
    let remedy = format!("chmod g+r {}", config.display());
    let told = |event: &serde_json::Value| {
        let text = event["message"].as_str().unwrap_or_default();
        text.contains("reload") && text.contains(&remedy)
    };
    agent.event("the warning", |event| {
        event["event"] == "error" && told(event)
    });
    let refused = agent.cli(&["reload"]).fails(5);
    assert!(refused.contains(&remedy), "{refused}");

    // The remedy as it is said.
    let user = nix::unistd::User::from_name(USER).unwrap().unwrap();
    chown(&config, None, Some(user.gid.as_raw())).unwrap();
    mode(&config, 0o640);
    agent.ok(&["reload"]);
    mode(&agent.path("conf.d"), 0o700);
    let refused = agent.cli(&["reload"]).fails(5);
    assert!(refused.contains("chmod g+rx"), "{refused}");
}

/// Names of the interfaces that `status` lists.
fn filtered(agent: &Resident<'_>) -> Vec<String> {
    let status = agent.json(&["status"]);
    let interfaces = status["interfaces"].as_array().unwrap();
    let names = interfaces.iter().map(|it| it["iface"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

/// The id of the program on an interface of the host.
fn program(lab: &Lab, iface: &str) -> Option<u32> {
    let found = lab.host.run(|| interface::by_name(iface).unwrap().unwrap());
    found.xdp.map(|xdp| xdp.program)
}

fn links(agent: &Resident<'_>) -> Vec<PathBuf> {
    let is_link = |path: &PathBuf| path.parent().unwrap().ends_with("links");
    let all = entries(agent.bpffs()).into_iter();
    all.filter(is_link).collect()
}

/// Everything below a folder, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            all.extend(entries(&path));
        }
        all.push(path);
    }
    all.sort();
    all
}
