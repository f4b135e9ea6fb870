//! `bot-agent pcap`: the JA4 of every ClientHello in a capture. Needs no privileges.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use serde::Serialize;

use super::global::Output;
use crate::{
    capture::{CaptureReader, Hellos, SeenHello, Skipped},
    exit_code::ExitCode,
    tls::{Fingerprint, Ja4, Transport},
    wording::{many, verb},
};

/// Print the JA4 fingerprint of every ClientHello in a capture
///
/// Reads pcap and pcapng, also compressed by gzip, and looks for hellos on every TCP port and
/// anywhere in a connection, also behind CONNECT, SOCKS or STARTTLS. Needs no privileges and no
/// running agent.
#[derive(Clone, Debug, clap::Args)]
#[command(help_template = super::HELP, override_usage = "bot-agent pcap [OPTIONS] <FILE>", after_help = "\
Examples:
  bot-agent pcap trace.pcapng
  bot-agent pcap trace.pcap.gz -o tsv | sort | uniq -c
  tcpdump -w - tcp port 443 | bot-agent pcap - -o json")]
pub(super) struct Args {
    /// Capture file; - reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Form of the answer
    // The global option under the name that captures are used to.
    #[arg(long, short, value_name = "FORM", default_value = "human", value_parser = form(),
        help_heading = "Global options")]
    pub output: Output,
}

/// As [`Output`] is named here.
fn form() -> impl TypedValueParser<Value = Output> {
    let forms = [
        PossibleValue::new("human").help("A line for each hello"),
        PossibleValue::new("json").help("JSON, one object a line"),
        PossibleValue::new("tsv")
            .help("Columns separated by tabs, with a header")
            .alias("raw"),
    ];
    PossibleValuesParser::new(forms).map(|name| match name.as_str() {
        "json" => Output::Json,
        "tsv" | "raw" => Output::Raw,
        _ => Output::Human,
    })
}

/// Prints the hellos of a capture. A capture that cannot be read to its end is an error, reported
/// after everything before that point was printed.
pub(super) fn run(args: &Args, output: Output, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let name = args.file.display();
    let live = args.file == Path::new("-");
    let input: Box<dyn Read> = if live {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.file).with_context(|| format!("cannot open {name}"))?)
    };
    if output == Output::Raw {
        writeln!(out, "{}", Row::COLUMNS.join("\t"))?;
    }
    let mut hellos = Hellos::default();
    let read = read_all(input, &mut hellos, |hello| {
        Row::new(hello).write(output, out)?;
        if live { out.flush() } else { Ok(()) }
    });
    out.flush()?;
    read.with_context(|| format!("cannot read {name}"))?;
    refuse_skipped(hellos.skipped()).with_context(|| format!("cannot read {name}"))?;
    Ok(ExitCode::Ok)
}

fn read_all(
    input: Box<dyn Read>,
    hellos: &mut Hellos,
    mut each: impl FnMut(&SeenHello) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = CaptureReader::new(input)?;
    let mut seen = Vec::new();
    let end = loop {
        match reader.next_packet() {
            Ok(Some(packet)) => hellos.push(&packet, &mut seen),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        }
        for hello in seen.drain(..) {
            each(&hello)?;
        }
    };
    hellos.finish(&mut seen);
    for hello in &seen {
        each(hello)?;
    }
    end
}

fn refuse_skipped(skipped: &Skipped) -> anyhow::Result<()> {
    let Some((link_type, _)) = skipped.first_key_value() else {
        return Ok(());
    };
    let packets: u64 = skipped.values().sum();
    anyhow::bail!(
        "{} of link type {link_type} {} skipped; \
         Ethernet, Linux cooked, raw IP, null/loopback and PPP can be read",
        many(packets.into(), "packet"),
        verb(packets.into(), "was", "were")
    )
}

/// A hello as it is printed. The order of the fields is that of the columns.
#[derive(Debug, Serialize)]
struct Row {
    ts: String,
    src: String,
    sport: u16,
    dst: String,
    dport: u16,
    transport: &'static str,
    sni: Option<String>,
    alpn: Vec<String>,
    ja4: Ja4,
    ja4_r: String,
    ja4_o: Ja4,
    ja4_ro: String,
}

impl Row {
    const COLUMNS: [&str; 12] = [
        "ts",
        "src",
        "sport",
        "dst",
        "dport",
        "transport",
        "sni",
        "alpn",
        "ja4",
        "ja4_r",
        "ja4_o",
        "ja4_ro",
    ];

    fn new(seen: &SeenHello) -> Self {
        let transport = Transport::Tcp;
        let fingerprint = Fingerprint::new(&seen.hello, transport);
        Self {
            ts: timestamp(seen.time),
            src: seen.flow.src.to_ip().to_string(),
            sport: seen.flow.sport,
            dst: seen.flow.dst.to_ip().to_string(),
            dport: seen.flow.dport,
            transport: transport.name(),
            sni: seen.hello.sni(),
            alpn: seen.hello.alpn_names().collect(),
            ja4: fingerprint.ja4(),
            ja4_r: fingerprint.ja4_r(),
            ja4_o: fingerprint.ja4_o(),
            ja4_ro: fingerprint.ja4_ro(),
        }
    }

    fn write(&self, output: Output, out: &mut dyn Write) -> io::Result<()> {
        let alpn = self.alpn.join(",");
        let sni = self.sni.as_deref().unwrap_or_default();
        match output {
            Output::Human => {
                let endpoint = |ip: &str, port| {
                    if ip.contains(':') {
                        format!("[{ip}]:{port}")
                    } else {
                        format!("{ip}:{port}")
                    }
                };
                writeln!(
                    out,
                    "{} {} > {} {} sni={} alpn={}",
                    self.ts,
                    endpoint(&self.src, self.sport),
                    endpoint(&self.dst, self.dport),
                    self.ja4,
                    if sni.is_empty() { "-" } else { sni },
                    if alpn.is_empty() { "-" } else { &alpn },
                )
            }
            Output::Json => {
                serde_json::to_writer(&mut *out, self)?;
                out.write_all(b"\n")
            }
            Output::Raw => writeln!(
                out,
                "{}\t{}\t{}\t{}\t{}\t{}\t{sni}\t{alpn}\t{}\t{}\t{}\t{}",
                self.ts,
                self.src,
                self.sport,
                self.dst,
                self.dport,
                self.transport,
                self.ja4,
                self.ja4_r,
                self.ja4_o,
                self.ja4_ro,
            ),
        }
    }
}

/// RFC 3339 in UTC with nanoseconds; times that no calendar holds become the first of 1970.
fn timestamp(nanos: i128) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(9));
    let time = Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::UNIX_EPOCH);
    PRINTER.timestamp_to_string(&time)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn capture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fixtures/captures")
            .join(name)
    }

    fn printed(file: PathBuf, output: Output) -> (String, anyhow::Result<()>) {
        let mut out = Vec::new();
        let result = run(&Args { file, output }, output, &mut out).map(drop);
        (String::from_utf8(out).unwrap(), result)
    }

    #[test]
    fn human_lines_say_who_connected_where_with_what() {
        let (text, result) = printed(capture("python_ipv6_cooked.pcap.gz"), Output::Human);
        result.unwrap();
        let (_, rest) = text.split_once("Z ").unwrap();
        assert_eq!(
            rest,
            "[::1]:50164 > [::1]:4436 t13d1812h1_85036bcba153_d41ae481755e sni=demo.example alpn=http/1.1\n"
        );
    }

    #[test]
    fn json_is_an_object_a_line_with_exactly_these_keys() {
        let (text, result) = printed(capture("openssl_retry.pcapng"), Output::Json);
        result.unwrap();
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(line).unwrap();
            let mut expected = Row::COLUMNS.to_vec();
            expected.sort_unstable();
            assert_eq!(object.keys().collect::<Vec<_>>(), expected);
            assert_eq!(object["alpn"], serde_json::json!(["h2"]));
            assert_eq!(object["sport"], 50416);
            assert_eq!(object["sni"], "demo.example");
            object["ts"].as_str().unwrap().parse::<Timestamp>().unwrap();
        }
        let (text, _) = printed(capture("openssl_tls12.pcap"), Output::Json);
        assert!(text.contains(r#""sni":null,"alpn":[],"#), "{text}");
    }

    #[test]
    fn tsv_has_a_header_and_as_many_cells_in_every_line() {
        let (text, result) = printed(capture("openssl_tls12.pcap"), Output::Raw);
        result.unwrap();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split('\t').collect())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], Row::COLUMNS);
        assert_eq!(lines[1].len(), Row::COLUMNS.len());
        assert_eq!(lines[1][8], "t12i280600_d943125447b4_e7e480e5a997");
    }

    #[test]
    fn a_capture_cut_within_a_packet_gives_what_stands_before_and_one_line() {
        let whole = fs::read(capture("curl.pcap")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cut.pcap");
        fs::write(&file, &whole[..whole.len() - 10]).unwrap();
        let (text, result) = printed(file.clone(), Output::Human);
        assert_eq!(text.lines().count(), 1);
        let line = format!("{:#}", result.unwrap_err());
        assert_eq!(
            line,
            format!(
                "cannot read {}: the capture is cut off within packet 16; everything before it was read",
                file.display()
            )
        );
    }

    #[test]
    fn what_cannot_be_opened_or_is_no_capture_is_named() {
        let missing = printed(PathBuf::from("/nonexistent.pcap"), Output::Json)
            .1
            .unwrap_err();
        assert!(format!("{missing:#}").starts_with("cannot open /nonexistent.pcap: "));
        let table = printed(capture("expected.tsv"), Output::Json)
            .1
            .unwrap_err();
        assert!(
            format!("{table:#}").contains("not a pcap or pcapng capture"),
            "{table:#}"
        );
    }
}
