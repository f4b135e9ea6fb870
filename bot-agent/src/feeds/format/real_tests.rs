//! Publishers' real files, where they are: as many entries as `awk` counts, and none bad.

use std::fs;

use super::*;
use crate::real_data;

/// File, what it is found to be, and its entries.
const FILES: [(&str, &str, usize); 10] = [
    ("ipsum.txt", "ipsum", 120_430),
    ("spamhaus_drop_v4.json", "spamhaus-drop", 1_406),
    ("spamhaus_drop.txt", "plain", 1_406),
    ("x4bnet_datacenter_ipv4.txt", "plain", 42_566),
    ("x4bnet_datacenter_ipv6.txt", "plain", 8_752),
    ("x4bnet_vpn_ipv4.txt", "plain", 10_862),
    ("x4bnet_vpn_ipv6.txt", "plain", 498),
    ("x4bnet_datacenter_asn.txt", "asn-list", 906),
    ("bad-asn-list.csv", "asn-csv", 742),
    ("tor_exits.txt", "plain", 821),
];

/// Crawlers' networks in the files of their operators.
const CRAWLERS: [(&str, usize); 15] = [
    ("ahrefs-crawler", 81),
    ("apple-applebot", 33),
    ("bing-bingbot", 28),
    ("commoncrawl-ccbot", 5),
    ("duckduckgo-duckduckbot", 486),
    ("google-googlebot", 317),
    ("google-special", 272),
    ("google-user-triggered", 1_058),
    ("google-user-triggered-agents", 4),
    ("google-user-triggered-google", 496),
    ("openai-chatgpt-user", 204),
    ("openai-gptbot", 21),
    ("openai-searchbot", 35),
    ("perplexity-bot", 8),
    ("perplexity-user", 4),
];

fn none_bad() -> Tolerance {
    Tolerance::new(0).unwrap()
}

#[test]
fn real_files_are_read_to_the_last_line() {
    let Some(folder) = real_data::folder("feeds") else {
        return;
    };
    for (file, name, expected) in FILES {
        let content = fs::read(folder.join(file)).unwrap();
        let parsed = parse(&content, None, none_bad()).unwrap();
        assert_eq!(
            (parsed.format, parsed.entries.len()),
            (name, expected),
            "{file}"
        );
        let named = parse(&content, Format::named(name).as_ref(), none_bad()).unwrap();
        assert_eq!(named, parsed, "{file}");
    }
}

#[test]
fn times_and_confidence_of_real_files_are_read() {
    let Some(folder) = real_data::folder("feeds") else {
        return;
    };
    let ipsum = fs::read(folder.join("ipsum.txt")).unwrap();
    let ipsum = parse(&ipsum, None, none_bad()).unwrap();
    assert_eq!(ipsum.made.unwrap().to_string(), "2026-08-22T01:00:29Z");
    let of = |confidence| {
        let entries = ipsum.entries.iter();
        entries
            .filter(|entry| entry.confidence == confidence)
            .count()
    };
    // 10, 9 and 8 lists; 2; 1.
    assert_eq!((of(100), of(25), of(13)), (3 + 6 + 14, 16_556, 89_657));
    let drop = fs::read(folder.join("spamhaus_drop_v4.json")).unwrap();
    let drop = parse(&drop, None, none_bad()).unwrap();
    assert_eq!(drop.made.unwrap().to_string(), "2025-04-15T02:07:54Z");
}

#[test]
fn networks_of_providers_are_chosen_by_kind_and_name() {
    let Some(folder) = real_data::folder("feeds") else {
        return;
    };
    let content = fs::read(folder.join("providers.csv")).unwrap();
    for (text, expected) in [
        ("provider-csv", 158_288),
        ("provider-csv:kind=hosting", 62_403),
        ("provider-csv:kind=cdn", 75_082),
        ("provider-csv:kind=vpn", 15_845),
        ("provider-csv:kind=bot", 4_137),
        ("provider-csv:kind=tor", 821),
        ("provider-csv:provider=Cloudflare", 22),
        ("provider-csv:kind=hosting,provider=Cloudflare", 0),
        ("provider-csv:provider=Amazon AWS", 39_754),
    ] {
        let format = text.parse().unwrap();
        let parsed = parse(&content, Some(&format), none_bad()).unwrap();
        assert_eq!(parsed.entries.len(), expected, "{text}");
    }
    let found = parse(&content, None, none_bad()).unwrap();
    assert_eq!(
        (found.format, found.entries.len()),
        ("provider-csv", 158_288)
    );
}

#[test]
fn real_crawlers_are_read_and_their_index_is_no_list() {
    let Some(folder) = real_data::folder("feeds/crawlers") else {
        return;
    };
    for (name, expected) in CRAWLERS {
        let content = fs::read(folder.join(format!("{name}.json"))).unwrap();
        let parsed = parse(&content, None, none_bad()).unwrap();
        assert_eq!(
            (parsed.format, parsed.entries.len()),
            ("google-prefixes", expected),
            "{name}"
        );
        let day = parsed.made.unwrap().to_string();
        assert!(day.starts_with("2026-09-02T14:41:"), "{name}: {day}");
    }
    let index = fs::read(folder.join("index.json")).unwrap();
    let error = parse(&index, None, none_bad()).unwrap_err();
    assert!(matches!(error, FormatError::UnknownJson(_)), "{error}");
    for name in Format::names() {
        let format = Format::named(name);
        assert!(
            parse(&index, format.as_ref(), Tolerance::DEFAULT).is_err(),
            "{name}"
        );
    }
}

#[test]
fn a_real_file_that_is_cut_off_is_refused() {
    let Some(folder) = real_data::folder("feeds") else {
        return;
    };
    let whole = fs::read(folder.join("spamhaus_drop_v4.json")).unwrap();
    for end in [whole.len() / 2, whole.len() - 10] {
        let error = parse(&whole[..end], None, Tolerance::DEFAULT).unwrap_err();
        assert!(matches!(error, FormatError::NoMetadata(_)), "{error}");
    }
}
