//! A real `CrowdSec`: what is decided there is enforced here within its poll interval, and no longer
//! than it lasts.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt as _,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use bot_tests::{
    crowdsec::{CrowdSec, KEY},
    feeds::{PORT, client, drops, enforcing, feeds, lab_with_clients, show},
    lab::{HOST, IFACE, Lab},
    privilege::is_root,
    resident::{Resident, give_to_user},
    traffic::{is_cut_off, listen, reaches},
};

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);
/// What working out and a busy machine may take besides.
const SLACK: Duration = Duration::from_secs(4);

/// One that listens in the host's namespace.
fn crowdsec(lab: &Lab) -> Option<CrowdSec> {
    let net = format!("--net=/run/netns/{}", lab.host.name());
    CrowdSec::start_by(move |program| {
        let mut command = Command::new("nsenter");
        command.arg(&net).arg(program);
        command
    })
}

/// An agent whose feed `local` is that.
fn with_crowdsec<'a>(lab: &'a Lab, crowdsec: &CrowdSec) -> Resident<'a> {
    let mut agent = Resident::new(&lab.host, "");
    let key = agent.path("key");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    give_to_user(&key);
    agent.configure(&enforcing(&format!(
        "[[feed]]\nname = \"local\"\ncrowdsec = \"{}\"\nbearer = \"{}\"\nevery = \"{}s\"\n",
        crowdsec.url(),
        key.display(),
        EVERY.as_secs()
    )));
    agent.start(&["-i", IFACE]);
    agent
}

/// Waits until the kernel drops an address, or does no longer: within one poll from now.
#[track_caller]
fn soon(agent: &Resident<'_>, address: IpAddr, dropped: bool) {
    let began = Instant::now();
    while drops(agent, address) != dropped {
        let waited = began.elapsed();
        assert!(
            waited < EVERY + SLACK,
            "{address}: not {dropped} after {waited:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn decisions_are_enforced_and_lifted_with_each_poll() {
    if !is_root("decisions_are_enforced") {
        return;
    }
    let lab = lab_with_clients("crowdsec", 1);
    let Some(mut crowdsec) = crowdsec(&lab) else {
        return;
    };
    let _server = listen(&lab.host, PORT);
    let middle: IpAddr = Ipv4Addr::new(11, 7, 130, 9).into();
    crowdsec.decide(&["--range", "11.7.128.0/20", "--duration", "1h"]);
    let mut agent = with_crowdsec(&lab, &crowdsec);
    soon(&agent, middle, true);
    assert_eq!(show(&agent, "local")["entries"], 1);

    // Added and deleted.
    reaches(&lab.peer, client(1), (HOST, PORT));
    crowdsec.decide(&["--ip", "11.0.0.1", "--duration", "1h"]);
    soon(&agent, client(1), true);
    is_cut_off(&lab.peer, client(1), (HOST, PORT));
    assert_eq!(show(&agent, "local")["entries"], 2);
    crowdsec.lift(&["--ip", "11.0.0.1"]);
    soon(&agent, client(1), false);
    reaches(&lab.peer, client(1), (HOST, PORT));

    // A captcha passes, and is told.
    crowdsec.decide(&["--ip", "11.0.0.1", "--duration", "1h", "--type", "captcha"]);
    let told = |lists: &serde_json::Value| lists.to_string().contains("local-captcha");
    let began = Instant::now();
    while !told(&agent.json(&["check", "11.0.0.1"])["lists"]) {
        assert!(began.elapsed() < EVERY + SLACK, "no captcha");
    }
    reaches(&lab.peer, client(1), (HOST, PORT));
    crowdsec.lift(&["--ip", "11.0.0.1"]);

    // Ended by itself, though nobody can be asked any more.
    crowdsec.decide(&["--ip", "11.0.0.1", "--duration", "5s"]);
    soon(&agent, client(1), true);
    crowdsec.stop();
    let said = feeds(&agent, "refresh", "local").fails(2);
    assert!(said.contains("refused"), "{said}");
    let ends = Instant::now() + Duration::from_secs(5);
    thread::sleep(
        ends.saturating_duration_since(Instant::now())
            .saturating_sub(EVERY),
    );
    soon(&agent, client(1), false);

    // What lasts is in force, also at a start without it.
    assert!(drops(&agent, middle));
    agent.stop();
    agent.ok(&["detach"]);
    agent.start(&["-i", IFACE]);
    assert!(drops(&agent, middle));
    assert_eq!(show(&agent, "local")["entries"], 1);
    crowdsec.run();
    crowdsec.lift(&["--all"]);
    soon(&agent, middle, false);
}
