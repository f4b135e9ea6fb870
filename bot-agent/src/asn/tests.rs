//! Databases as files, from those that a test writes to a table of the whole Internet.

use std::{fs, io::Write as _, net::IpAddr, path::PathBuf, time::Instant};

use flate2::{Compression, write::GzEncoder};
use ipnet::IpNet;

use super::{Database, Error, Format, Source, Tally};
use crate::{
    real_data,
    rules::subject::{Asn, Subject},
};

const CSV: &str = "\
192.0.2.0,192.0.2.127,64500,\"Example, Inc.\"
198.51.100.0,198.51.100.255,64501,Other
203.0.113.7,203.0.113.9,64500,\"Example, Inc.\"
2001:db8::,2001:db8:0:ffff:ffff:ffff:ffff:ffff,64500,\"Example, Inc.\"
";

/// A source that is no file, for databases that tests put together.
pub(super) fn nowhere() -> Source {
    Source {
        path: PathBuf::new(),
        format: Format::Csv,
        tally: Tally::default(),
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn open(content: impl AsRef<[u8]>) -> Result<Database, Error> {
    Database::open(&[Folder::new().file("file", content)])
}

fn packed(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn asn(number: u32) -> Asn {
    Asn::new(number).unwrap()
}

/// `first-last ASN name country`, or nothing.
fn says(database: &Database, address: &str) -> String {
    let address: IpAddr = address.parse().unwrap();
    database
        .lookup(address.into())
        .map_or_else(String::new, |info| {
            let asn = info.asn.map(|asn| asn.to_string()).unwrap_or_default();
            let country = info.country.map(|country| country.to_string());
            let country = country.unwrap_or_default();
            format!("{}-{} {asn} {} {country}", info.first, info.last, info.name)
        })
}

#[test]
fn a_csv_says_who_has_an_address() {
    let database = open(CSV).unwrap();
    assert_eq!(
        says(&database, "192.0.2.127"),
        "192.0.2.0-192.0.2.127 AS64500 Example, Inc. "
    );
    assert_eq!(says(&database, "192.0.2.128"), "");
    assert_eq!(says(&database, "191.255.255.255"), "");
    assert_eq!(
        says(&database, "::ffff:198.51.100.1"),
        "198.51.100.0-198.51.100.255 AS64501 Other "
    );
    assert!(says(&database, "2001:db8::1").contains("AS64500"));
    assert!(!database.has_countries());
}

#[test]
fn an_asn_has_its_addresses() {
    let database = open(CSV).unwrap();
    let reach = database.of_asn(asn(64_500)).reach();
    assert_eq!((reach.prefixes_v4, reach.addresses_v4), (3, 131));
    assert_eq!((reach.prefixes_v6, reach.addresses_v6), (1, 1 << 80));
    assert_eq!(database.name(asn(64_500)), "Example, Inc.");
    assert!(database.of_asn(asn(64_499)).is_empty());
    assert!(database.of_asn(asn(64_502)).is_empty());
    assert_eq!(database.name(asn(64_502)), "");
    assert!(database.of("192.0.2.0/24".parse().unwrap()).is_none());
}

#[test]
fn every_format_says_the_same() {
    let tsv = "192.0.2.0\t192.0.2.127\t64500\tDE\tExample, Inc.\n\
               192.0.2.128\t198.51.99.255\t0\tNone\tNot routed\n\
               198.51.100.0\t198.51.100.255\t64501\tFR\tOther\n\
               2001:db8::\t2001:db8:0:ffff:ffff:ffff:ffff:ffff\t64500\tDE\tExample, Inc.\n";
    let mmdb = mmdb(&[
        Network::new("192.0.2.0/25", 64_500, "Example, Inc.", "DE"),
        Network::new("198.51.100.0/24", 64_501, "Other", "FR"),
        Network::new("2001:db8::/48", 64_500, "Example, Inc.", "DE"),
    ]);
    let folder = Folder::new();
    let files = [
        (folder.file("a", tsv), Format::Tsv),
        (folder.file("b.gz", packed(tsv)), Format::Tsv),
        (folder.file("c", &mmdb), Format::Mmdb),
        (folder.file("d.mmdb.gz", packed(&mmdb)), Format::Mmdb),
    ];
    for (path, format) in files {
        let database = Database::open(&[path]).unwrap();
        assert_eq!(database.sources()[0].format, format);
        assert_eq!(
            says(&database, "192.0.2.5"),
            "192.0.2.0-192.0.2.127 AS64500 Example, Inc. DE"
        );
        assert_eq!(
            says(&database, "198.51.100.5"),
            "198.51.100.0-198.51.100.255 AS64501 Other FR"
        );
        assert_eq!(says(&database, "192.0.2.200"), "");
        assert!(says(&database, "2001:db8::7").ends_with("AS64500 Example, Inc. DE"));
        assert_eq!(says(&database, "2001:db8:1::"), "");
        let germany = Subject::Country("DE".parse().unwrap());
        let reach = database.of(germany).unwrap().reach();
        assert_eq!((reach.addresses_v4, reach.addresses_v6), (128, 1 << 80));
    }
}

/// As ipinfo.io writes it: the ASN as a text, the country as a name and as a code.
#[test]
fn records_of_other_publishers_are_understood() {
    let record = |fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(key, value)| (*key, text(value)));
        map(&fields.collect::<Vec<_>>())
    };
    let ipinfo = record(&[
        ("as_domain", "example.net"),
        ("as_name", "Example"),
        ("asn", "AS64500"),
        ("country", "Germany"),
        ("country_code", "DE"),
    ]);
    let short = record(&[("country_code", "FR")]);
    let registered = map(&[(
        "registered_country",
        map(&[("geoname_id", number(7)), ("iso_code", text("AT"))]),
    )]);
    let odd = map(&[("country", map(&[("names", map(&[]))]))]);
    let database = open(mmdb_of(&[
        ("192.0.2.0/24", ipinfo),
        ("198.51.100.0/24", short),
        ("203.0.113.0/24", registered),
        ("203.0.114.0/24", odd),
    ]))
    .unwrap();
    assert!(says(&database, "192.0.2.1").ends_with(" AS64500 Example DE"));
    assert!(says(&database, "198.51.100.1").ends_with("  FR"));
    assert!(says(&database, "203.0.113.1").ends_with("  AT"));
    assert_eq!(says(&database, "203.0.114.1"), "");
    assert_eq!(database.sources()[0].tally.unrouted, 1);
}

#[test]
fn a_country_may_come_from_another_file() {
    let folder = Folder::new();
    let asns = folder.file("asn.csv", CSV);
    let countries = folder.file(
        "country.csv",
        "192.0.2.64,192.0.2.255,DE\n10.0.0.0,10.0.0.255,AT\n",
    );
    let database = Database::open(&[asns, countries]).unwrap();
    assert_eq!(
        says(&database, "192.0.2.1"),
        "192.0.2.0-192.0.2.63 AS64500 Example, Inc. "
    );
    assert_eq!(
        says(&database, "192.0.2.64"),
        "192.0.2.64-192.0.2.127 AS64500 Example, Inc. DE"
    );
    assert_eq!(
        says(&database, "192.0.2.200"),
        "192.0.2.128-192.0.2.255   DE"
    );
    assert_eq!(says(&database, "10.0.0.1"), "10.0.0.0-10.0.0.255   AT");
    // What was cut for the country is still one range of the ASN.
    let spans: Vec<_> = database.of_asn(asn(64_500)).v4().collect();
    assert_eq!(spans.len(), 2);
    assert!(database.has_countries());
}

#[test]
fn of_overlapping_ranges_the_narrower_one_counts() {
    let database = open(
        "10.0.0.0,10.255.255.255,1,Wide\n10.1.0.0,10.1.255.255,2,Narrow\n\
         10.1.255.0,10.2.0.255,3,Across\n",
    )
    .unwrap();
    for (address, expected) in [
        ("10.0.0.0", 1),
        ("10.1.0.0", 2),
        ("10.1.255.0", 3),
        ("10.2.0.255", 3),
        ("10.2.1.0", 1),
        ("10.255.255.255", 1),
    ] {
        let ip: IpAddr = address.parse().unwrap();
        let found = database.lookup(ip.into()).unwrap().asn;
        assert_eq!(found, Some(asn(expected)), "{address}");
    }
}

#[test]
fn a_few_bad_lines_are_counted_and_named() {
    let mut text = "\u{feff}start_ip,end_ip,asn,name\n# comment\n".to_owned();
    let good = (0..200).map(|n| format!("10.0.{n}.0,10.0.{n}.255,{},Name\n", n + 1));
    text.extend(good);
    text += "nonsense\n10.9.0.0,x,1,n\n10.9.0.9,10.9.0.0,1,n\n";
    text.extend(["10.9.0.0,10.9.0.9,1,", &"x".repeat(9_000), "\n"]);
    text += "10.9.0.0,10.9.0.9,many,n\n10.9.0.0\n10.8.0.0,10.8.0.0,7,last";
    let database = open(&text).unwrap();
    let tally = &database.sources()[0].tally;
    assert_eq!((tally.entries, tally.bad), (201, 6));
    assert_eq!(
        tally.complaint(),
        "line 203: fewer than 3 fields; line 204: `x` is no address; \
         line 205: `10.9.0.9-10.9.0.0` ends before it begins; line 206: the line is too long; \
         line 207: `many` is neither an AS number nor a country; and 1 more"
    );
    assert!(says(&database, "10.8.0.0").contains("AS7"));
}

#[test]
fn too_many_bad_lines_are_refused() {
    let garbled = |bad: usize| {
        let good = (0..95).map(|n| format!("10.0.{n}.0,10.0.{n}.255,1,Name\n"));
        open(
            good.chain((0..bad).map(|_| "x,y,z\n".into()))
                .collect::<String>(),
        )
    };
    assert!(garbled(5).is_ok());
    let error = garbled(6).unwrap_err().to_string();
    assert!(error.contains(": 6 of 101 lines cannot be read"), "{error}");
    assert!(error.contains("line 96: `z` is neither"), "{error}");
}

#[test]
fn what_is_no_database_is_refused_and_named() {
    let refusal = |content: &[u8]| open(content).unwrap_err().to_string();
    assert!(refusal(b"").ends_with(": has no entry"));
    assert!(refusal(b"# nothing\n").ends_with(": has no entry"));
    assert!(refusal(b"\x00\x01\x02").contains("is neither text"));
    assert!(refusal(&packed(b"\x00\x01\x02")).contains("is neither text"));
    assert!(refusal(b"\x1f\x8b\x08broken").contains("file: "));
    assert!(refusal(&mmdb(&[])).ends_with(": has no entry"));
    let cut = packed(CSV.repeat(100));
    assert!(open(&cut[..cut.len() / 2]).is_err());

    let folder = Folder::new();
    let error = Database::open(&[folder.0.path()]).unwrap_err().to_string();
    assert!(error.ends_with(": is no file"), "{error}");
    let missing = folder.0.path().join("missing");
    let error = Database::open(&[&missing]).unwrap_err().to_string();
    assert!(error.contains("missing: No such file"), "{error}");
}

#[test]
fn what_is_unpacked_without_end_is_refused() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let block = vec![0u8; 1 << 20];
    for _ in 0..=super::open::LONGEST >> 20 {
        encoder.write_all(&block).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let error = open(bomb).unwrap_err();
    assert!(matches!(error, Error::TooLong(_)), "{error}");
}

#[test]
fn names_are_one_line_and_of_bounded_length() {
    let name = format!("a\u{1b}[2Jb{}", "ä".repeat(300));
    let database = open(format!("10.0.0.0,10.0.0.1,1,{name}\n")).unwrap();
    let kept = database.name(asn(1));
    assert!(kept.starts_with("a [2Jb") && kept.len() <= 200, "{kept}");
}

#[test]
fn what_is_more_than_a_64th_is_too_wide_but_no_8_is() {
    let all = (0..=223u32).map(|n| format!("{n}.0.0.0,{n}.255.255.255,{},x", 1 + n / 4));
    let database = open(all.collect::<Vec<_>>().join("\n")).unwrap();
    let four = database.of_asn(asn(1)).reach();
    assert_eq!(four.addresses_v4, 4 << 24);
    assert!(database.is_too_wide(&four), "4 of 224, more than 3.5");
    let three = super::Reach {
        addresses_v4: 3 << 24,
        ..four
    };
    assert!(!database.is_too_wide(&three));
    let small = open(CSV).unwrap();
    assert!(!small.is_too_wide(&small.of_asn(asn(64_500)).reach()));
}

#[test]
fn the_whole_internet_is_read_without_a_bad_line() {
    let Some(folder) = real_data::folder("asn") else {
        return;
    };
    let paths = ["asn-ipv4.csv.gz", "asn-ipv6.csv.gz"].map(|name| folder.join(name));
    let start = Instant::now();
    let database = Database::open(&paths).unwrap();
    println!(
        "{} + {} ranges in {:?}, {} bytes",
        database.ranges_v4().len(),
        database.ranges_v6().len(),
        start.elapsed(),
        database.bytes()
    );
    for source in database.sources() {
        assert_eq!(source.tally.bad, 0, "{}", source.tally.complaint());
        assert!(source.tally.entries > 50_000);
    }
    assert!(database.bytes() < 50_000_000);
    assert!(says(&database, "1.1.1.1").contains("AS13335 Cloudflare"));
    assert!(says(&database, "2606:4700:4700::1111").contains("AS13335 Cloudflare"));
    assert_eq!(says(&database, "10.0.0.1"), "");

    // Every range is found by its ASN, and only there.
    let mut asns: Vec<Asn> = database.ranges_v4().iter().filter_map(|r| r.asn).collect();
    asns.extend(database.ranges_v6().iter().filter_map(|r| r.asn));
    asns.sort_unstable();
    asns.dedup();
    assert!(asns.len() > 80_000);
    let (mut v4, mut v6) = (0u128, 0u128);
    for asn in &asns {
        let reach = database.of_asn(*asn).reach();
        assert!(!database.name(*asn).is_empty(), "{asn}");
        v4 += reach.addresses_v4;
        v6 += reach.addresses_v6;
    }
    let all = database.ranges_v4().iter();
    let all = all.map(|range| u128::from(range.last - range.first) + 1);
    assert_eq!(v4, all.sum::<u128>());
    let all = database.ranges_v6().iter();
    assert_eq!(
        v6,
        all.map(|range| range.last - range.first + 1).sum::<u128>()
    );
    let too_wide = asns
        .iter()
        .filter(|asn| database.is_too_wide(&database.of_asn(**asn).reach()));
    assert!((1..50).contains(&too_wide.count()));
}

/// A network of an `.mmdb` that a test writes.
pub(super) struct Network {
    net: &'static str,
    record: Vec<u8>,
}

impl Network {
    /// A record as MaxMind would write it if ASN and country were in one file.
    pub(super) fn new(net: &'static str, asn: u32, name: &str, country: &str) -> Self {
        let record = map(&[
            ("autonomous_system_number", number(asn)),
            ("autonomous_system_organization", text(name)),
            ("country", map(&[("iso_code", text(country))])),
        ]);
        Self { net, record }
    }
}

pub(super) fn mmdb(networks: &[Network]) -> Vec<u8> {
    let records = networks.iter();
    let records: Vec<_> = records
        .map(|network| (network.net, network.record.clone()))
        .collect();
    mmdb_of(&records)
}

/// A MaxMind DB of format 2.0 with 24-bit records, IPv4 at `::/96`, as the specification says.
fn mmdb_of(networks: &[(&str, Vec<u8>)]) -> Vec<u8> {
    // Nodes of two children: another node, or a record, or nothing.
    #[derive(Clone, Copy)]
    enum Child {
        Nothing,
        Node(usize),
        Record(usize),
    }
    let (mut nodes, mut data) = (vec![[Child::Nothing; 2]], Vec::new());
    for (net, record) in networks {
        let net: IpNet = net.parse().unwrap();
        let (bits, length) = match net {
            IpNet::V4(net) => (u128::from(u32::from(net.addr())), net.prefix_len() + 96),
            IpNet::V6(net) => (u128::from(net.addr()), net.prefix_len()),
        };
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                nodes[node][side] = Child::Record(data.len());
            } else if let Child::Node(next) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([Child::Nothing; 2]);
                nodes[node][side] = Child::Node(nodes.len() - 1);
                node = nodes.len() - 1;
            }
        }
        data.extend_from_slice(record);
    }
    let count = nodes.len();
    let mut bytes = Vec::new();
    for child in nodes.into_iter().flatten() {
        let value = match child {
            Child::Nothing => count,
            Child::Node(node) => node,
            Child::Record(offset) => count + 16 + offset,
        };
        bytes.extend_from_slice(&u32::try_from(value).unwrap().to_be_bytes()[1..]);
    }
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&data);
    bytes.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    bytes.extend_from_slice(&map(&[
        ("binary_format_major_version", short(2)),
        ("binary_format_minor_version", short(0)),
        ("build_epoch", vec![0x01, 2, 77]),
        ("database_type", text("Test")),
        ("description", map(&[])),
        ("ip_version", short(6)),
        ("languages", vec![0x00, 4]),
        ("node_count", number(u32::try_from(count).unwrap())),
        ("record_size", short(24)),
    ]));
    bytes
}

fn text(value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    let mut bytes = match length {
        0..29 => vec![2 << 5 | length],
        _ => vec![(2 << 5) + 29, length - 29],
    };
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

fn short(value: u8) -> Vec<u8> {
    vec![5 << 5 | 1, value]
}

fn number(value: u32) -> Vec<u8> {
    let mut bytes = vec![6 << 5 | 4];
    bytes.extend_from_slice(&value.to_be_bytes());
    bytes
}

fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![7 << 5 | u8::try_from(fields.len()).unwrap()];
    for (key, value) in fields {
        bytes.extend(text(key));
        bytes.extend_from_slice(value);
    }
    bytes
}
