//! Captures against tables of the JA4 they must give.
//!
//! The project's own captures always run. The larger corpora run when their folder is there:
//! `BOT_DATA`, or else `../shared/data` beside the workspace. `cargo xtask conformance DIR` is this
//! test with `BOT_DATA=DIR`; a DIR that has no table is then an error. A table is `expected.tsv` in
//! DIR or DIR/ja4: file, transport, src, sport, dst, dport, ja4, `ja4_r`, sni and, where known,
//! `ja4_o` and `ja4_ro`. Hellos of one flow follow one another, in rows or within a cell by `;`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a table or a capture that is not as described ends the test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use bot_agent::{
    capture::{CaptureReader, Hellos},
    tls::{ClientHello, Fingerprint, Parsed, Transport},
};

/// Corpora whose tables list every hello over TCP: one more is a mistake of ours. In others, flows
/// on which tools disagree are left out, so what is found beside the table is only printed.
const COMPLETE: [&str; 5] = ["foxio", "arkime", "suricata-verify", "wireshark", "huginn"];

#[test]
fn own_captures_give_the_listed_fingerprints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures");
    let report = compare(&folder);
    assert_eq!(report.mismatches, Vec::<String>::new());
    assert_eq!(report.unlisted, Vec::<String>::new());
    assert_eq!(report.hellos, 7);
}

#[test]
fn shared_captures_give_the_listed_fingerprints() {
    let Some(folder) = shared_folder() else {
        return;
    };
    let report = compare(&folder);
    println!(
        "{}: {} hellos over TCP in {} files agree, {} rows of other transports left out",
        folder.display(),
        report.hellos,
        report.files,
        report.other_transports,
    );
    for unlisted in &report.unlisted {
        println!("not in the table: {unlisted}");
    }
    assert!(
        report.hellos > 0,
        "{} lists no hello over TCP",
        folder.display()
    );
    assert!(
        report.mismatches.is_empty(),
        "{} mismatches:\n{}",
        report.mismatches.len(),
        report.mismatches.join("\n")
    );
    let mistaken: Vec<&String> = report
        .unlisted
        .iter()
        .filter(|name| COMPLETE.iter().any(|corpus| name.starts_with(corpus)))
        .collect();
    assert!(
        mistaken.is_empty(),
        "hellos that the table does not list: {mistaken:?}"
    );
}

#[test]
fn synthetic_hellos_give_the_listed_fingerprints_in_all_four_forms() {
    let Some(folder) = shared_folder() else {
        return;
    };
    let Ok(text) = fs::read_to_string(folder.join("synthetic/ja4_edge.json")) else {
        println!(
            "skipped: no synthetic/ja4_edge.json in {}",
            folder.display()
        );
        return;
    };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let captured = read_capture(&folder.join("synthetic/ja4_edge.pcap"));
    for case in &cases {
        let field = |name: &str| case[name].as_str().unwrap();
        let expected = ["ja4", "ja4_r", "ja4_o", "ja4_ro"].map(field);
        let name = field("name");
        let Parsed::Complete(hello) = ClientHello::parse(&unhex(field("handshake_hex"))) else {
            panic!("{name}: not read as a ClientHello");
        };
        assert_eq!(Values::of(&hello).forms(), expected, "{name}");
        let port = case["sport"].to_string();
        let seen = captured.iter().find(|(flow, _)| flow.sport == port);
        let (_, hellos) = seen.unwrap_or_else(|| panic!("{name}: not found in the capture"));
        assert_eq!(hellos.len(), 1, "{name}");
        assert_eq!(hellos[0].forms(), expected, "{name}, from the capture");
    }
    println!("{} synthetic hellos agree in all four forms", cases.len());
}

/// The folder with the large table. Prints why, if there is none and none was asked for.
fn shared_folder() -> Option<PathBuf> {
    let asked = env::var_os("BOT_DATA").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // A relative path counts from the workspace, not from this crate.
    let data = workspace.join(asked.as_deref().unwrap_or(Path::new("../shared/data")));
    let found = [data.clone(), data.join("ja4")]
        .into_iter()
        .find(|folder| folder.join("expected.tsv").is_file());
    assert!(
        found.is_some() || asked.is_none(),
        "no expected.tsv in {} or its folder ja4",
        data.display()
    );
    if found.is_none() {
        println!("skipped: no captures with JA4 values here (set BOT_DATA to their folder)");
    }
    found
}

#[derive(Default)]
struct Report {
    files: usize,
    hellos: usize,
    other_transports: usize,
    mismatches: Vec<String>,
    unlisted: Vec<String>,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Flow {
    src: String,
    sport: String,
    dst: String,
    dport: String,
}

/// What a hello gives.
#[derive(Clone, Debug)]
struct Values {
    ja4: String,
    ja4_r: String,
    ja4_o: String,
    ja4_ro: String,
    sni: String,
}

impl Values {
    fn of(hello: &ClientHello) -> Self {
        let fingerprint = Fingerprint::new(hello, Transport::Tcp);
        Self {
            ja4: fingerprint.ja4().to_string(),
            ja4_r: fingerprint.ja4_r(),
            ja4_o: fingerprint.ja4_o().to_string(),
            ja4_ro: fingerprint.ja4_ro(),
            sni: hello.sni().unwrap_or_default(),
        }
    }

    fn forms(&self) -> [&str; 4] {
        [&self.ja4, &self.ja4_r, &self.ja4_o, &self.ja4_ro]
    }
}

type Rows = BTreeMap<Flow, Vec<BTreeMap<String, String>>>;

fn compare(folder: &Path) -> Report {
    let mut report = Report::default();
    let table = read_table(folder, &mut report);
    for (file, mut rows) in table {
        report.files += 1;
        for (flow, hellos) in read_capture(&folder.join(&file)) {
            let mut rest = hellos.as_slice();
            for row in rows.remove(&flow).unwrap_or_default() {
                match check_row(&row, rest) {
                    Ok(used) => {
                        report.hellos += used;
                        rest = rest.get(used..).unwrap_or_default();
                    }
                    Err(what) => report.mismatches.push(format!("{file} {flow:?}: {what}")),
                }
            }
            let unlisted = rest
                .iter()
                .map(|hello| format!("{file} {flow:?} {}", hello.ja4));
            report.unlisted.extend(unlisted);
        }
        let missed = rows
            .keys()
            .map(|flow| format!("{file} {flow:?}: no hello was found"));
        report.mismatches.extend(missed);
    }
    report
}

/// How many of the hellos the row stands for, if they are what it says. Where a row holds several
/// JA4, the other columns may describe the first alone.
fn check_row(row: &BTreeMap<String, String>, hellos: &[Values]) -> Result<usize, String> {
    let expected: Vec<&str> = row["ja4"].split(';').collect();
    let found: Vec<&str> = hellos.iter().map(|hello| hello.ja4.as_str()).collect();
    if found.get(..expected.len()) != Some(&expected) {
        return Err(format!("ja4 {found:?}, not {expected:?}"));
    }
    let first = &hellos[0];
    let columns: [(&str, &str); 4] = [
        ("ja4_r", &first.ja4_r),
        ("ja4_o", &first.ja4_o),
        ("ja4_ro", &first.ja4_ro),
        ("sni", &first.sni),
    ];
    for (column, found) in columns {
        let Some(expected) = row.get(column) else {
            continue;
        };
        let first = if column == "sni" {
            expected
        } else {
            expected.split(';').next().unwrap()
        };
        if first != found {
            return Err(format!("{column} {found:?}, not {first:?}"));
        }
    }
    Ok(expected.len())
}

/// Rows of TCP flows by file. Files without such a row are there too, for what must not be found.
fn read_table(folder: &Path, report: &mut Report) -> BTreeMap<String, Rows> {
    let text = fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let mut table: BTreeMap<String, Rows> = BTreeMap::new();
    for line in lines {
        let cells = line.split('\t').map(String::from);
        let row: BTreeMap<String, String> = header
            .iter()
            .map(|name| (*name).to_owned())
            .zip(cells)
            .collect();
        let rows = table.entry(row["file"].clone()).or_default();
        if row["transport"] == "tcp" {
            let cell = |name: &str| row[name].clone();
            let flow = Flow {
                src: cell("src"),
                sport: cell("sport"),
                dst: cell("dst"),
                dport: cell("dport"),
            };
            rows.entry(flow).or_default().push(row);
        } else {
            report.other_transports += 1;
        }
    }
    let folders: BTreeSet<PathBuf> = table
        .keys()
        .filter_map(|file| Path::new(file).parent().map(PathBuf::from))
        .collect();
    for corpus in folders {
        for entry in fs::read_dir(folder.join(&corpus)).unwrap() {
            let file = corpus
                .join(entry.unwrap().file_name())
                .display()
                .to_string();
            if [".pcap", ".cap"].iter().any(|kind| file.contains(kind)) {
                table.entry(file).or_default();
            }
        }
    }
    table
}

/// The hellos of a capture by flow, in order.
fn read_capture(path: &Path) -> BTreeMap<Flow, Vec<Values>> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = CaptureReader::new(file).unwrap();
    let (mut hellos, mut seen) = (Hellos::default(), Vec::new());
    while let Some(packet) = reader.next_packet().unwrap() {
        hellos.push(&packet, &mut seen);
    }
    hellos.finish(&mut seen);
    let mut by_flow: BTreeMap<Flow, Vec<Values>> = BTreeMap::new();
    for hello in seen {
        let flow = Flow {
            src: hello.flow.src.to_ip().to_string(),
            sport: hello.flow.sport.to_string(),
            dst: hello.flow.dst.to_ip().to_string(),
            dport: hello.flow.dport.to_string(),
        };
        by_flow
            .entry(flow)
            .or_default()
            .push(Values::of(&hello.hello));
    }
    by_flow
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
