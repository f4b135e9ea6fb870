//! Every preset on a small content of our own, by name and found out.

use std::{collections::BTreeSet, fs, path::Path};

use proptest::prelude::*;

use super::*;
use crate::feeds::entry::{Entry, SURE};

/// When most fixtures were made, and their sources seen.
const MADE: &str = "2026-08-22T01:00:29Z";

fn fixture(file: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/feeds/format/fixtures");
    fs::read(folder.join(file)).unwrap()
}

fn format(text: &str) -> Format {
    text.parse().unwrap()
}

/// Subject, with confidence and time where they are said.
fn said(entry: &Entry) -> String {
    let confidence = match entry.confidence {
        SURE => String::new(),
        less => format!(" {less} %"),
    };
    let seen = entry.seen.map(|seen| format!(" seen {seen}"));
    format!("{}{confidence}{}", entry.subject, seen.unwrap_or_default())
}

fn entries(parsed: &Parsed) -> Vec<String> {
    parsed.entries.iter().map(said).collect()
}

/// File, the preset for it, what is found without a name, when it was made, and its entries.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static [&'static str],
);

#[rustfmt::skip]
const ROWS: [Row; 24] = [
    ("plain.txt", "plain", "plain", None, &[
        "192.0.2.1", "192.0.2.64/26", "198.51.100.7", "198.51.100.8/31", "198.51.100.16/31",
        "2001:db8::/32", "203.0.113.1",
    ]),
    ("firehol.netset", "firehol", "plain", Some(MADE), &["192.0.2.0/24", "198.51.100.7"]),
    ("ipsum.txt", "ipsum", "ipsum", Some(MADE), &["192.0.2.1", "192.0.2.2 50 %", "192.0.2.3 13 %"]),
    ("spamhaus-drop.json", "spamhaus-drop", "spamhaus-drop", Some(MADE), &["192.0.2.0/24", "2001:db8::/32"]),
    ("spamhaus-asndrop.json", "spamhaus-asndrop", "spamhaus-asndrop", Some(MADE), &["AS64500", "AS4200000000"]),
    ("spamhaus-drop-text.txt", "spamhaus-drop-text", "plain", Some(MADE), &["192.0.2.0/24", "198.51.100.0/25"]),
    ("dshield.txt", "dshield", "dshield", Some(MADE), &["192.0.2.0/24", "198.51.100.0/24"]),
    ("feodo.txt", "feodo", "plain", Some(MADE), &["192.0.2.1", "192.0.2.2"]),
    ("feodo.csv", "feodo-csv", "feodo-csv", Some(MADE), &["192.0.2.1 seen 2026-08-21T00:00:00Z", "192.0.2.2"]),
    ("feodo.json", "feodo-json", "feodo-json", None, &["192.0.2.1 seen 2026-08-21T00:00:00Z", "192.0.2.2"]),
    ("abuseipdb.txt", "abuseipdb", "plain", None, &["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
    ("abuseipdb.csv", "abuseipdb-csv", "abuseipdb-csv", None, &[
        "192.0.2.1 seen 2026-08-22T01:00:29Z", "2001:db8::1 75 % seen 2026-08-22T01:00:29Z",
    ]),
    ("abuseipdb.json", "abuseipdb-json", "abuseipdb-json", Some(MADE), &[
        "192.0.2.1 seen 2026-08-22T01:00:29Z", "2001:db8::1 75 % seen 2026-08-22T01:00:29Z",
    ]),
    ("tor-bulk.txt", "tor-bulk", "plain", None, &["192.0.2.1", "192.0.2.2"]),
    ("tor-exit-addresses.txt", "tor-exit-addresses", "tor-exit-addresses", None, &[
        "192.0.2.1 seen 2026-08-22T01:00:29Z", "192.0.2.2 seen 2026-08-22T01:00:29Z",
        "192.0.2.3 seen 2026-08-22T01:00:29Z",
    ]),
    ("asn-list.txt", "asn-list", "asn-list", None, &["AS64500", "AS64501", "AS64502"]),
    ("asn.csv", "asn-csv", "asn-csv", None, &["AS64500", "AS64501", "AS64502", "AS64503"]),
    ("provider.csv", "provider-csv", "provider-csv", None, &[
        "192.0.2.0/25", "192.0.2.128/25", "2001:db8::/32", "198.51.100.7",
    ]),
    ("google-prefixes.json", "google-prefixes", "google-prefixes", Some(MADE), &["2001:db8::/64", "192.0.2.0/27"]),
    ("gcp.json", "gcp", "google-prefixes", Some(MADE), &["192.0.2.0/27", "2001:db8::/44"]),
    ("aws.json", "aws", "aws", Some(MADE), &["192.0.2.0/25", "192.0.2.128/25", "2001:db8::/40"]),
    ("azure.json", "azure", "azure", None, &["192.0.2.0/25", "2001:db8::/48", "198.51.100.0/24"]),
    ("oracle.json", "oracle", "oracle", Some(MADE), &["192.0.2.0/25", "192.0.2.128/25", "198.51.100.0/24"]),
    ("github.json", "github", "github", None, &[
        "192.0.2.0/25", "2001:db8::/32", "192.0.2.128/25", "198.51.100.0/24",
    ]),
];

#[test]
fn presets_read_what_their_publishers_write() {
    for (file, name, found, made, expected) in ROWS {
        let content = fixture(file);
        let none_bad = Tolerance::new(0).unwrap();
        let named = parse(&content, Some(&format(name)), none_bad).unwrap();
        assert_eq!(
            (entries(&named), named.format),
            (expected.iter().map(ToString::to_string).collect(), name)
        );
        assert_eq!(
            named.made.map(|time| time.to_string()).as_deref(),
            made,
            "{file}"
        );
        let unnamed = parse(&content, None, none_bad).unwrap();
        assert_eq!(unnamed.format, found, "{file}");
        assert_eq!(unnamed.entries, named.entries, "{file}");
    }
}

#[test]
fn every_preset_has_a_fixture_and_says_what_it_is() {
    let tested: BTreeSet<&str> = ROWS.iter().map(|row| row.1).collect();
    assert_eq!(tested, Format::names().collect());
    assert!(Format::presets().all(|(_, about)| !about.is_empty()));
    assert_eq!(Format::names().count(), ROWS.len());
}

#[test]
fn rows_are_chosen_behind_the_name() {
    for (text, file, expected) in [
        (
            "provider-csv:kind=hosting",
            "provider.csv",
            &["192.0.2.0/25"][..],
        ),
        (
            "provider-csv:kind=cdn,provider=Example",
            "provider.csv",
            &["192.0.2.128/25", "2001:db8::/32"],
        ),
        (
            "provider-csv:kind=vpn,kind=hosting",
            "provider.csv",
            &["192.0.2.0/25", "198.51.100.7"],
        ),
        (
            "aws:service=cloudfront",
            "aws.json",
            &["192.0.2.128/25", "2001:db8::/40"],
        ),
        ("azure:name=Other", "azure.json", &["198.51.100.0/24"]),
        ("gcp:/scope=global", "gcp.json", &["2001:db8::/44"]),
    ] {
        let parsed = parse(&fixture(file), Some(&format(text)), Tolerance::DEFAULT).unwrap();
        assert_eq!(entries(&parsed), expected, "{text}");
    }
    for (text, why) in [
        (
            "nonsense",
            "`nonsense` is no format; there are: tor-exit-addresses, ",
        ),
        (
            "provider-csv:kind",
            "`kind` chooses no rows; write column=value",
        ),
        (
            "ipsum:kind=x",
            "rows of ipsum cannot be chosen: it has no columns with names",
        ),
    ] {
        let error = text.parse::<Format>().unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }
}

#[test]
fn a_format_in_the_configuration_is_a_name_or_a_table() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Feed {
        format: Format,
    }
    for (toml, name) in [
        ("format = \"ipsum\"", "ipsum"),
        ("format = \"provider-csv:kind=vpn\"", "provider-csv"),
        ("format = { kind = \"csv\", column = \"ip\" }", "csv"),
    ] {
        let feed: Feed = toml::from_str(toml).unwrap();
        assert_eq!(feed.format.name(), name);
        let again: Feed = toml::from_str(&toml::to_string(&feed).unwrap()).unwrap();
        assert_eq!(again.format.reader, feed.format.reader);
    }
    for (toml, why) in [
        (
            "format = 1",
            "the name of a format or a table that describes one",
        ),
        ("format = \"x\"", "`x` is no format"),
        ("format = { kind = \"csv\" }", "missing field `column`"),
    ] {
        let error = toml::from_str::<Feed>(toml).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn what_is_no_list_is_refused_whatever_is_asked_for() {
    for (file, what) in [
        ("web-page.html", "is no list: it looks like a web page"),
        ("error.xml", "is no list: it looks like an XML document"),
    ] {
        for name in Format::names().map(Some).chain([None]) {
            let format = name.map(format);
            let error = parse(&fixture(file), format.as_ref(), Tolerance::DEFAULT).unwrap_err();
            assert_eq!(error.to_string(), what, "{name:?}");
        }
    }
    for name in Format::names().map(Some).chain([None]) {
        let format = name.map(format);
        let refused = |content: &[u8]| parse(content, format.as_ref(), Tolerance::DEFAULT).is_err();
        assert!(refused(&fixture("error.json")), "{name:?}");
        assert!(refused(b"\0\x01\x02 192.0.2.1\n"), "{name:?}");
        assert!(refused(b"Too many requests, come back later\n"), "{name:?}");
    }
}

#[test]
fn nothing_is_a_list_without_entries() {
    for name in Format::names().map(Some).chain([None]) {
        let format = name.map(format);
        for content in [&b""[..], b"\r\n \n", b"\xef\xbb\xbf"] {
            let parsed = parse(content, format.as_ref(), Tolerance::DEFAULT).unwrap();
            assert_eq!((parsed.entries.len(), parsed.lines), (0, 0));
            assert_eq!(parsed.format, name.unwrap_or("plain"));
        }
    }
    for (content, name) in [
        ("# nothing\n", "plain"),
        ("{\"prefixes\": []}", "google-prefixes"),
    ] {
        let parsed = parse(content.as_bytes(), None, Tolerance::DEFAULT).unwrap();
        assert_eq!((parsed.entries.len(), parsed.format), (0, name));
    }
}

#[test]
fn numbers_and_unknown_tables_are_not_taken_for_asns() {
    let refused = |content: &str| parse(content.as_bytes(), None, Tolerance::DEFAULT).unwrap_err();
    assert!(refused("64500\n64501\n").to_string().contains("as plain"));
    assert!(
        refused("ip,asn\nx,64500\n")
            .to_string()
            .contains("as plain")
    );
    let no_metadata = refused("{\"asn\": 64500}\n{\"asn\": 64501}\n");
    assert!(matches!(no_metadata, FormatError::NoMetadata(_)));
}

#[test]
fn few_bad_lines_are_left_out_and_more_refuse_the_update() {
    let good = (0..95)
        .map(|n| format!("192.0.2.{n}\n"))
        .collect::<Vec<_>>()
        .concat();
    let parsed = parse(
        format!("{good}{}", "x\n".repeat(5)).as_bytes(),
        None,
        Tolerance::DEFAULT,
    )
    .unwrap();
    assert_eq!(
        (parsed.entries.len(), parsed.lines, parsed.bad),
        (95, 100, 5)
    );
    let error = parse(
        format!("{good}{}", "x\n".repeat(6)).as_bytes(),
        None,
        Tolerance::DEFAULT,
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("6 of 101 lines (5 %) cannot be read as plain")
    );
}

proptest! {
    #[test]
    fn no_content_panics_as_any_format(bytes: Vec<u8>, start in 0..ROWS.len(), cut in 0..400usize) {
        let mut content = fixture(ROWS[start].0);
        content.truncate(cut);
        content.extend_from_slice(&bytes);
        drop(parse(&content, None, Tolerance::DEFAULT));
        for (_, name, ..) in ROWS {
            drop(parse(&content, Format::named(name).as_ref(), Tolerance::DEFAULT));
        }
    }
}
