//! What goes wrong around an agent: clients that misbehave, hosts that lack something, input that is
//! garbage. Each time one clear line and the right exit code, and the agent goes on.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::Duration,
};

use bot_tests::{
    agent::{Ran, USER, bare},
    disk::Disk,
    lab::{FRIEND, HOST, IFACE, Lab, NETWORK, STRANGER},
    privilege::is_root,
    resident::{Resident, give_to_user},
    traffic::{is_cut_off, listen},
};
use serde_json::Value;

/// A served port.
const PORT: u16 = 8080;

#[test]
fn control_clients_that_misbehave_disturb_nobody() {
    if !is_root("control_clients_that_misbehave_disturb_nobody") {
        return;
    }
    let lab = Lab::new("clients");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let connect = || {
        let stream = UnixStream::connect(agent.socket()).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        stream
    };

    // Nothing at all, and half a line: both stay connected while others are served.
    let silent = connect();
    let mut half = connect();
    half.write_all(b"{\"command\":\"sta").unwrap();
    agent.ok(&["status"]);

    // Half a line, then gone.
    let mut gone = connect();
    gone.write_all(b"{\"command\":\"block\",\"targets\":[\"203.0.113.9\"],\"perm")
        .unwrap();
    drop(gone);

    // The other half comes after all.
    half.write_all(b"tus\"}\n").unwrap();
    assert!(line(&half)["status"].is_object());

    // A megabyte and more without an end.
    let mut long = connect();
    let megabyte = vec![b'x'; 1 << 20];
    let sent = long
        .write_all(&megabyte)
        .and_then(|()| long.write_all(b"xx"));
    // The agent may have closed the connection already.
    drop(sent);
    let answer = line(&long);
    assert_eq!(answer["error"]["code"], "too_large", "{answer}");

    // Garbage, unknown commands and fields: an error each, on a connection that goes on.
    let mut chatty = connect();
    for request in [
        "garbage",
        "{\"command\":\"explode\"}",
        "{\"command\":\"status\",\"extra\":1}",
        "{\"command\":\"block\",\"targets\":[\"10.0.0.1/8\"],\"permanent\":true}",
        "{\"command\":\"block\",\"targets\":[\"198.51.100.7\"],\"seconds\":18446744073709551615}",
        "\u{0}\u{1}\u{2}",
    ] {
        writeln!(chatty, "{request}").unwrap();
        let answer = line(&chatty);
        assert_eq!(answer["error"]["code"], "invalid", "{request}: {answer}");
    }
    writeln!(chatty, "{{\"command\":\"version\"}}").unwrap();
    assert!(line(&chatty)["version"].is_object());

    // A follower that never reads, while events come.
    let mut follower = connect();
    follower
        .write_all(b"{\"command\":\"logs\",\"follow\":true}\n")
        .unwrap();
    for _ in 0..3 {
        agent.ok(&["block", "203.0.113.7", "--permanent"]);
    }
    agent.ok(&["status"]);
    silent.shutdown(Shutdown::Both).unwrap();
    assert!(agent.is_running());
    let list = agent.ok(&["--output", "raw", "list"]);
    assert!(
        list.contains("203.0.113.7") && !list.contains("203.0.113.9"),
        "{list}"
    );
}

#[test]
fn targets_that_make_no_sense_are_named() {
    if !is_root("targets_that_make_no_sense_are_named") {
        return;
    }
    let lab = Lab::new("targets");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let file = agent.path("list");
    fs::write(
        &file,
        "198.51.100.7\nnonsense # not an address\n10.0.0.1/8\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let binary = agent.path("binary");
    fs::write(&binary, b"198.51.100.7\n\xff\x00\x80\n").unwrap();
    let binary = binary.to_str().unwrap();
    let utf16 = agent.path("utf16");
    fs::write(&utf16, b"\xff\xfe1\x00.\x00").unwrap();
    let utf16 = utf16.to_str().unwrap();
    let own = agent.path("own");
    fs::write(
        &own,
        "198.51.100.7\n127.0.0.1\n127.0.0.2\n127.0.0.3\n127.0.0.4\n",
    )
    .unwrap();
    let own = own.to_str().unwrap();
    let day = ["--duration", "1d"];
    for (targets, names) in [
        (&["10.0.0.1/8"][..], &["10.0.0.0/8"][..]),
        (&["300.1.1.1"], &["300.1.1.1"]),
        (&["192.0.2.9-192.0.2.1"], &["192.0.2.9-192.0.2.1"]),
        (&["0.0.0.0/0"], &["0.0.0.0/0", "--force"]),
        (&["10.0.0.0/7"], &["--force"]),
        (&["2001:db8::/18"], &["2001:"]),
        (&["2000::/18"], &["--force"]),
        (&["--from-file", file], &["line 2", "line 3"]),
        (&["--from-file", "/nowhere"], &["/nowhere"]),
        (
            &["--from-file", binary],
            &["/binary: line 2 is not UTF-8 text", "saved as UTF-8"],
        ),
        (&["--from-file", utf16], &["/utf16: it is UTF-16", "iconv"]),
        (
            &["--from-file", own],
            &[
                "4 of the prefixes are protected: 127.0.0.1 is protected (loopback), 127.0.0.2 is",
                "127.0.0.3 is protected (loopback), and 1 more",
                "--force",
            ],
        ),
    ] {
        let answer = agent.cli(&[&["block", "--yes"], targets, &day].concat());
        assert_eq!(answer.code, 2, "{targets:?}: {answer:?}");
        for name in names {
            assert!(answer.err.contains(name), "{targets:?}: {name}: {answer:?}");
        }
    }
    for duration in ["99999999999999999999d", "11000d", "0s", "4 parsecs"] {
        let answer = agent.cli(&["block", "198.51.100.7", "--duration", duration]);
        assert_eq!(answer.code, 2, "{answer:?}");
    }
    let attach = agent.cli(&["attach", "nosuchdevice"]);
    assert_eq!(attach.code, 2);
    assert!(attach.error_line().contains("nosuchdevice"));
    assert_eq!(agent.ok(&["--output", "raw", "list"]), "");
    assert!(agent.is_running());
}

#[test]
fn a_start_that_cannot_work_says_why_in_one_line() {
    if !is_root("a_start_that_cannot_work_says_why_in_one_line") {
        return;
    }
    let lab = Lab::new("start");
    let agent = Resident::new(&lab.host, "");
    let refused = agent.refuses_to_start(&["-i", "nosuchdevice"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(last_line(&refused).contains("nosuchdevice"), "{refused:?}");

    // Not a BPF file system.
    let plain = agent.path("plain");
    let arguments = ["-i", IFACE, "--pin-dir", plain.to_str().unwrap()];
    let refused = agent.refuses_to_start(&arguments);
    assert_eq!(refused.code, 2, "{refused:?}");
    let line = refused.error_line();
    assert!(line.contains("plain") && line.contains("bpf"), "{line}");

    // A typo in the configuration.
    agent.configure("[protect]\nfailsafe_prots = [22]\n");
    let refused = agent.refuses_to_start(&["-i", IFACE]);
    assert_eq!(refused.code, 7, "{refused:?}");
    let line = refused.error_line();
    for part in ["failsafe_prots", "failsafe_ports", "test.toml:2"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    agent.configure("");
    let nowhere = agent.refuses_to_start(&["-i", IFACE, "--config", "/nowhere.toml"]);
    assert_eq!(nowhere.code, 7, "{nowhere:?}");
}

#[test]
fn missing_capabilities_are_named() {
    if !is_root("missing_capabilities_are_named") {
        return;
    }
    let lab = Lab::new("nocaps");
    let agent = Resident::new(&lab.host, "");
    // Folders that this user may use, so that only capabilities are missing.
    for name in ["run", "state"] {
        let path = agent.path(name);
        fs::create_dir(&path).unwrap();
        give_to_user(&path);
    }
    let pins = agent.pin_dir();
    fs::create_dir(&pins).unwrap();
    give_to_user(&pins);
    give_to_user(agent.bpffs());
    let run = agent.run_command(&["-i", IFACE]);
    let (nsenter, arguments) = (run.get_program(), run.get_args());
    let arguments: Vec<_> = arguments.collect();
    // nsenter needs privileges: setpriv comes between it and the agent.
    let output = Command::new("timeout")
        .arg("20")
        .arg(nsenter)
        .arg(arguments[0])
        .args(["setpriv", "--reuid", USER, "--clear-groups"])
        .args(["--bounding-set", "-all", "--inh-caps", "-all"])
        .args(&arguments[1..])
        .output()
        .unwrap();
    let answer = Ran::from(output);
    assert_eq!(answer.code, 5, "{answer:?}");
    let line = answer.error_line();
    for capability in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"] {
        assert!(line.contains(capability), "{line}");
    }
}

#[test]
fn a_bpffs_that_only_this_process_would_see_is_refused() {
    if !is_root("a_bpffs_that_only_this_process_would_see_is_refused") {
        return;
    }
    let lab = Lab::new("private");
    let agent = Resident::new(&lab.host, "");
    let mount_point = agent.path("private");
    fs::create_dir(&mount_point).unwrap();
    let pins = mount_point.join("pins");
    let run = agent.run_command(&["-i", IFACE, "--pin-dir", pins.to_str().unwrap()]);
    // What `ip netns exec` does: a mount namespace of its own with a bpffs in it.
    let output = Command::new("timeout")
        .args(["20", "unshare", "--mount", "--propagation", "private"])
        .args(["sh", "-c", "mount -t bpf bpf \"$0\" && exec \"$@\""])
        .arg(&mount_point)
        .arg(run.get_program())
        .args(run.get_args())
        .output()
        .unwrap();
    let answer = Ran::from(output);
    assert_eq!(answer.code, 2, "{answer:?}");
    let line = answer.error_line();
    assert!(
        line.contains("nsenter"),
        "says how to do it instead: {line}"
    );
}

#[test]
fn a_full_disk_refuses_rules_and_loses_none() {
    if !is_root("a_full_disk_refuses_rules_and_loses_none") {
        return;
    }
    let lab = Lab::new("fulldisk");
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    let state = agent.make_state_dir();
    let disk = Disk::mount(&state, "8m");
    give_to_user(&state);
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--permanent"]);

    let filler = disk.fill();
    let many = agent.path("many");
    let lines = (0..4_000u32).map(|n| format!("10.{}.{}.1", n / 250, n % 250));
    let lines: Vec<String> = lines.collect();
    fs::write(&many, lines.join("\n")).unwrap();
    let block = [
        "block",
        "--from-file",
        many.to_str().unwrap(),
        "--permanent",
        "--yes",
    ];
    let refused = agent.cli(&block);
    assert_eq!(refused.code, 2, "{refused:?}");
    let line = refused.error_line();
    assert!(
        line.contains("no space left") && line.contains("nothing was changed"),
        "{line}"
    );
    assert!(agent.is_running());
    // Nothing of it is in force, and what was stays.
    assert_eq!(agent.cli(&["check", "10.0.0.1"]).code, 0);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
    // A rescue does not depend on the disk.
    agent.cli(&["mode", "monitor"]);
    assert_eq!(agent.json(&["mode"])["mode"], "monitor");

    fs::remove_file(&filler).unwrap();
    agent.ok(&block);
    assert_eq!(agent.cli(&["check", "10.0.0.1"]).code, 1);
    agent.kill();
    agent.start(&["-i", IFACE]);
    assert_eq!(agent.cli(&["check", "10.15.249.1"]).code, 1);
    assert_eq!(agent.cli(&["check", &STRANGER.to_string()]).code, 1);
    assert_eq!(agent.cli(&["check", &FRIEND.to_string()]).code, 0);
    agent.stop();
    drop(disk);
}

#[test]
fn a_capture_that_ends_inside_a_packet_is_read_up_to_there() {
    let folder = tempfile::TempDir::new().unwrap();
    let whole = fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/captures/curl.pcap"
    ))
    .unwrap();
    let cut = folder.path().join("cut.pcap");
    fs::write(&cut, &whole[..whole.len() - 10]).unwrap();
    let pcap = |path: &Path| bare(&["pcap", path.to_str().unwrap()]);
    let answer = pcap(&cut);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.error_line().contains("cut.pcap"), "{answer:?}");
    assert!(
        answer.out.contains("t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"),
        "{answer:?}"
    );

    let nothing = pcap(Path::new("/nowhere.pcap"));
    assert_eq!(nothing.code, 2);
    assert!(nothing.error_line().contains("/nowhere.pcap"));
    fs::write(&cut, "this is no capture").unwrap();
    assert_eq!(pcap(&cut).code, 2);
}

/// One line of answer, whatever it says.
#[track_caller]
fn line(stream: &UnixStream) -> Value {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.take(1 << 20));
    reader.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

fn last_line(answer: &Ran) -> &str {
    answer
        .err
        .trim_end()
        .lines()
        .next_back()
        .unwrap_or_default()
}
