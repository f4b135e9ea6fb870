//! The command line where no agent runs: usage, bad input, configuration, and the exit code of each.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::{fs, process::Stdio};

use bot_tests::agent::{Ran, bare, binary};

fn in_empty_folder(arguments: &[&str]) -> (tempfile::TempDir, Ran) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().to_string_lossy().into_owned();
    let pins = folder.path().join("pins").to_string_lossy().into_owned();
    let folders = ["--run-dir", run.as_str(), "--pin-dir", pins.as_str()];
    let ran = bare(&[&folders, arguments].concat());
    (folder, ran)
}

#[test]
fn without_an_agent_the_exit_code_is_3_and_the_place_is_named() {
    for arguments in [
        &["block", "192.0.2.7"][..],
        &["allow", "192.0.2.7", "--permanent"],
        &["unblock", "192.0.2.7"],
        &["unallow", "192.0.2.7"],
        &["list"],
        &["mode"],
        &["mode", "enforce"],
        &["confirm"],
        &["reload"],
        &["attach", "lo"],
        &["detach", "lo"],
        &["logs"],
        &["logs", "--follow"],
    ] {
        let (folder, ran) = in_empty_folder(arguments);
        let socket = folder.path().join("control.sock");
        let error = ran.fails(3);
        assert!(
            error.contains(&socket.display().to_string()),
            "{arguments:?}: {error}"
        );
    }
}

#[test]
fn bad_targets_are_refused_before_anybody_is_asked() {
    for (target, said) in [
        ("10.0.0.1/8", "the network would be 10.0.0.0/8"),
        ("10.0.0.0/7", "/8; if that is meant, say so with --force\n"),
        ("0.0.0.0/0", "--force"),
        ("::/0", "--force"),
        ("2000::/18", "--force"),
        ("192.0.2.999", "neither an address nor a CIDR"),
        ("example.org", "neither an address nor a CIDR"),
        ("192.0.2.9-192.0.2.1", "ends before it begins"),
        ("192.0.2.1-2001:db8::1", "mixes IPv4 and IPv6"),
        ("", "the target is empty"),
        ("10.0.0.0/33", "at most 32"),
    ] {
        let (_folder, ran) = in_empty_folder(&["block", "--permanent", "--", target]);
        let error = ran.fails(2);
        assert!(error.contains(said), "{target}: {error}");
    }
}

#[test]
fn bad_durations_are_refused() {
    for (duration, said) in [
        ("4", "no unit"),
        ("99999999999999999999s", "longer than 10 years"),
        ("11000000000000000w", "longer than 10 years"),
        ("0s", "no time at all"),
        ("soon", "not a duration"),
    ] {
        let ran = bare(&["block", "192.0.2.7", "--duration", duration]);
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains(said), "{duration}: {}", ran.err);
    }
}

#[test]
fn bad_lines_of_a_file_are_all_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list");
    fs::write(
        &file,
        "# ours\n192.0.2.1\nnonsense ; comment\n10.0.0.1/8\n192.0.2.2 # fine\n",
    )
    .unwrap();
    let ran = bare(&["block", "--from-file", &file.to_string_lossy()]);
    assert_eq!(ran.code, 2);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.err);
    assert!(lines[0].ends_with("has bad lines; nothing was changed"));
    assert!(lines[1].starts_with("  line 3: "), "{}", ran.err);
    assert!(lines[2].starts_with("  line 4: "), "{}", ran.err);
}

#[test]
fn errors_are_json_for_who_asks_for_json() {
    let (_folder, absent) = in_empty_folder(&["list", "-o", "json"]);
    for (ran, exit, said) in [
        (absent, 3, "is not running"),
        (bare(&["block", "-o", "json"]), 2, "<TARGET>"),
        (
            bare(&["--output=json", "block", "10.0.0.0/33"]),
            2,
            "at most 32",
        ),
        (
            bare(&["config", "check", "-c", "/nonexistent.toml", "-ojson"]),
            7,
            "/nonexistent.toml",
        ),
    ] {
        assert_eq!(ran.code, exit, "{ran:?}");
        let error: serde_json::Value = serde_json::from_str(ran.error_line()).unwrap();
        assert_eq!(error["exit"], exit);
        assert!(error["error"].as_str().unwrap().contains(said), "{error}");
    }
}

#[test]
fn the_configuration_is_shown_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bot-agent.toml");
    fs::write(
        &file,
        "[hello]\nports = [443]\n\n[[rule]]\naction = \"block\"\nsource = \"198.51.100.0/24\"\n",
    )
    .unwrap();
    let path = file.to_string_lossy().into_owned();
    let json = bare(&["config", "show", "-c", &path, "-o", "json"]).json();
    assert_eq!(json["hello"]["ports"], serde_json::json!([443]));
    assert_eq!(json["rule"].as_array().unwrap().len(), 1);
    let raw = bare(&["config", "show", "-c", &path, "-o", "raw"]).ok();
    assert!(
        raw.contains(&format!("hello.ports\t[443]\t{path}:2\n")),
        "{raw}"
    );
    let json = bare(&["config", "default", "-o", "json"]).json();
    assert_eq!(json["block"]["default_duration"], "4h");
    let raw = bare(&["config", "default", "-o", "raw"]).ok();
    assert!(
        raw.contains("block.default_duration\t4h\tdefault\n"),
        "{raw}"
    );
}

#[test]
fn usage_and_hints_are_about_what_was_typed() {
    let usage = bare(&["--run-dir", "/nonexistent", "-o", "human", "block"]);
    assert!(!usage.err.contains("--run-dir"), "{}", usage.err);
    let network = bare(&["check", "10.0.0.0/24"]);
    assert!(network.err.contains("list --overlaps 10.0.0.0/24"));
    let bypass = bare(&["bypass", "--reason", "x", "--for", "99999w"]);
    assert!(bypass.err.contains("longer than 10 years"));
    assert!(!bypass.err.contains("--permanent"), "{}", bypass.err);
    let block = bare(&["block", "192.0.2.7", "--duration", "99999w"]);
    assert!(block.err.contains("--permanent"), "{}", block.err);
    assert!(bare(&["pcap", "--help"]).ok().contains("- tsv:"));
    for order in [
        &["-o", "tsv", "pcap", "/nonexistent.pcap"][..],
        &["pcap", "-o", "tsv", "/nonexistent.pcap"],
        &["pcap", "-o", "raw", "/nonexistent.pcap"],
    ] {
        assert!(bare(order).err.contains("cannot open"), "{order:?}");
    }
}

#[test]
fn examples_stand_before_the_options_that_every_command_has() {
    let help = bare(&["block", "--help"]).ok();
    let examples = help.find("Examples:").unwrap();
    assert!(examples < help.find("Global options:").unwrap(), "{help}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["frobnicate"][..],
        &["block"],
        &["block", "192.0.2.7", "--duration", "1h", "--permanent"],
        &["mode", "off"],
        &["mode", "--confirm-within", "60s"],
        &["bypass"],
        &["check", "10.0.0.0/8"],
        &["logs", "--event", "nonsense"],
        &["pcap", "/nonexistent.pcap"],
    ] {
        let ran = bare(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(!ran.err.is_empty());
    }
}

#[test]
fn a_configuration_with_a_typo_names_file_line_and_the_nearest_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bot-agent.toml");
    fs::write(&file, "[agent]\ninterface = [\"eth0\"]\n").unwrap();
    let path = file.to_string_lossy().into_owned();
    for arguments in [
        &["config", "check"][..],
        &["config", "show"],
        &["run", "-i", "lo"],
    ] {
        let error = bare(&[arguments, &["-c", path.as_str()]].concat()).fails(7);
        assert!(error.contains(&format!("{path}:2")), "{error}");
        assert!(error.contains("`interfaces`"), "{error}");
    }
    let error = bare(&["config", "check", "-c", "/nonexistent.toml"]).fails(7);
    assert!(error.contains("/nonexistent.toml"), "{error}");
}

#[test]
fn the_default_configuration_is_valid_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bot-agent.toml");
    fs::write(&file, bare(&["config", "default"]).ok()).unwrap();
    let path = file.to_string_lossy().into_owned();
    bare(&["config", "check", "-c", &path]).ok();
    let shown = bare(&["config", "show", "-c", &path]).ok();
    let empty = folder.path().join("empty.toml");
    fs::write(&empty, "").unwrap();
    let unset = bare(&["config", "show", "-c", &empty.to_string_lossy()]).ok();
    assert_eq!(shown, unset);
}

#[test]
fn snippets_are_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bot-agent.toml");
    fs::write(&file, "").unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    fs::write(folder.path().join("conf.d/9.toml"), "[loog]\n").unwrap();
    let error = bare(&["config", "check", "-c", &file.to_string_lossy()]).fails(7);
    assert!(
        error.contains("9.toml:1") && error.contains("`log`"),
        "{error}"
    );
}

#[test]
fn every_command_explains_itself() {
    let help = bare(&["--help"]).ok();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<&str> = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names.len(), 25, "{names:?}");
    for name in names {
        assert!(bare(&[name, "--help"]).ok().contains("Examples:"), "{name}");
    }
}

#[test]
fn completions_and_manual_pages_are_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let script = bare(&["completions", shell]).ok();
        assert!(script.contains("unblock"), "{shell}");
    }
    assert!(bare(&["man"]).ok().contains("EXIT STATUS"));
    let folder = tempfile::tempdir().unwrap();
    bare(&["man", "--dir", &folder.path().to_string_lossy()]).ok();
    let page = fs::read_to_string(folder.path().join("bot-agent-block.8")).unwrap();
    assert!(page.contains("credential stuffing"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 26);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = std::process::Command::new(binary())
        .args(["config", "default"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}
